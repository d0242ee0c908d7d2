import { CachedLookup, type CacheOptions } from '../../src/cache/cached-lookup.ts';
import { FeedFollower } from '../../src/cache/freshness.ts';
import type { Evidence } from '../../src/core/decide.ts';
import type { FeedAnswer } from '../../src/ports/change-feed.ts';
import type { PresentedSecret } from '../../src/ports/token-lookup.ts';
import type { FeedEvent, FoundToken } from '../../src/ports/token-store.ts';
import { anAccount, aRole, aToken } from '../contract/harness.ts';
import { always, type FeedRead, type Held, HeldFeed, HeldStore, settled } from './held-store.ts';
import { ManualClock } from './manual-clock.ts';
import { pick } from './random.ts';

/** What was true of one secret from an instant on: how often it had changed, and whether there was a token. */
interface Fact {
  readonly from: number;
  readonly exists: boolean;
}

/** Roles of the accounts that secrets belong to. */
const rolesOf = (owner: string | null): readonly string[] =>
  ({ even: ['shared', 'own'], odd: ['shared'] })[owner ?? ''] ?? [];

interface Find {
  readonly call: Held<readonly string[], FoundToken | null>;
  readonly sent: number;
  readonly key: number;
  /** What the store read, once it has read. */
  answer: FoundToken | null | undefined;
}

/**
 * A store, its feed and the truth about both, around the real cache and the real follower. Answers are made at one
 * instant and arrive at a later one; the test says when. Every evidence that comes out is held against the truth.
 */
export class CacheWorld {
  readonly clock: ManualClock = new ManualClock();
  readonly store: HeldStore = new HeldStore();
  readonly feed: HeldFeed = new HeldFeed();
  readonly cache: CachedLookup;
  readonly follower: FeedFollower;
  /** What came out and must not have. */
  readonly faults: string[] = [];
  readonly seen = { hit: 0, absent: 0, loaded: 0, unavailable: 0 };
  readonly #options: CacheOptions;
  readonly #facts: Fact[][];
  readonly #events: FeedEvent[] = [];
  /** Of each secret: the first fact that applied events leave standing. An account's and a role's say nothing of what is absent. */
  readonly #floors: { readonly token: number[]; readonly account: number[] };
  /** Of each secret: when the last look-up was sent that found nothing. */
  readonly #absentSent: number[];
  /** Secrets that must be served from memory while the feed proves them. */
  readonly #owed = new Map<number, number>();
  #trimmed = 0;
  #epoch = 1;
  #clears = 0;
  #finds: Find[] = [];
  #read: { readonly call: Held<FeedRead, FeedAnswer>; answer: FeedAnswer | null } | null = null;
  /** The newest fact of every secret when the feed's last answer was made. */
  #asOf: readonly number[];

  constructor(secrets: number, options: CacheOptions) {
    this.#options = options;
    this.#facts = Array.from({ length: secrets }, () => [{ from: 0, exists: false }]);
    this.#floors = { token: new Array<number>(secrets).fill(0), account: new Array<number>(secrets).fill(0) };
    this.#absentSent = new Array<number>(secrets).fill(Number.NEGATIVE_INFINITY);
    this.#asOf = this.#facts.map(() => 0);
    this.cache = new CachedLookup(this.store.port, this.clock, options);
    this.follower = new FeedFollower(
      this.feed,
      {
        apply: events => {
          this.cache.apply(events);
          for (const event of events) this.#applied(event);
        },
        missed: () => {
          this.cache.missed();
          this.#caughtUp();
        },
      },
      this.clock,
      options.boundMs,
      null,
      // Time passes by the world's clock alone.
      () => new AbortController().signal,
    );
    this.cache.follow(this.follower, always);
  }

  async start(): Promise<void> {
    this.follower.start();
    (await this.feed.heads.next()).answer({ epoch: 'e1', seq: 0 });
    await settled();
  }

  get now(): number {
    return this.clock.monotonic();
  }

