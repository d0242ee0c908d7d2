import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { beat } from '../../src/stores/redis/scripts/processes.ts';
import { readFeed } from '../../src/stores/redis/scripts/read-feed.ts';
import { BoundFleet, type Place } from '../support/bound-fleet.ts';
import type { Strike } from '../support/hammer.ts';
import { below, pick, randomFrom, seed, several } from '../support/random.ts';
import type { Mode } from '../support/resp-proxy.ts';
import { patience } from '../support/tiers.ts';

/**
 * Revocations while processes are cut off, stand still, or die and come back, at random moments. Each is judged by what
 * its own answer promised, and by when requests were sent: whatever was admitted then was judged later than that.
 */

/** How many tokens are revoked, and how many of them while the same processes are in trouble. */
const trials = Number(process.env['POSTERN_TRIALS'] ?? 10);
const together = 5;

type Fault =
  | { readonly kind: 'network'; readonly mode: Mode; readonly name: string }
  | { readonly kind: 'stop' }
  /** `alone`: it starts again without the store. */
  | { readonly kind: 'kill'; readonly alone: boolean };

interface Trouble {
  readonly place: number;
  readonly fault: Fault;
  readonly afterMs: number;
  readonly forMs: number;
}

interface Revocation {
  readonly by: number;
  readonly afterMs: number;
  readonly wait: string | null;
}

interface Plan {
  readonly troubles: readonly Trouble[];
  readonly revocations: readonly Revocation[];
}

const network = (name: string, mode: Mode): Fault => ({ kind: 'network', mode, name });

function faultOf(random: () => number): Fault {
  return pick<Fault>(random, [
    network('hold', { kind: 'hold' }),
    network('swallow', { kind: 'swallow' }),
    network('refuse', { kind: 'refuse' }),
    network('delay', { kind: 'delay', ms: below(random, 700) }),
    // It hears of everything, and nobody hears of it; or the other way round.
    network('hold heartbeats', { kind: 'hold-from', match: bytes => bytes.includes(beat.sha) }),
    network('hold the feed', { kind: 'hold-from', match: bytes => bytes.includes(readFeed.sha) }),
    { kind: 'stop' },
    { kind: 'stop' },
    { kind: 'stop' },
    { kind: 'kill', alone: random() < 0.7 },
    { kind: 'kill', alone: random() < 0.7 },
  ]);
}

function planOf(random: () => number, places: readonly Place[]): Plan {
  const troubles = places.slice(1).flatMap(({ cutOffMs }, i): Trouble[] => {
    const afterMs = below(random, 300);
    // Mostly for longer than it may serve what it knows.
    const forMs = Math.floor((0.4 + 1.4 * random()) * cutOffMs);
    const fault = faultOf(random);
    return random() < 0.75 ? [{ place: i + 1, fault, afterMs, forMs }] : [];
  });
  const moments = troubles.flatMap(({ afterMs, forMs }) => [afterMs, afterMs, afterMs, afterMs + forMs]);
  const revocations = several(random, together, together, () => ({
    // Mostly by the one that nothing happens to.
    by: random() < 0.7 ? 0 : below(random, places.length),
    afterMs: Math.max(0, pick(random, [...moments, 200]) - 150 + below(random, 450)),
    wait: pick(random, [null, '100ms', '1s', '3s']),
  }));
  return { troubles, revocations };
}

let fleet: BoundFleet;
beforeAll(async () => {
  fleet = await BoundFleet.start();
}, patience(60_000));
afterAll(() => fleet.stop());

/** What has been looked at: a run in which nothing could have gone wrong shows here. */
const seen = { revoked: 0, unanswered: 0, pending: 0, meanwhile: 0, afterwards: 0, good: 0 };
const faults: Record<string, number> = {};

async function suffer({ place: index, fault, afterMs, forMs }: Trouble): Promise<void> {
  const place = fleet.places[index]!;
  const name = fault.kind === 'network' ? fault.name : fault.kind;
  faults[name] = (faults[name] ?? 0) + 1;
  await pause(afterMs);
  switch (fault.kind) {
    case 'network':
      await place.proxy.be(fault.mode);
      await pause(forMs);
      await place.proxy.be({ kind: 'pass' });
      return;
    case 'stop':
      place.served.program.signal('SIGSTOP');
      await pause(forMs);
      place.served.program.signal('SIGCONT');
      return;
    case 'kill':
      if (fault.alone) await place.proxy.be({ kind: 'refuse' });
      await place.served.program.kill();
      await place.start(fleet.key);
      await pause(forMs);
      await place.proxy.be({ kind: 'pass' });
  }
}

