import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { BoundFleet, type Place } from '../support/bound-fleet.ts';
import { below, pick, randomFrom, seed } from '../support/random.ts';
import { RedisServer } from '../support/redis.ts';
import { RespProxy } from '../support/resp-proxy.ts';
import { patience } from '../support/tiers.ts';

/** How many tokens are revoked around the death of a process, and how many of them at a time. */
const trials = Number(process.env['POSTERN_TRIALS'] ?? 16);
const together = 8;

let redis: RedisServer;
let network: RespProxy;
let fleet: BoundFleet;
beforeAll(async () => {
  redis = await RedisServer.start();
  network = await RespProxy.start(redis.endpoint.port);
  const store = (port: number): string => `{ kind: redis, url: "redis://127.0.0.1:${port}", deadline: 300ms }`;
  fleet = await BoundFleet.start(1000, [
    { store: store(redis.endpoint.port), serveMs: 0, snapshots: false },
    { store: store(network.port), serveMs: 600_000, snapshots: true },
  ]);
}, patience(60_000));
afterAll(async () => {
  await fleet.stop();
  await network.close();
  await redis.stop();
});

const seen = { revoked: 0, acknowledged: 0, served: 0 };

const written = async ({ served }: Place): Promise<string> =>
  readFile(path.join(served.folder, 'snapshot/snapshot'), 'utf8').catch(() => '');

/** Revokes at random moments around a kill, and asks the process that comes after it, which has its snapshot only. */
async function round(number: number): Promise<void> {
  const random = randomFrom(seed + number);
  const [near, far] = [fleet.places[0]!, fleet.places[1]!];
  const [good, ...tokens] = await fleet.mint(1 + together);
  // It is written every second: the first time they are in there for certain, later by chance.
  if (number === 0) await expect.poll(() => written(far), { interval: 25, timeout: 15_000 }).toContain(good!.id);
  else await pause(300 + below(random, 1500));
  const death = below(random, 400);
  const plan = tokens.map(() => ({ by: pick(random, [near, near, far]), afterMs: below(random, 400) }));
  const revocations = plan.map(async ({ by, afterMs }, i) => {
    await pause(afterMs);
    return by.revoke(tokens[i]!.id, '500ms').catch(() => null);
  });
  await pause(death);
  await far.served.program.kill();
  await network.be({ kind: 'refuse' });
  await far.start(fleet.key);

  const where = `POSTERN_SEED=${seed}, round ${number}`;
  const answers = await Promise.all(revocations);
  for (const [i, { secret }] of tokens.entries()) {
    const status = await far.served.status('/api/x', secret);
    expect([200, 503], where).toContain(status);
    const answer = answers[i] ?? null;
    if (answer?.status !== 200 && answer?.status !== 202) continue;
    seen.revoked++;
    const acknowledged = answer.body['acknowledged'] as readonly string[];
    // Whoever answers it has it on disk, too.
    const told = acknowledged.some(name => far.names.has(name));
    if (told) seen.acknowledged++;
    if (told || answer.status === 200) expect(status, `${where}, token ${i}: ${answer.text}`).toBe(503);
  }
  if ((await far.served.status('/api/x', good!.secret)) === 200) seen.served++;

  await network.be({ kind: 'pass' });
  await fleet.united();
  for (const [i, { secret }] of tokens.entries()) {
    if (answers[i]?.status === 200 || answers[i]?.status === 202) {
      expect(await far.served.status('/api/x', secret), where).toBe(401);
    }
  }
}

test(
  `what a process has acknowledged as revoked is not served from its snapshot, whenever it is killed (seed ${seed})`,
  async () => {
    for (let i = 0; i * together < trials; i++) await round(i);
    console.log(`POSTERN_SEED=${seed} POSTERN_TRIALS=${trials}`, seen);
    expect(seen.acknowledged).toBeGreaterThan(0);
    expect(seen.served).toBeGreaterThan(0);
  },
  patience(60_000),
);
