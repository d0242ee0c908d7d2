import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Program } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';

/**
 * How long a revocation takes to hold on every process of a fleet on one Redis: from the time that the change bears, in
 * whole milliseconds, until the last of the processes that did not make it has evicted the token. All share one clock
 * here, so that the figure needs no correction. Then how long `DELETE …?wait=5s` takes until all have acknowledged.
 */

const { values } = parseArgs({
  options: {
    processes: { type: 'string', default: '8' },
    trials: { type: 'string', default: '10000' },
    acknowledged: { type: 'string', default: '1000' },
    /** Requests a second to each process meanwhile; none by default. */
    load: { type: 'string', default: '0' },
  },
});
const trials = Number(values.trials);
const load = Number(values.load);
const key = randomBytes(32).toString('hex');

// Whatever fails, nothing stays behind.
process.on('exit', () => void Program.killAll());

const upstream = await new RecordingUpstream().listen();
const redis = await RedisServer.start();
const folder = await mkdtemp(path.join(tmpdir(), 'postern-bench-'));
const config = `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}" }
log: { access: none }
`;
const probe = new URL('propagation-probe.ts', import.meta.url).href;
const probeFile = (i: number): string => path.join(folder, `${i}.json`);
const fleet: Served[] = [];
for (let i = 0; i < Number(values.processes); i++) {
  fleet.push(await Served.start({ config, env: { NODE_OPTIONS: `--import=${probe}`, BENCH_PROBE: probeFile(i) } }));
}
const [first] = fleet as [Served];
first.adminKey = key;

const { secret } = await first.mint({ permissions: ['api'] });
let loading = load > 0;
const traffic = fleet.map(async served => {
  while (loading) {
    upstream.requests.length = 0;
    await served.status('/x', secret);
    await pause(1000 / load);
  }
});

const tokens = await mint(trials);
for (const id of tokens) await revoke(id);
const waited: number[] = [];
for (const id of await mint(Number(values.acknowledged))) waited.push(await revokeEverywhere(id));
await pause(2000);
loading = false;
await Promise.all(traffic);
await Promise.all(fleet.map(served => served.stop()));

const last = new Map<string, { count: number; ms: number }>(tokens.map(id => [id, { count: 0, ms: 0 }]));
for (let i = 1; i < fleet.length; i++) {
  const made = new Set<string>();
  for (const [id, at, held] of JSON.parse(await readFile(probeFile(i), 'utf8')) as [string, number, number][]) {
    const seen = last.get(id);
    // The first event is the creation of the token.
    if (seen === undefined || !made.has(id)) made.add(id);
    else {
      seen.count++;
      seen.ms = Math.max(seen.ms, held - at);
    }
  }
}
for (const [id, { count }] of last) if (count !== fleet.length - 1) throw new Error(`${id} was evicted ${count} times`);
const loaded = load > 0 ? `with ${load} requests a second to each` : 'without requests';
console.log(`${fleet.length} processes ${loaded}`);
report(
  `${trials} revocations, until the last of the others`,
  [...last.values()].map(({ ms }) => ms),
);
report(`${waited.length} times DELETE ?wait=5s, until acknowledged by all`, waited);

await rm(folder, { recursive: true });
await redis.stop();
await upstream.close();

async function mint(count: number): Promise<string[]> {
  const ids: string[] = [];
  let left = count;
  const lane = async (): Promise<void> => {
    while (left-- > 0) ids.push((await first.mint()).id);
  };
  await Promise.all(Array.from({ length: 16 }, lane));
  return ids;
}

/** Answered at once: the others hear of it. */
async function revoke(id: string): Promise<void> {
  const { status } = await first.admin('DELETE', `/v1/tokens/${id}`);
  if (status !== 200 && status !== 202) throw new Error(`revocation of ${id}: ${status}`);
}

/** Milliseconds until all have acknowledged it. */
async function revokeEverywhere(id: string): Promise<number> {
  const began = performance.now();
  const { status, text, body } = await first.admin('DELETE', `/v1/tokens/${id}?wait=5s`);
  const took = performance.now() - began;
  const acknowledged = body['acknowledged'] as readonly string[];
  if (status !== 200 || acknowledged.length !== fleet.length) throw new Error(`not acknowledged by all: ${text}`);
  return took;
}

function report(what: string, times: readonly number[]): void {
  const sorted = [...times].sort((a, b) => a - b);
  const at = (share: number): string =>
    sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!.toFixed(1);
  console.log(`${what}: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, p99.9 ${at(0.999)} ms, worst ${at(1)} ms`);
}
