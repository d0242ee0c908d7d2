import { expect, test } from 'vitest';
import { Mounts } from '../../src/core/mounts.ts';
import { Guard } from '../../src/gate/guard.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { keys, openAdmin } from './harness.ts';

test('too many wrong keys from a network are told to wait; a right key passes; a missing one does not count', async () => {
  const clock = new ManualClock();
  const admin = await openAdmin({ policy: { guard: new Guard({ failures: 3, perMs: 10_000 }, clock) } });
  const ask = (key: string | null) => admin.ask('GET', '/v1/tokens', { key });
  for (let i = 0; i < 10; i++) expect((await ask(null)).status).toBe(401);
  const basic = { key: null, fields: { authorization: 'Basic eDp5' } };
  for (let i = 0; i < 10; i++) expect((await admin.ask('GET', '/v1/tokens', basic)).status).toBe(401);
  for (let i = 0; i < 3; i++) expect((await ask('wrong')).status).toBe(401);
  for (const key of ['wrong', keys.expired]) {
    const { status, json, fields } = await ask(key);
    expect([status, json['code'], fields['retry-after']]).toEqual([429, 'too_many_failures', '10']);
    expect(fields).not.toHaveProperty('www-authenticate');
  }
  expect((await ask(keys.admin)).status).toBe(200);
  expect((await ask(null)).status).toBe(401);
  clock.advance(10_000);
  expect((await ask('wrong')).status).toBe(401);
  await admin.dispose();
});

test('a key works until the instant of its end', async () => {
  const admin = await openAdmin();
  const { clock } = admin.managed;
  const { keys: all } = {
    keys: [{ name: 'x', role: 'admin' as const, sha256: await digest(keys.admin), expiresAt: clock.wall() + 1000 }],
  };
  admin.listener.policy = { keys: all, hosts: null, guard: { peek: () => 0, failed: () => 0 }, mounts: new Mounts([]) };
  clock.advance(999);
  expect((await admin.ask('GET', '/v1/tokens')).status).toBe(200);
  clock.advance(1);
  expect((await admin.ask('GET', '/v1/tokens')).status).toBe(401);
  await admin.dispose();
});

test('of two keys with one text, the one that is in force is used', async () => {
  const admin = await openAdmin();
  const sha256 = await digest(keys.admin);
  const [past, now] = [{ expiresAt: 0 }, { expiresAt: null }];
  for (const order of [
    [past, now],
    [now, past],
  ]) {
    const all = order.map((more, i) => ({ name: `k${i}`, role: 'admin' as const, sha256, ...more }));
    admin.listener.policy = {
      keys: all,
      hosts: null,
      guard: { peek: () => 0, failed: () => 0 },
      mounts: new Mounts([]),
    };
    expect((await admin.ask('GET', '/v1/tokens')).status).toBe(200);
  }
  await admin.dispose();
});

test('a key of any characters works as the bytes that were sent', async () => {
  const admin = await openAdmin();
  const key = 'schlüssel-0123456789abcdef "0123456789", {abc}';
  const sha256 = await digest(key);
  admin.listener.policy = {
    keys: [{ name: 'x', role: 'read', sha256, expiresAt: null }],
    hosts: null,
    guard: { peek: () => 0, failed: () => 0 },
    mounts: new Mounts([]),
  };
  const bytes = Buffer.from(key, 'utf8').toString('latin1');
  expect((await admin.ask('GET', '/v1/tokens', { key: bytes })).status).toBe(200);
  await admin.dispose();
});

const digest = async (key: string): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(key)));
