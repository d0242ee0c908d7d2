import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { RedisServer } from '../support/redis.ts';
import { Served } from '../support/served.ts';

/**
 * How long a revocation takes to hold on every process of a fleet on one Redis, from `revocation_propagation_seconds` of
 * the processes that did not make it. All share one clock here, so that the figure needs no correction.
 */

const { values } = parseArgs({
  options: {
    processes: { type: 'string', default: '8' },
    trials: { type: 'string', default: '10000' },
    /** Requests a second to each process meanwhile; none by default. */
    load: { type: 'string', default: '0' },
  },
});
const trials = Number(values.trials);
const load = Number(values.load);
const key = randomBytes(32).toString('hex');

const upstream = await new RecordingUpstream().listen();
const redis = await RedisServer.start();
const config = `
upstreams: { u: { url: "${upstream.url}" } }
routes: [{ path: /**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${key}" }] }
store: { kind: redis, url: "redis://127.0.0.1:${redis.endpoint.port}" }
log: { access: none }
`;
const fleet: Served[] = [];
for (let i = 0; i < Number(values.processes); i++) fleet.push(await Served.start({ config }));
const [first, ...others] = fleet as [Served, ...Served[]];
first.adminKey = key;

const { secret } = await first.mint({ permissions: ['api'] });
let loading = load > 0;
const traffic = loading
  ? fleet.map(async served => {
      while (loading) {
        upstream.requests.length = 0;
        await served.status('/x', secret);
        await new Promise(resolve => setTimeout(resolve, 1000 / load));
      }
    })
  : [];

const ids: string[] = [];
const lane = async (work: () => Promise<void>): Promise<void> => {
  while (ids.length < trials) await work();
};
await Promise.all(Array.from({ length: 16 }, () => lane(async () => void ids.push((await first.mint()).id))));
const before = await buckets();
for (let next = 0; next < trials; ) {
  await Promise.all(
    ids.slice(next, next + 4).map(async id => {
      const { status } = await first.admin('DELETE', `/v1/tokens/${id}`);
      if (status !== 200) throw new Error(`revocation of ${id}: ${status}`);
    }),
  );
  next += 4;
}
await new Promise(resolve => setTimeout(resolve, 2000));
const after = await buckets();
loading = false;
await Promise.all(traffic);

const counts = [...after].map(([bound, count]): [string, number] => [bound, count - (before.get(bound) ?? 0)]);
const total = counts.at(-1)![1];
console.log(`${trials} revocations by one of ${fleet.length} processes, seen by the others: ${total} observations`);
for (const [bound, count] of counts) console.log(`<= ${bound} s: ${((100 * count) / total).toFixed(3)} %`);

await Promise.all(fleet.map(served => served.stop()));
await redis.stop();
await upstream.close();

/** Cumulative counts of the processes that look on, by upper bound. */
async function buckets(): Promise<Map<string, number>> {
  const sums = new Map<string, number>();
  for (const served of others) {
    for (const [, bound, count] of (await served.metrics()).matchAll(
      /^postern_revocation_propagation_seconds_bucket\{le="([^"]+)"\} (\d+)$/gm,
    )) {
      sums.set(bound!, (sums.get(bound!) ?? 0) + Number(count));
    }
  }
  return sums;
}
