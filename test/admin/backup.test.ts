import { once } from 'node:events';
import { request } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { BackupLines } from '../../src/backup/lines.ts';
import { StoreUnavailable } from '../../src/errors.ts';
import { type Admin, type AdminChange, keys, openAdmin } from './harness.ts';

/** An answer that is sent piece by piece. */

let admin: Admin;
afterEach(() => admin.dispose());

const open = async (change: AdminChange = {}): Promise<void> => {
  admin = await openAdmin(change);
};

test('a backup is whole, and a HEAD of it has no body', async () => {
  await open();
  for (let i = 0; i < 20; i++) await admin.make({ name: `token ${i}` });
  const reply = await admin.ask('GET', '/v1/store/backup');
  expect([reply.status, reply.fields['content-type']]).toEqual([200, 'application/x-ndjson']);
  const lines = new BackupLines();
  lines.take(Buffer.from(reply.text));
  expect(lines.end()).toEqual({ token: 20, event: 20, position: 1 });
  const head = await admin.ask('HEAD', '/v1/store/backup');
  expect([head.status, head.text]).toEqual([200, '']);
});

test('a store that does not answer is 503 before an answer begins', async () => {
  async function* broken(): AsyncGenerator<string> {
    yield 'heading\n';
    throw new StoreUnavailable('the store is away');
  }
  await open({ listenerParts: { backup: () => broken() } });
  const { status, json } = await admin.ask('GET', '/v1/store/backup');
  expect([status, json['code']]).toEqual([503, 'store_unavailable']);
});

test('what breaks off in the middle ends the connection, and is told in the log', async () => {
  async function* broken(): AsyncGenerator<string> {
    for (let i = 0; i < 5; i++) yield `line ${i}\n`;
    throw new StoreUnavailable('the store is away');
  }
  await open({ listenerParts: { backup: () => broken() } });
  await expect(admin.ask('GET', '/v1/store/backup')).rejects.toThrow(/aborted|ECONNRESET|socket hang up/);
  expect(admin.log.map(({ message }) => message)).toEqual(['an answer broke off']);
});

test('no more is read from the store than the client takes, and one that takes nothing is cut', async () => {
  let pieces = 0;
  let ended: () => void = () => {};
  const isOver = new Promise<void>(resolve => {
    ended = resolve;
  });
  async function* endless(): AsyncGenerator<string> {
    try {
      for (;;) {
        pieces++;
        yield 'x'.repeat(1 << 20);
      }
    } finally {
      ended();
    }
  }
  await open({ listenerParts: { backup: () => endless() }, options: { writeTimeoutMs: 300 } });
  const socket = connect(admin.port, '127.0.0.1');
  socket.on('error', () => {});
  socket.pause();
  socket.write(`GET /v1/store/backup HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${keys.admin}\r\n\r\n`);
  await isOver;
  // What the system keeps for a connection is some megabytes; without back-pressure this would not have ended.
  expect(pieces).toBeLessThan(100);
  socket.destroy();
});

test.each([
  ['while more is sent than it takes', 1 << 20, 0],
  ['while nothing is sent', 1, 20],
])('a client that leaves ends the reading, %s', async (_when, size, pauseMs) => {
  let ended: () => void = () => {};
  const isOver = new Promise<void>(resolve => {
    ended = resolve;
  });
  async function* endless(): AsyncGenerator<string> {
    try {
      for (;;) {
        if (pauseMs > 0) await pause(pauseMs);
        yield 'x'.repeat(size);
      }
    } finally {
      ended();
    }
  }
  await open({ listenerParts: { backup: () => endless() } });
  const outgoing = request({
    port: admin.port,
    host: '127.0.0.1',
    path: '/v1/store/backup',
    headers: { Authorization: `Bearer ${keys.admin}` },
  });
  outgoing.on('error', () => {});
  outgoing.end();
  await once(outgoing, 'response');
  outgoing.destroy();
  await isOver;
  expect((await admin.ask('GET', '/v1/tokens')).status).toBe(200);
});