interface Answered {
  /** Wall milliseconds. */
  readonly at: number;
  readonly pending: readonly { readonly process: string; readonly until: number }[];
  /** Whoever it does not list is known not to serve. */
  readonly complete: boolean;
}

/** Revokes a token, again and again until that is answered. */
async function revoke({ by, afterMs, wait }: Revocation, id: string): Promise<Answered> {
  await pause(afterMs);
  let answer = await fleet.places[by]!.revoke(id, wait).catch(() => null);
  while (answer === null || answer.status === 503) {
    seen.unanswered++;
    answer = await fleet.places[0]!.revoke(id, wait);
  }
  const at = Date.now();
  seen.revoked++;
  const { status, body } = answer;
  expect([200, 202]).toContain(status);
  const said = body['pending'] as readonly { readonly process: string; readonly may_serve_until: string }[];
  const pending = said.map(({ process, may_serve_until }) => ({ process, until: Date.parse(may_serve_until) }));
  if (status === 200) expect(pending).toEqual([]);
  seen.pending += pending.length;
  // With nobody pending it says that it does not know who else is live.
  return { at, pending, complete: status === 200 || pending.length > 0 };
}

/** Wall milliseconds from which on nobody at this place may admit what was revoked. */
function until({ at, pending, complete }: Answered, { names, cutOffMs }: Place): number {
  if (!complete) return at + cutOffMs;
  const own = pending.filter(({ process }) => names.has(process)).map(one => one.until);
  for (const ms of own) expect(ms).toBeLessThanOrEqual(at + cutOffMs);
  return Math.max(at, ...own);
}

async function round(number: number): Promise<void> {
  const plan = planOf(randomFrom(seed + number), fleet.places);
  const [good, ...tokens] = await Promise.all(
    Array.from({ length: 1 + plan.revocations.length }, () => fleet.places[0]!.served.mint({ permissions: ['api'] })),
  );
  const secrets = [good!, ...tokens].map(({ secret }) => secret);
  await fleet.hammer.strike(() => fleet.ports, secrets, pause(60));

  const troubles = Promise.all(plan.troubles.map(suffer));
  const revocations = Promise.all(plan.revocations.map((revocation, i) => revoke(revocation, tokens[i]!.id)));
  const over = Promise.all([revocations, troubles]).then(async ([answers]) => {
    const last = Math.max(...answers.flatMap(({ at, pending }) => [at, ...pending.map(one => one.until)]));
    await pause(Math.max(0, last - Date.now()) + 100);
  });
  const strikes = await fleet.hammer.strike(() => fleet.ports, secrets, over);
  // Everybody's name is known then.
  await fleet.united();

  const where = `POSTERN_SEED=${seed}, round ${number}: ${JSON.stringify(plan)}`;
  const answers = await revocations;
  const revoked = new Map(tokens.map(({ secret }, i) => [secret, answers[i]!]));
  const late = strikes.filter(strike => isLate(strike, revoked.get(strike.secret)));
  // The first ones are enough to be told.
  expect(
    late.slice(0, 3).map(({ secret, ...strike }) => ({ ...strike, answered: revoked.get(secret) })),
    `${late.length} late admissions: ${where}`,
  ).toEqual([]);
  const asked = strikes.filter(({ secret }) => secret === good!.secret);
  seen.good += asked.filter(({ status }) => status === 200).length;
  // Who is killed answers nothing.
  expect(
    asked.filter(({ status }) => ![0, 200, 503].includes(status)),
    where,
  ).toEqual([]);
}

function isLate({ place, sent, admitted }: Strike, answered: Answered | undefined): boolean {
  if (answered === undefined || sent <= answered.at) return false;
  const late = sent > until(answered, fleet.places[place]!);
  if (late) seen.afterwards++;
  else if (admitted) seen.meanwhile++;
  return late && admitted;
}

test(
  `a revoked token is admitted by nobody who acknowledged it, and by nobody else after the time that was printed (seed ${seed})`,
  async () => {
    for (let i = 0; i * together < trials; i++) await round(i);
    console.log(`POSTERN_SEED=${seed} POSTERN_TRIALS=${trials}`, seen, faults);
    expect(seen.revoked).toBeGreaterThanOrEqual(trials);
    for (const count of [seen.afterwards, seen.good]) expect(count).toBeGreaterThan(trials);
  },
  patience(90_000),
);
