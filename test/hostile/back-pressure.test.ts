import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Program } from '../support/program.ts';
import { RawClient } from '../support/raw-client.ts';
import { Served } from '../support/served.ts';
import { patience } from '../support/tiers.ts';

/**
 * Memory is measured in a process of its own, because here clients and upstream would count too. Bytes that somebody
 * does not take must stay with whoever sends them.
 */
const gigabyte = 1 << 30;
/** Each fills some 8 MiB of the network's buffers, which the kernel bounds for the whole machine. */
const stalledClients = Number(process.env['POSTERN_STALLED'] ?? 64);
const slowUploads = 10;
const mostGrowth = 300 << 20;
const piece = Buffer.alloc(64 << 10, 'p');
let upstream: Server;
/** What the upstream has been able to send, by connection. */
const sent = new Map<Socket, number>();
const uploads: { socket: Socket; taken: number }[] = [];
let served: Served;
let authorization = '';

beforeAll(async () => {
  upstream = createServer(socket => {
    socket.on('error', () => {});
    const onHead = (head: Buffer): void => {
      const target = head.toString('latin1').split(' ')[1];
      if (target === '/quick') {
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
        return;
      }
      socket.off('data', onHead);
      if (target === '/endless') endless(socket);
      else slowly(socket, head);
    };
    socket.on('data', onHead);
  }).listen(0, '127.0.0.1');
  await once(upstream, 'listening');
  const { port } = upstream.address() as { port: number };
  served = await Served.start({
    config: `
upstreams: { u: { url: "http://127.0.0.1:${port}", max_connections: 2000 } }
routes: [{ path: /**, require: api }]
log: { access: none }
store: { kind: embedded, path: ./data, deadline: 5s }`,
  });
  authorization = `Authorization: Bearer ${(await served.mint({ permissions: ['api'] })).secret}\r\n`;
});
afterAll(async () => {
  upstream.close();
  await Program.killAll();
  await served.remove();
});

/** A gigabyte, one piece in each turn of the event loop: buffers of the network grow with the pace. */
function endless(socket: Socket): void {
  sent.set(socket, 0);
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${gigabyte}\r\n\r\n`);
  const pump = (): void => {
    if (!socket.writable) return;
    sent.set(socket, sent.get(socket)! + piece.length);
    if (socket.write(piece)) setImmediate(pump);
    else socket.once('drain', pump);
  };
  pump();
}

/** Takes a kibibyte a second. */
function slowly(socket: Socket, head: Buffer): void {
  const upload = { socket, taken: head.length };
  uploads.push(upload);
  socket.pause();
  const timer = setInterval(() => {
    upload.taken += (socket.read(256) as Buffer | null)?.length ?? 0;
  }, 250);
  socket.on('close', () => clearInterval(timer));
}

const request = (method: string, target: string, more = ''): string =>
  `${method} ${target} HTTP/1.1\r\nHost: a\r\n${authorization}${more}\r\n`;

/** Milliseconds that requests take which want nothing special. */
async function others(count: number): Promise<number[]> {
  const client = await RawClient.open(served.ports.proxy);
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const at = performance.now();
    client.write(request('GET', '/quick'));
    expect((await client.answer()).status).toBe(200);
    times.push(performance.now() - at);
  }
  client.destroy();
  return times.sort((a, b) => a - b);
}

/** Waits until a sum has stopped growing. */
async function steady(read: () => number): Promise<number> {
  for (let last = -1; ; ) {
    const now = read();
    if (now === last && now > 0) return now;
    last = now;
    await pause(300);
  }
}

test(
  `${stalledClients} clients that read nothing of a gigabyte each, and uploads to an upstream that hardly reads, cost little memory and nobody’s time`,
  async () => {
    await others(200);
    const before = served.program.memory.now;
    const readers: Socket[] = [];
    for (let i = 0; i < stalledClients; i += 64) {
      const some = Array.from({ length: Math.min(64, stalledClients - i) }, () => {
        const socket = connect({ port: served.ports.proxy, host: '127.0.0.1' });
        socket.on('error', () => {});
        socket.write(request('GET', '/endless'));
        // Never read.
        socket.pause();
        return socket;
      });
      await Promise.all(some.map(socket => once(socket, 'connect')));
      readers.push(...some);
    }
    const total = (): number => [...sent.values()].reduce((sum, bytes) => sum + bytes, 0);
    await expect.poll(() => sent.size, { timeout: 20_000 }).toBe(stalledClients);
    const stalled = await steady(total);
    const whileStalled = await others(200);
    const afterDownloads = served.program.memory.peak;

    const writers = Array.from({ length: slowUploads }, () => {
      const socket = connect({ port: served.ports.proxy, host: '127.0.0.1' });
      socket.on('error', () => {});
      socket.write(request('POST', '/slow', `Content-Length: ${10 * gigabyte}\r\n`));
      const pump = (): void => {
        while (socket.writable && socket.write(piece));
        socket.once('drain', pump);
      };
      pump();
      return socket;
    });
    await expect.poll(() => uploads.length, { timeout: 10_000 }).toBe(slowUploads);
    await steady(() =>
      writers.reduce((sum, { bytesWritten, writableLength }) => sum + bytesWritten - writableLength, 0),
    );
    const whileUploading = await others(200);
    const peak = served.program.memory.peak;

    const growth = peak - before;

    console.log({
      growthMiB: Math.round(growth / (1 << 20)),
      afterDownloadsMiB: Math.round((afterDownloads - before) / (1 << 20)),
      stalledPerStreamKiB: Math.round(stalled / stalledClients / 1024),
      p99ms: [whileStalled, whileUploading].map(times => Math.round(times[197]! * 10) / 10),
    });
    expect(growth, 'bytes of growth').toBeLessThan(mostGrowth);
    expect(
      stalled / stalledClients,
      'bytes of a stream that were taken from the upstream, the network’s buffers included',
    ).toBeLessThan(16 << 20);
    // No benchmark: a turn of the event loop that copies a gigabyte would show.
    for (const times of [whileStalled, whileUploading])
      expect(times[197], 'milliseconds for others').toBeLessThan(1000);

    const busy = 'postern_upstream_connections{upstream="u",state="busy"}';
    for (const socket of readers) socket.resetAndDestroy();
    await expect.poll(() => served.metric(busy), { timeout: 10_000 }).toBe(slowUploads);
    for (const { socket } of uploads) socket.destroy();
    for (const socket of writers) socket.resetAndDestroy();
    await expect.poll(() => served.metric(busy), { timeout: 10_000 }).toBe(0);
    await expect.poll(() => served.metric('postern_connections{listener="proxy"}'), { timeout: 10_000 }).toBe(0);
    expect(await served.stop({ keep: true })).toBe(0);
  },
  patience(60_000),
);