  /** Secrets 0, 1 and 2 belong to `even`, `odd` and nobody, and so on. */
  #owner(key: number): string | null {
    return [null, 'odd', 'even'][key % 3] ?? null;
  }

  #secret(key: number): PresentedSecret {
    return { key: `key-${key}`, digests: () => [`new-${key}`, `old-${key}`] };
  }

  #truth(key: number): FoundToken | null {
    const facts = this.#facts[key]!;
    if (!facts.at(-1)!.exists) return null;
    const owner = this.#owner(key);
    const token = aToken(`t${key}`, { digest: `new-${key}`, owner, version: facts.length - 1 });
    const roles = rolesOf(owner);
    const account = owner === null ? null : anAccount(owner, { roles });
    return { token, account, roles: roles.map(id => aRole(id)), index: 0 };
  }

  /** A token is made, changed or deleted. `here`: by this process, which applies the event at once. */
  changeToken(key: number, exists: boolean, here: boolean): void {
    this.#facts[key]!.push({ from: this.now, exists });
    this.#commit('token', `t${key}`, [`new-${key}`, `old-${key}`], here);
  }

  /** An account, a role, or the order of roles. */
  changeOwners(kind: 'account' | 'role', id: string, here: boolean): void {
    for (const [key, facts] of this.#facts.entries()) {
      if (this.#concerns(kind, id, key) && facts.at(-1)!.exists) facts.push({ from: this.now, exists: true });
    }
    this.#commit(kind, id, [], here);
  }

  #concerns(kind: FeedEvent['kind'], id: string, key: number): boolean {
    const owner = this.#owner(key);
    if (kind === 'token') return id === `t${key}`;
    if (kind === 'account') return id === owner;
    return id === 'order' ? rolesOf(owner).length > 0 : rolesOf(owner).includes(id);
  }

  #commit(kind: FeedEvent['kind'], id: string, digests: string[], here: boolean): void {
    const event: FeedEvent = { seq: this.#events.length + 1, at: 0, kind, id, version: 1, digests, awaited: false };
    this.#events.push(event);
    this.#changes.set(
      event,
      this.#facts.map(facts => facts.length - 1),
    );
    if (!here) return;
    this.cache.apply([event]);
    this.#applied(event);
  }

  /** The newest fact of every secret after an event. */
  readonly #changes = new Map<FeedEvent, readonly number[]>();

  #applied(event: FeedEvent): void {
    for (const key of this.#facts.keys()) {
      if (!this.#concerns(event.kind, event.id, key)) continue;
      const floor = event.kind === 'token' ? this.#floors.token : this.#floors.account;
      floor[key] = Math.max(floor[key]!, this.#changes.get(event)![key]!);
      this.#owed.delete(key);
    }
  }

  /** After a gap nothing may be served from before it: that this process has come over it is told to others. */
  #caughtUp(): void {
    for (const [key, fact] of this.#asOf.entries()) {
      for (const floor of [this.#floors.token, this.#floors.account]) floor[key] = Math.max(floor[key]!, fact);
      this.#owed.delete(key);
    }
  }

  /** A request: as the gate asks. */
  ask(key: number): void {
    const secret = this.#secret(key);
    const memory = this.cache.peek(secret);
    if (memory !== undefined) {
      this.#hold(key, memory);
      this.seen[memory.kind === 'found' ? 'hit' : 'absent']++;
      if (memory.kind === 'absent' && this.now - this.#absentSent[key]! > this.#options.negativeTtlMs) {
        this.faults.push(`that there is no secret ${key} was remembered for too long`);
      }
      return;
    }
    const owed = this.#owed.get(key);
    const lag = this.follower.lagSeconds * 1000;
    if (owed === this.follower.generation && lag <= this.#options.boundMs)
      this.faults.push(`secret ${key} was forgotten`);
    const clears = this.#clears;
    void this.cache.load(secret).then(evidence => {
      if (evidence.kind === 'unavailable') {
        this.seen.unavailable++;
        return;
      }
      this.seen.loaded++;
      this.#hold(key, evidence);
      if (clears !== this.#clears) return;
      if (evidence.kind === 'found') this.#owed.set(key, this.follower.generation);
      else this.#owed.delete(key);
    });
  }

  /** Evidence must have been true within the bound, and no applied event may contradict it. */
  #hold(key: number, evidence: Evidence): void {
    const facts = this.#facts[key]!;
    const index =
      evidence.kind === 'found' ? evidence.subject.token.version : facts.findLastIndex(({ exists }) => !exists);
    if (facts[index]?.exists !== (evidence.kind === 'found'))
      this.faults.push(`secret ${key} was never ${evidence.kind}`);
    const until = facts[index + 1]?.from ?? this.now;
    if (this.now - until > this.#options.boundMs) {
      this.faults.push(`secret ${key}: what ended at ${until} was served at ${this.now}`);
    }
    const floor = Math.max(this.#floors.token[key]!, evidence.kind === 'found' ? this.#floors.account[key]! : 0);
    if (index < floor) {
      this.faults.push(`secret ${key}: fact ${index} was served after fact ${floor} was applied`);
    }
  }

  /** Nothing has to be in memory. */
  excuse(): void {
    this.#owed.clear();
  }

  forget(): void {
    this.#clears++;
    this.cache.clear();
    this.#owed.clear();
  }

  /** The store reads for one look-up, answers one that it has read for, or fails one. */
  find(random: () => number, act: 'read' | 'answer' | 'fail'): void {
    this.#collect();
    const ready = this.#finds.filter(({ answer }) => (act === 'answer' ? answer !== undefined : answer === undefined));
    if (ready.length === 0) return;
    const find = pick(random, ready);
    if (act === 'read') {
      find.answer = this.#truth(find.key);
      return;
    }
    this.#finds = this.#finds.filter(other => other !== find);
    if (act === 'fail') find.call.fail(new Error('the store is gone'));
    else {
      if (find.answer === null) {
        this.#absentSent[find.key] = Math.max(this.#absentSent[find.key]!, find.sent);
        this.#owed.delete(find.key);
      }
      find.call.answer(find.answer!);
    }
  }

  #collect(): void {
    for (const call of this.store.finds.open.splice(0)) {
      this.#finds.push({ call, sent: this.now, key: Number(call.question[0]!.slice(4)), answer: undefined });
    }
  }

  /** Look-ups of one secret that are under way; one at most, those that were forgotten aside. */
  underWay(key: number): number {
    this.#collect();
    return this.#finds.filter(find => find.key === key).length;
  }

  get forgotten(): number {
    return this.#clears;
  }

  /** The feed reads for the read under way, or answers it. */
  readFeed(act: 'read' | 'answer'): void {
    this.#read ??= this.feed.reads.open.length === 0 ? null : { call: this.feed.reads.open.shift()!, answer: null };
    if (this.#read === null) return;
    const { cursor } = this.#read.call.question;
    if (act === 'read') {
      if (this.#read.answer !== null) return;
      this.#asOf = this.#facts.map(facts => facts.length - 1);
      const end = { epoch: `e${this.#epoch}`, seq: this.#events.length };
      const gap = cursor.epoch !== end.epoch || cursor.seq < this.#trimmed;
      this.#read.answer = gap
        ? { kind: 'gap', cursor: end }
        : { kind: 'events', events: this.#events.slice(cursor.seq), cursor: end, complete: true };
    } else if (this.#read.answer !== null) {
      this.#read.call.answer(this.#read.answer);
      this.#read = null;
    }
  }

  /** Events that were not read yet are lost, or the store begins a new epoch. */
  breakFeed(newEpoch: boolean): void {
    if (newEpoch) this.#epoch++;
    else this.#trimmed = this.#events.length;
    if (this.#read !== null) this.#read.answer = null;
  }

  /** Answers everything, until nothing is under way. */
  async calm(random: () => number): Promise<void> {
    for (let quiet = 0; quiet < 3; ) {
      this.#collect();
      const busy = this.#finds.length > 0;
      this.find(random, 'read');
      this.find(random, 'answer');
      this.readFeed('read');
      this.readFeed('answer');
      await settled();
      quiet = busy ? 0 : quiet + 1;
    }
  }

  /** What one secret is known to be, once everything is answered. */
  async known(random: () => number, key: number): Promise<boolean> {
    const secret = this.#secret(key);
    let evidence = this.cache.peek(secret);
    if (evidence === undefined) {
      const load = this.cache.load(secret);
      await this.calm(random);
      evidence = await load;
    }
    const truth = this.#truth(key);
    return evidence.kind === 'found'
      ? evidence.subject.token.version === truth?.token.version
      : evidence.kind === 'absent' && truth === null;
  }
}
