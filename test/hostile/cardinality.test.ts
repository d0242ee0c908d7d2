import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Route } from '../../src/core/route.ts';
import type { RequestRecord } from '../../src/ports/recorder.ts';
import { Metrics } from '../../src/telemetry/metrics.ts';
import { RequestMetrics } from '../../src/telemetry/request-metrics.ts';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Requests on the wire, and through the recorder alone. */
const onTheWire = Number(process.env['POSTERN_ON_THE_WIRE'] ?? 8000);
const recorded = Number(process.env['POSTERN_RECORDS'] ?? 300_000);

describe('what clients send never makes a series', () => {
  const upstream = new RecordingUpstream();
  let postern: Postern;
  let secret = '';

  beforeAll(async () => {
    await upstream.listen();
    postern = await Postern.start({
      upstream: upstream.url,
      more: 'guard: { failures: 0 }\nlog: { access: none }',
      routes: '\n  - { path: "/api/{id}/{rest}", require: api }\n  - { path: /public/**, access: public }',
    });
    secret = (await postern.mint({ permissions: ['api'] })).secret;
  });
  afterAll(async () => {
    await RawClient.closeAll();
    await postern.stop();
    await upstream.close();
  });

  /** A scrape: names and labels of its samples, and how long it took. */
  async function scrape(): Promise<{ series: Set<string>; ms: number }> {
    const at = performance.now();
    const text = await postern.metrics();
    const ms = performance.now() - at;
    const samples = text.split('\n').filter(line => line !== '' && !line.startsWith('#'));
    return { series: new Set(samples.map(line => line.slice(0, line.lastIndexOf(' ')))), ms };
  }

  const methods = ['GET', 'POST', 'PROPFIND', 'MKCOL', 'REPORT', 'PURGE', 'OPTIONS', 'DELETE', 'QUERY', 'M-SEARCH'];
  const statuses = [200, 201, 207, 299, 302, 404, 418, 499, 500, 599, 700, 999];

  /** Each request is unlike every other in its path, query, method, token, Host and User-Agent. */
  function requestOf(i: number): string {
    const method = methods[i % methods.length];
    const token = i % 3 === 0 ? secret : `pst_${String(i).padStart(38, '0')}`;
    const path = [`/api/${i}/x`, `/public/${i}`, `/nowhere/${i}`, `/${i}`][i % 4];
    return `${method} ${path}?q=${i} HTTP/1.1\r\nHost: h${i}.example:${i % 60_000}\r\nUser-Agent: agent/${i}\r\nAuthorization: Bearer ${token}\r\nX-${i}: ${i}\r\nContent-Length: 0\r\n\r\n`;
  }

  async function send(from: number, count: number): Promise<void> {
    const lanes = Array.from({ length: 16 }, async (_, lane) => {
      let client = await RawClient.open(postern.port);
      for (let i = from + lane; i < from + count; i += 16) {
        client.write(requestOf(i));
        const answer = await client.answer();
        if (answer.get('connection') === 'close') {
          client.destroy();
          client = await RawClient.open(postern.port);
        }
      }
      client.destroy();
    });
    await Promise.all(lanes);
    upstream.forget();
    upstream.script = byTarget;
  }

  const byTarget: typeof upstream.script = ({ request, write }) => {
    const n = Number(/\d+/.exec(request.target)?.[0] ?? 0);
    write(`HTTP/1.1 ${statuses[n % statuses.length]} Any Text ${n}\r\nContent-Length: 0\r\nX-Up-${n}: ${n}\r\n\r\n`);
  };

  test(`${onTheWire} requests that have nothing in common leave as many series as the first 2,000 of them did`, async () => {
    upstream.script = byTarget;
    await send(0, 2000);
    const before = await scrape();
    await send(2000, onTheWire - 2000);
    const after = await scrape();
    expect([...after.series].filter(series => !before.series.has(series))).toEqual([]);
    expect(after.series.size).toBeLessThan(500 + 400 * 2);
    const labels = new Set([...after.series].flatMap(series => /method="([^"]*)"/.exec(series)?.[1] ?? []));
    expect([...labels].every(label => ['GET', 'POST', 'DELETE', 'OPTIONS', 'other'].includes(label))).toBe(true);
    const routes = new Set([...after.series].flatMap(series => /route="([^"]*)"/.exec(series)?.[1] ?? []));
    expect(routes).toEqual(new Set(['none', '/api/{id}/{rest}', '/public/**']));
    expect([...after.series].join('\n')).not.toMatch(/agent|h\d+\.example|pst_|\/nowhere/);
  }, 60_000);

  test('scrapes are quick, ten at once and a slow reader beside them, while requests go on', async () => {
    let open = true;
    let turns = 0;
    const traffic = (async () => {
      while (open) {
        await send(0, 200);
        turns++;
      }
    })();
    const slow = await RawClient.open(postern.app.ports.telemetry);
    slow.socket.pause();
    slow.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
    const times: number[] = [];
    for (let round = 0; round < 5; round++) {
      times.push(...(await Promise.all(Array.from({ length: 10 }, scrape))).map(({ ms }) => ms));
    }
    open = false;
    await traffic;
    slow.destroy();
    times.sort((a, b) => a - b);
    expect(turns).toBeGreaterThan(0);
    // Loose: the machine has other things to do. Without them it is a few milliseconds.
    expect(times[25], 'milliseconds of the median').toBeLessThan(2000);
    const alone = await scrape();
    expect(alone.ms).toBeLessThan(2000);
  });
});

test(`${recorded} records that have nothing in common are counted, and leave no more series than a thousand`, async () => {
  const metrics = new Metrics({ log: { info() {}, warn() {}, error() {}, fault() {} }, processMetrics: false });
  const recorder = new RequestMetrics(metrics);
  const routes = ['/a/{x}', '/b/**', '/c'].map(pattern => ({ pattern }) as Route);
  const record = (i: number): RequestRecord => ({
    requestId: `id-${i}`,
    parentRequestId: null,
    route: i % 7 === 0 ? null : routes[i % routes.length]!,
    method: `X${i}`,
    path: `/path/${i}`,
    status: i % 1200,
    reason: i % 2 === 0 ? 'allowed' : 'no_route',
    shadow: null,
    outcome: (['allowed', 'refused', 'failed', 'aborted', 'shadow'] as const)[i % 5]!,
    subject: null,
    client: `10.0.${i % 256}.${i % 251}`,
    peer: `10.1.${i % 256}.${i % 251}`,
    upstream: `u${i}`,
    detail: `detail-${i}`,
    fault: `fault-${i}`,
    retried: false,
    bytesIn: i,
    bytesOut: i,
    durationMs: i % 20_000,
    overheadMs: i % 100,
    upstreamMs: null,
    at: i,
  });
  const series = async (): Promise<number> =>
    (await metrics.metrics()).split('\n').filter(line => line !== '' && !line.startsWith('#')).length;
  for (let i = 0; i < 100_000; i++) recorder.record(record(i));
  const early = await series();
  for (let i = 100_000; i < recorded; i++) recorder.record(record(i));
  expect(await series()).toBe(early);
  const text = await metrics.metrics();
  const counted = text
    .split('\n')
    .filter(line => line.startsWith('postern_requests_total{'))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
  expect(counted).toBe(recorded);
  const at = performance.now();
  await metrics.metrics();
  expect(performance.now() - at, 'milliseconds of a scrape').toBeLessThan(2000);
});
