import { afterEach, expect, test } from 'vitest';
import type { CacheOptions } from '../../src/cache/cached-lookup.ts';
import { CacheWorld } from '../support/cache-world.ts';
import { settled } from '../support/held-store.ts';
import { below, pick, randomFrom, seed } from '../support/random.ts';

const secrets = 6;
const options: CacheOptions = {
  maxEntries: 100,
  ttlMs: 400,
  negativeTtlMs: 150,
  boundMs: 1000,
  cutOffMs: 1000,
  onlyWhileSeen: false,
  deadlineMs: 1000,
};

const worlds: CacheWorld[] = [];
afterEach(async () => {
  await Promise.all(worlds.splice(0).map(world => world.follower.stop()));
});

async function aWorld(more: Partial<CacheOptions> = {}): Promise<CacheWorld> {
  const world = new CacheWorld(secrets, { ...options, ...more });
  worlds.push(world);
  await world.start();
  return world;
}

/** How likely each kind of step is in one round, so that rounds differ: outages, bursts of changes, idle feeds. */
interface Climate {
  readonly change: number;
  readonly find: number;
  readonly feed: number;
  /** Beside `feed`: how likely the feed's answer arrives, once it is made. */
  readonly arrival: number;
  readonly trouble: number;
}

const climates: readonly Climate[] = [
  { change: 0.1, find: 0.5, feed: 0.5, arrival: 0.5, trouble: 0 },
  { change: 0.05, find: 0.5, feed: 0.5, arrival: 0.5, trouble: 0.03 },
  { change: 0.4, find: 0.4, feed: 0.3, arrival: 0.3, trouble: 0.02 },
  { change: 0.1, find: 0.5, feed: 0.02, arrival: 0.02, trouble: 0.02 },
  { change: 0.1, find: 0.1, feed: 0.5, arrival: 0.5, trouble: 0.02 },
  { change: 0.1, find: 0.02, feed: 0.03, arrival: 0.03, trouble: 0 },
  { change: 0.05, find: 0.3, feed: 0.9, arrival: 0.015, trouble: 0 },
  { change: 0.02, find: 0.6, feed: 0.6, arrival: 0.6, trouble: 0 },
];

/** What happens between two instants. Things that run at once in a process run one after the other. */
async function step(world: CacheWorld, random: () => number, climate: Climate): Promise<void> {
  const { change, find, feed, arrival, trouble } = climate;
  if (random() < 0.7) world.ask(below(random, secrets));
  if (random() < change) {
    const here = random() < 0.3;
    if (random() < 0.7) world.changeToken(below(random, secrets), random() < 0.7, here);
    else if (random() < 0.5) world.changeOwners('account', pick(random, ['odd', 'even']), here);
    else world.changeOwners('role', pick(random, ['shared', 'own', 'order', 'none']), here);
  }
  if (random() < find) world.find(random, 'read');
  if (random() < find) world.find(random, 'answer');
  await settled();
  if (random() < feed) world.readFeed('read');
  if (random() < arrival) world.readFeed('answer');
  if (random() < trouble) world.find(random, 'fail');
  if (random() < trouble) world.breakFeed(random() < 0.5);
  if (random() < trouble / 3) world.forget();
  if (random() < trouble) world.clock.stepWall((random() - 0.5) * 4 * options.boundMs);
  await settled();
  if (random() < 0.5) world.clock.advance(below(random, random() < 0.05 ? 700 : 40));
  if (world.faults.length > 0) expect.fail(world.faults[0]!);
}

test(`nothing is served beyond its bound, or after an event that contradicts it was applied (seed ${seed})`, async () => {
  const random = randomFrom(seed);
  const seen = { hit: 0, absent: 0, loaded: 0, unavailable: 0 };
  for (let round = 0; round < 300; round++) {
    const world = await aWorld({ ttlMs: pick(random, [options.ttlMs, 60_000]) });
    const climate = pick(random, climates);
    for (let i = 0; i < 250; i++) {
      await step(world, random, climate);
      for (let key = 0; key < secrets; key++) {
        if (world.underWay(key) > 1 + world.forgotten) expect.fail(`two look-ups of secret ${key} at once`);
      }
    }
    // When everything is answered, what is known is what is true.
    await world.calm(random);
    for (let key = 0; key < secrets; key++) expect(await world.known(random, key), `secret ${key}`).toBe(true);
    for (const kind of ['hit', 'absent', 'loaded', 'unavailable'] as const) seen[kind] += world.seen[kind];
  }
  // The model does not pass by serving nothing.
  expect(seen.hit).toBeGreaterThan(5000);
  expect(seen.absent).toBeGreaterThan(1500);
  expect(seen.loaded).toBeGreaterThan(5000);
});

test(`a small cache keeps its bounds and its promises, too (seed ${seed})`, async () => {
  const random = randomFrom(seed + 1);
  for (let round = 0; round < 60; round++) {
    const world = await aWorld({ maxEntries: 2 });
    for (let i = 0; i < 250; i++) {
      // What was owed may have been pushed out by others.
      world.excuse();
      await step(world, random, climates[0]!);
      const { positive, negative } = world.cache.size;
      if (positive > 2 || negative > 2) expect.fail(`${positive} tokens and ${negative} others`);
    }
  }
});
