import { randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { Hammer, type Strike } from './hammer.ts';
import { Program } from './program.ts';
import { type ApiAnswer, Served } from './served.ts';

/** How long a process of the fleet serves what it knows. */
export interface Habit {
  /** YAML of its `store`. */
  readonly store: string;
  readonly serveMs: number;
  readonly snapshots: boolean;
}

/** A process of the fleet, and those that came before it in the same folder. */
export class Place {
  readonly cutOffMs: number;
  readonly #config: string;
  #served!: Served;
  /** What the registry calls this process and those before it, as far as that was asked. */
  readonly names: Set<string> = new Set();

  constructor(config: string, boundMs: number, { store, serveMs, snapshots }: Habit) {
    this.cutOffMs = Math.max(boundMs, serveMs);
    const snapshot = snapshots ? ', snapshot: { path: ./snapshot, interval: 1s }' : '';
    this.#config = `${config}
store: ${store}
revocation: { bound: ${boundMs}ms }
outage: { serve_cached_for: ${serveMs}ms${snapshot} }
`;
  }

  get served(): Served {
    return this.#served;
  }

  /** Starts it, in the folder of the one before. */
  async start(adminKey: string): Promise<void> {
    const folder = this.#served?.folder;
    this.#served = await Served.start({ config: this.#config, ...(folder === undefined ? {} : { folder }) });
    this.#served.adminKey = adminKey;
  }

  revoke(id: string, wait: string | null): Promise<ApiAnswer> {
    return this.#served.admin('DELETE', `/v1/tokens/${id}${wait === null ? '' : `?wait=${wait}`}`);
  }
}

/** What the answer to a revocation promised. */
export interface Answered {
  /** Wall milliseconds. */
  readonly at: number;
  readonly pending: readonly { readonly process: string; readonly until: number }[];
  /** Whoever it does not list is known not to serve. */
  readonly complete: boolean;
}

/** Processes on one store, and somebody who asks all of them, whatever becomes of them. */
export class BoundFleet {
  readonly hammer: Hammer = new Hammer(50);
  readonly key: string = randomBytes(32).toString('hex');
  readonly places: Place[] = [];
  /** What has been looked at: a run in which nothing could have gone wrong shows here. */
  readonly seen = { revoked: 0, unanswered: 0, pending: 0, meanwhile: 0, afterwards: 0, good: 0 };

  static async start(boundMs: number, habits: readonly Habit[]): Promise<BoundFleet> {
    const fleet = new BoundFleet();
    await fleet.hammer.listen();
    const config = `
upstreams: { u: { url: "${fleet.hammer.url}" } }
routes: [{ path: /api/**, require: api }]
admin: { keys: [{ name: ops, role: admin, key: "${fleet.key}" }] }
tokens: { peppers: [{ id: p1, key: "${randomBytes(32).toString('hex')}" }] }
guard: { failures: 0 }
log: { access: none }
`;
    for (const habit of habits) fleet.places.push(new Place(config, boundMs, habit));
    await Promise.all(fleet.places.map(place => place.start(fleet.key)));
    await fleet.united();
    return fleet;
  }

  get ports(): number[] {
    return this.places.map(({ served }) => served.ports.proxy);
  }

  /** Resolves when every process knows that all others live, and that nobody else does. */
  async united(): Promise<void> {
    await Promise.all(this.places.map(place => this.#unite(place)));
  }

  async #unite(place: Place): Promise<void> {
    for (const end = performance.now() + 30_000; ; await pause(25)) {
      const made = await place.served.admin('POST', '/v1/tokens', {});
      let said = made.text;
      if (made.status === 201) {
        const revoked = await place.revoke((made.body['token'] as { id: string }).id, '1s');
        said = revoked.text;
        const names = (revoked.body['acknowledged'] ?? []) as readonly string[];
        // Whoever answers is the first.
        if (revoked.status === 200 && names.length === this.places.length) {
          place.names.add(names[0]!);
          return;
        }
      }
      if (performance.now() > end) throw new Error(`the fleet is not united: ${said}`);
    }
  }

  /** Tokens that every process knows. */
  async mint(count: number): Promise<{ readonly id: string; readonly secret: string }[]> {
    const tokens = await Promise.all(
      Array.from({ length: count }, () => this.places[0]!.served.mint({ permissions: ['api'] })),
    );
    for (const { served } of this.places) {
      // A busy machine misses the deadline of a look-up.
      for (const { secret } of tokens)
        await expect.poll(() => served.status('/api/x', secret), { interval: 20, timeout: 10_000 }).toBe(200);
    }
    return tokens;
  }

  /** Revokes a token, through the first process again and again if the other one gives no answer. */
  async revoke(id: string, by: number, wait: string | null): Promise<Answered> {
    let answer = await this.places[by]!.revoke(id, wait).catch(() => null);
    while (answer === null || answer.status === 503) {
      this.seen.unanswered++;
      answer = await this.places[0]!.revoke(id, wait);
    }
    const at = Date.now();
    this.seen.revoked++;
    const { status, body } = answer;
    expect([200, 202]).toContain(status);
    const said = body['pending'] as readonly { readonly process: string; readonly may_serve_until: string }[];
    const pending = said.map(({ process, may_serve_until }) => ({ process, until: Date.parse(may_serve_until) }));
    if (status === 200) expect(pending).toEqual([]);
    this.seen.pending += pending.length;
    // With nobody pending it says that it does not know who else is live.
    return { at, pending, complete: status === 200 || pending.length > 0 };
  }

  /**
   * Holds what was asked against what was answered: the good token is never refused, and a revoked one admitted by
   * nobody who had acknowledged that, nor by anybody else later than was printed. `what` tells a failure.
   */
  judge(strikes: readonly Strike[], good: string, revoked: ReadonlyMap<string, Answered>, what: string): void {
    const late = strikes.filter(strike => this.#isLate(strike, revoked.get(strike.secret)));
    // The first ones are enough to be told.
    expect(
      late.slice(0, 3).map(({ secret, ...strike }) => ({ ...strike, answered: revoked.get(secret) })),
      `${late.length} late admissions: ${what}`,
    ).toEqual([]);
    const asked = strikes.filter(({ secret }) => secret === good);
    this.seen.good += asked.filter(({ status }) => status === 200).length;
    // Who is killed answers nothing.
    const others = asked.filter(({ status }) => ![0, 200, 503].includes(status));
    expect(others, what).toEqual([]);
  }

  #isLate({ place, sent, admitted }: Strike, answered: Answered | undefined): boolean {
    if (answered === undefined || sent <= answered.at) return false;
    const late = sent > until(answered, this.places[place]!);
    if (late) this.seen.afterwards++;
    else if (admitted) this.seen.meanwhile++;
    return late && admitted;
  }

  async stop(): Promise<void> {
    await Program.killAll();
    await Promise.all(this.places.map(({ served }) => served.remove()));
    this.hammer.close();
  }
}

/** Wall milliseconds from which on nobody at this place may admit what was revoked. */
function until({ at, pending, complete }: Answered, { names, cutOffMs }: Place): number {
  if (!complete) return at + cutOffMs;
  const own = pending.filter(({ process }) => names.has(process)).map(one => one.until);
  for (const ms of own) expect(ms).toBeLessThanOrEqual(at + cutOffMs);
  return Math.max(at, ...own);
}

/** Resolves when nobody may serve any of these any more. */
export async function allOver(revoked: readonly Answered[]): Promise<void> {
  const last = Math.max(...revoked.flatMap(({ at, pending }) => [at, ...pending.map(one => one.until)]));
  await pause(Math.max(0, last - Date.now()) + 100);
}
