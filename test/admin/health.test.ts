import { networkInterfaces } from 'node:os';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { HealthListener } from '../../src/admin/health.ts';
import { RawClient } from '../support/raw-client.ts';
import { type Reply, send } from './harness.ts';

let missing: string[] = [];
let drains = 0;
let metrics = (): Promise<string> => Promise.resolve('# HELP up Up\nup 1\n');
const log: unknown[] = [];
let listener: HealthListener;
let port: number;

beforeAll(async () => {
  const note = (...entry: unknown[]) => void log.push(entry);
  listener = new HealthListener(
    { host: undefined, port: 0, tls: null },
    {
      metrics: () => metrics(),
      metricsType: 'text/plain; version=0.0.4; charset=utf-8',
      missing: () => missing,
      drain: () => void drains++,
      log: { info: note, warn: note, error: note, fault: note },
      scrapeTimeoutMs: 100,
    },
  );
  port = await listener.listen();
});
afterEach(() => {
  missing = [];
  metrics = () => Promise.resolve('up 1\n');
});
afterAll(() => listener.close());

const ask = (method: string, path: string, fields: Record<string, string> = {}): Promise<Reply> =>
  send(port, undefined, method, path, { key: null, fields });

describe('probes', () => {
  test('the process is alive as long as it answers', async () => {
    expect(await ask('GET', '/livez')).toMatchObject({ status: 200, json: { live: true } });
  });

  test('it is ready when nothing is missing, and names what is', async () => {
    expect(await ask('GET', '/readyz')).toMatchObject({ status: 200, json: { ready: true, missing: [] } });
    missing = ['store', 'listener proxy'];
    const { status, json } = await ask('GET', '/readyz?verbose');
    expect([status, json]).toEqual([503, { ready: false, missing: ['store', 'listener proxy'] }]);
  });

  test.each(['kube-probe/1.30', '', 'GoogleHC/1.0'])('User-Agent %j makes no difference', async agent => {
    missing = ['store'];
    expect((await ask('GET', '/readyz', { 'user-agent': agent })).status).toBe(503);
  });
});

describe('metrics', () => {
  test('a scrape is answered with its own type', async () => {
    const { status, text, fields } = await ask('GET', '/metrics');
    expect([status, text, fields['content-type']]).toEqual([200, 'up 1\n', 'text/plain; version=0.0.4; charset=utf-8']);
  });

  test('a scrape that takes too long is given up, and the next one is answered', async () => {
    metrics = () => new Promise(() => {});
    const { status, json } = await ask('GET', '/metrics');
    expect([status, json['code']]).toEqual([503, 'overloaded']);
    metrics = () => Promise.resolve('up 2\n');
    expect((await ask('GET', '/metrics')).text).toBe('up 2\n');
  });

  test('a scrape that fails is a fault of ours that says nothing', async () => {
    metrics = () => Promise.reject(new Error('inner detail'));
    const { status, text } = await ask('GET', '/metrics');
    expect(status).toBe(500);
    expect(text).not.toContain('inner detail');
    expect(log).toHaveLength(1);
  });
});

describe('draining', () => {
  test('it begins when this machine asks for it, and no page in a browser can', async () => {
    const before = drains;
    expect(await ask('POST', '/drain')).toMatchObject({ status: 202, json: { draining: true } });
    expect(drains).toBe(before + 1);
    expect((await ask('POST', '/drain', { origin: 'http://localhost' })).status).toBe(403);
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
      expect((await ask(method, '/drain')).status).toBe(405);
    expect(drains).toBe(before + 1);
  });

  const outside = Object.values(networkInterfaces())
    .flatMap(addresses => addresses ?? [])
    .find(({ internal, family }) => !internal && family === 'IPv4')?.address;

  test.runIf(outside !== undefined)('a peer of another address is refused, whatever it says of itself', async () => {
    const before = drains;
    const client = await RawClient.open(port, { host: outside! });
    client.write('POST /drain HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 127.0.0.1\r\nContent-Length: 0\r\n\r\n');
    const answer = await client.answer();
    expect([answer.status, answer.json()['code']]).toEqual([403, 'forbidden']);
    expect(drains).toBe(before);
    client.destroy();
  });
});

describe('everything else', () => {
  test.each(['/', '/v1/tokens', '/metrics/', '/Metrics', '/debug', '/readyz/x', '/%6civez'])(
    '%s is not there',
    async path => {
      expect((await ask('GET', path)).status).toBe(404);
    },
  );

  test('only GET and HEAD read', async () => {
    for (const path of ['/metrics', '/livez', '/readyz']) {
      for (const method of ['POST', 'PUT', 'OPTIONS', 'TRACE']) {
        const { status, fields } = await ask(method, path);
        expect([status, fields.allow], `${method} ${path}`).toEqual([405, 'GET, HEAD']);
      }
      const { status, text } = await ask('HEAD', path);
      expect([status, text], `HEAD ${path}`).toEqual([200, '']);
    }
  });

  test('what is not HTTP is refused as on every listener', async () => {
    const client = await RawClient.open(port);
    client.write('GET /livez HTTP/1.1\r\n\r\n');
    expect((await client.answer()).status).toBe(400);
    await client.untilClosed();
    client.destroy();
  });

  test('a scraper that reads nothing holds up nobody, and is cut off', async () => {
    const patient = new HealthListener(
      { host: '127.0.0.1', port: 0, tls: null, writeTimeoutMs: 200 },
      {
        metrics: () => Promise.resolve('up 1\n'.repeat(4_000_000)),
        metricsType: 'text/plain',
        missing: () => [],
        drain: () => {},
        log: { info() {}, warn() {}, error() {}, fault() {} },
      },
    );
    const at = await patient.listen();
    const slow = await RawClient.open(at);
    slow.socket.pause();
    slow.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
    const once = { key: null, fields: { connection: 'close' } };
    for (let i = 0; i < 10; i++) expect((await send(at, undefined, 'GET', '/readyz', once)).status).toBe(200);
    await expect.poll(() => patient.connections).toBe(0);
    slow.destroy();
    await patient.close();
  });
});
