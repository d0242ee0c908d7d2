/**
 * What a request's telemetry costs: `node test/bench/micro/telemetry.ts`. Prints the best of several rounds, in
 * nanoseconds of one thread, and the processor time of the whole process where other threads work too.
 */
import { closeSync, openSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { compileRights } from '../../../src/core/rights.ts';
import type { Route } from '../../../src/core/route.ts';
import type { Subject } from '../../../src/core/token.ts';
import type { Log } from '../../../src/ports/log.ts';
import { outcomes, type RequestRecord } from '../../../src/ports/recorder.ts';
import { methodLabels, reasonLabels } from '../../../src/telemetry/labels.ts';
import { LineSink } from '../../../src/telemetry/line-sink.ts';
import { Metrics } from '../../../src/telemetry/metrics.ts';
import { RequestLog } from '../../../src/telemetry/request-log.ts';
import { RequestMetrics } from '../../../src/telemetry/request-metrics.ts';

const silent: Log = { info() {}, warn() {}, error() {}, fault() {} };
const route = (pattern: string): Route => ({ pattern }) as Route;
const subject = {
  token: { id: 'tok_9fK2mQ7xR4vB1nZ8cL5w', owner: 'acme' },
  account: null,
  roles: [],
  rights: compileRights({ permissions: [], owner: null }, null, []),
  constraints: null,
  secretUntil: null,
} as unknown as Subject;

const record = (i: number, of: Route): RequestRecord => ({
  requestId: `018f3c2e-7b1a-7c3d-9f00-${String(i).padStart(12, '0')}`,
  parentRequestId: null,
  route: of,
  method: i % 4 === 0 ? 'POST' : 'GET',
  path: `/api/v1/widgets/${i}/parts/engine-${i % 77}`,
  status: i % 10 === 0 ? 403 : 200,
  reason: i % 10 === 0 ? 'insufficient_scope' : 'allowed',
  shadow: null,
  outcome: i % 10 === 0 ? 'refused' : 'allowed',
  subject,
  client: '203.0.113.57',
  peer: '10.1.2.3',
  upstream: 'widgets',
  detail: null,
  fault: null,
  retried: false,
  bytesIn: i % 1000,
  bytesOut: 1000 + (i % 5000),
  durationMs: 1.5 + (i % 97) * 0.731,
  overheadMs: 0.05 + (i % 31) * 0.0173,
  upstreamMs: 0.4,
  at: 1_763_776_800_000 + i,
});

const routes = Array.from({ length: 100 }, (_, i) => route(`/api/v1/things-${i}/{id}`));
const records = Array.from({ length: 4096 }, (_, i) => record(i, routes[i % routes.length]!));

function best(name: string, rounds: number, times: number, run: (i: number) => void): void {
  let fastest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const began = process.hrtime.bigint();
    for (let i = 0; i < times; i++) run(i);
    fastest = Math.min(fastest, Number(process.hrtime.bigint() - began) / times);
  }
  console.log(`${name}: ${fastest.toFixed(0)} ns`);
}

const metrics = new Metrics({ log: silent, processMetrics: true });
const counted = new RequestMetrics(metrics);
best('RequestMetrics.record, 100 routes', 8, 400_000, i => counted.record(records[i & 4095]!));

const reloads = metrics.counter('config_reloads_total');
best('counter.inc with a label', 8, 400_000, () => reloads.inc({ result: 'success' }));

// Copied out, because a string that was only put together is not yet text in memory.
const copy = Buffer.alloc(8192);
const lines = new RequestLog(line => copy.write(line, 'latin1'), { level: 'info', access: 'all', sample: 1 });
best('RequestLog line, put together and copied', 8, 200_000, i => lines.record(records[i & 4095]!));
const sampled = new RequestLog(() => {}, { level: 'info', access: 'all', sample: 0.01 });
best('RequestLog line, 1 % sampled', 8, 200_000, i => sampled.record(records[i & 4095]!));

async function written(): Promise<void> {
  const fd = openSync('/dev/null', 'w');
  const sink = new LineSink(fd);
  const log = new RequestLog(line => sink.write(line), { level: 'info', access: 'all', sample: 1 });
  let cheapest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const times = 200_000;
    const began = process.cpuUsage();
    for (let i = 0; i < times; i++) {
      log.record(records[i & 4095]!);
      if (i % 50 === 0) await nextTurn();
    }
    sink.flushSync();
    const { user, system } = process.cpuUsage(began);
    cheapest = Math.min(cheapest, ((user + system) * 1000) / times);
  }
  console.log(`RequestLog line, written to /dev/null, processor time of all threads: ${cheapest.toFixed(0)} ns`);
  closeSync(fd);
}

async function scrapes(name: string): Promise<void> {
  let fastest = Number.POSITIVE_INFINITY;
  let slowest = 0;
  let text = '';
  for (let round = 0; round < 12; round++) {
    const began = performance.now();
    text = await metrics.metrics();
    const took = performance.now() - began;
    if (round > 1) slowest = Math.max(slowest, took);
    fastest = Math.min(fastest, took);
  }
  const series = text.split('\n').filter(line => line !== '' && !line.startsWith('#')).length;
  console.log(
    `scrape, ${name}: ${series} series, ${(text.length / 1024).toFixed(0)} KiB, ` +
      `best ${fastest.toFixed(1)} ms, worst ${slowest.toFixed(1)} ms`,
  );
}

await written();
await scrapes('100 routes of ordinary traffic');
for (const of of routes) {
  for (let i = 0; i < 20_000; i++) {
    counted.record({
      ...records[i & 4095]!,
      route: of,
      method: methodLabels[i % 8]!,
      status: 100 + (Math.floor(i / 40) % 500),
      outcome: outcomes[Math.floor(i / 8) % 5]!,
      reason: reasonLabels[i % reasonLabels.length]!,
    });
  }
}
await scrapes('100 routes, each with every series that it can have');
best('RequestMetrics.record, 100 full routes', 8, 400_000, i => counted.record(records[i & 4095]!));
