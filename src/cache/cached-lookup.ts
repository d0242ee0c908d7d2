import { LRUCache } from 'lru-cache';
import type { Evidence } from '../core/decide.ts';
import { compileSubject, hasRole, type StoredToken, type Subject } from '../core/token.ts';
import type { Clock } from '../ports/clock.ts';
import type { PresentedSecret, TokenLookup } from '../ports/token-lookup.ts';
import type { FeedEvent, FoundToken, Owner, TokenStore } from '../ports/token-store.ts';
import { Breaker } from './breaker.ts';
import { ageOf, type Instant, instantOf, never } from './freshness.ts';
import type { Recall, Remembered } from './recall.ts';
import { RoleIndex } from './role-index.ts';

export interface CacheOptions {
  /** Bound of tokens, and apart from it of strings that are none. */
  readonly maxEntries: number;
  /** An older entry is served and asked for again behind. */
  readonly ttlMs: number;
  readonly negativeTtlMs: number;
  /** How long an answer may be used after it was last proved. */
  readonly boundMs: number;
  /** How long it may be used when neither the feed nor the store itself answers; at least `boundMs`. */
  readonly cutOffMs: number;
  /** Answers of the store count only while others see this process live: a store cut in two answers on both sides. */
  readonly onlyWhileSeen: boolean;
  /** How long a request waits for a look-up, one that is overtaken by changes and asked for again included. */
  readonly deadlineMs: number;
}

/** What the feed proves. */
export interface Proof {
  readonly proven: Instant;
  readonly generation: number;
}

/** Whether others see this process: when the last heartbeat was sent that was answered. */
export interface Seen {
  readonly answered: Instant;
  /** Milliseconds after it for which all of them reckon with this process; 0 before the first. */
  readonly reckonedMs: number;
}

interface Entry {
  /** Null: no such token. */
  readonly subject: Subject | null;
  readonly digests: readonly string[];
  /** When the look-up was sent. */
  readonly sent: Instant;
  /** The feed's generation at that time. */
  readonly generation: number;
  /** Monotonic milliseconds before which it is not asked for again behind. */
  refreshAfter: number;
}

/** A look-up under way, and the changes that were applied meanwhile. */
interface Flight {
  readonly evidence: Promise<Evidence>;
  readonly seen: FeedEvent[];
}

/** A token declared in the configuration, under the SHA-256 of its secret. */
export type DeclaredTokens = ReadonlyMap<string, StoredToken>;

const absent: Evidence = { kind: 'absent' };
const unavailable: Evidence = { kind: 'unavailable', retryAfter: 1 };

/** Least time between two look-ups behind one entry: a store that refuses is not asked with every request. */
const refreshPauseMs = 1000;

/** How often an answer that a change overtook is asked for again, while there is time, before it is given up. */
const maxRaces = 5;

/**
 * Tokens in memory. Bounded, positive and negative apart, so that guesses cannot push tokens out; one look-up for many
 * requests; keyed by a digest, never by the secret. An answer may be used while it is proved: by its own look-up, or
 * by the feed since. While others do not see this process, nobody waits for it to hear of a revocation: then it asks the
 * store each time.
 */
export class CachedLookup implements TokenLookup {
  readonly #store: TokenStore;
  readonly #clock: Clock;
  #options: CacheOptions;
  #positive: LRUCache<string, Entry>;
  #negative: LRUCache<string, Entry>;
  /** Those that whoever asks joins. */
  readonly #flights = new Map<string, Flight>();
  /** All that are under way, forgotten ones too: a change is told to each of them. */
  readonly #underWay = new Set<Flight>();
  readonly #byToken = new Map<string, Set<string>>();
  readonly #byOwner = new Map<string, Set<string>>();
  readonly #byRole = new RoleIndex();
  readonly #byDigest = new Map<string, string>();
  #declared: DeclaredTokens = new Map();
  #proof: Proof = { proven: never, generation: 0 };
  #seen: Seen = { answered: never, reckonedMs: 0 };
  #recall: Recall | null = null;
  readonly #breaker = new Breaker();
  /** Told after every change, null when anything may have changed. */
  #onChange: (events: readonly FeedEvent[] | null) => void = () => {};
  changes = 0;
  /** Look-ups by what the cache had; `stale` was served and asked for again behind, `unavailable` could not be asked. */
  readonly results = { hit: 0, negative: 0, stale: 0, miss: 0, unavailable: 0 };

  constructor(store: TokenStore, clock: Clock, options: CacheOptions) {
    this.#store = store;
    this.#clock = clock;
    this.#options = options;
    this.#positive = this.#room();
    this.#negative = this.#room();
  }

  /** Bounds and times from now on; they hold for what is in memory, too. */
  configure(options: CacheOptions): void {
    const resized = options.maxEntries !== this.#options.maxEntries;
    this.#options = options;
    if (!resized) return;
    this.clear();
    this.#positive = this.#room();
    this.#negative = this.#room();
  }

  /** The feed that proves entries, and the heartbeat that others see; they keep their own state. */
  follow(proof: Proof, seen: Seen): void {
    this.#proof = proof;
    this.#seen = seen;
  }

  /** What an earlier process knew, for when the store does not answer. Null: nothing. */
  remember(recall: Recall | null): void {
    this.#recall = recall;
  }

  /** Who judges again what was let through before a change. By then no entry from before it is left. */
  onChange(listener: (events: readonly FeedEvent[] | null) => void): void {
    this.#onChange = listener;
  }

  /** Replaces the declared tokens, and forgets every answer that peppers or declarations may have changed. */
  declare(tokens: DeclaredTokens): void {
    this.#declared = tokens;
    this.clear();
    this.#tell(null);
  }

  /** What was let through is judged again, by what is in force now. */
  doubt(): void {
    this.#tell(null);
  }

  get size(): { readonly positive: number; readonly negative: number } {
    return { positive: this.#positive.size, negative: this.#negative.size };
  }

  peek({ key }: PresentedSecret): Evidence | undefined {
    const entry = this.#positive.get(key);
    if (entry !== undefined) {
      const now = instantOf(this.#clock);
      if (!this.#usable(entry, now)) return undefined;
      if (now.monotonic - entry.sent.monotonic <= this.#options.ttlMs) this.results.hit++;
      else {
        this.results.stale++;
        this.#refresh(key, entry);
      }
      return { kind: 'found', subject: entry.subject! };
    }
    if (this.#negative.size === 0) return undefined;
    const none = this.#negative.get(key);
    if (none === undefined) return undefined;
    const now = instantOf(this.#clock);
    if (!this.#usable(none, now) || ageOf(none.sent, now) > this.#options.negativeTtlMs) return undefined;
    this.results.negative++;
    return absent;
  }

  async load(secret: PresentedSecret): Promise<Evidence> {
    const evidence = await this.ask(secret);
    return evidence.kind === 'unavailable' ? this.#known(secret) : evidence;
  }

  ask(secret: PresentedSecret): Promise<Evidence> {
    const flight = this.#flights.get(secret.key);
    if (flight !== undefined) {
      this.results.miss++;
      return flight.evidence;
    }
    const digests = secret.digests();
    if (digests === null) return Promise.resolve({ kind: 'refused', cause: 'checksum' });
    this.results.miss++;
    return this.#launch(secret.key, digests);
  }

  /**
   * What `peek`, and then `load`, would answer now, for whoever only asks about a request: nothing is counted, kept or asked
   * for behind.
   */
  async consider(secret: PresentedSecret): Promise<Evidence> {
    const now = instantOf(this.#clock);
    const entry = this.#positive.peek(secret.key);
    if (entry !== undefined && this.#usable(entry, now)) return { kind: 'found', subject: entry.subject! };
    const none = this.#negative.peek(secret.key);
    if (none !== undefined && this.#usable(none, now) && ageOf(none.sent, now) <= this.#options.negativeTtlMs) {
      return absent;
    }
    const digests = secret.digests();
    if (digests === null) return { kind: 'refused', cause: 'checksum' };
    try {
      return evidenceOf(await this.#find(secret.key, digests), digests);
    } catch {
      return this.#recalled(secret) ?? unavailable;
    }
  }

  /** Evicts what the events touch; look-ups under way will notice too. */
  apply(events: readonly FeedEvent[]): void {
    for (const event of events) {
      for (const flight of this.#underWay) flight.seen.push(event);
      for (const key of this.#touched(event)) this.#positive.delete(key);
      for (const digest of event.digests) {
        const key = this.#byDigest.get(digest);
        if (key !== undefined) this.#negative.delete(key);
      }
    }
    this.#recall?.apply(events);
    if (events.length > 0) this.#tell(events);
  }

  #touched({ kind, id }: FeedEvent): readonly string[] {
    if (kind === 'token') return [...(this.#byToken.get(id) ?? [])];
    const owners = kind === 'account' ? [id] : this.#byRole.concerned(id);
    return owners.flatMap(owner => [...(this.#byOwner.get(owner) ?? [])]);
  }

  /** After a gap nothing that was known before is used. */
  missed(): void {
    this.#recall?.clear();
    this.#tell(null);
  }

  #tell(events: readonly FeedEvent[] | null): void {
    this.changes++;
    this.#onChange(events);
  }

  /** Forgets every answer. A look-up under way still answers those who asked before; nobody joins it, nothing keeps it. */
  clear(): void {
    this.#flights.clear();
    this.#positive.clear();
    this.#negative.clear();
  }

  #room(): LRUCache<string, Entry> {
    return new LRUCache({ max: this.#options.maxEntries, dispose: (entry, key) => this.#forget(entry, key) });
  }

  /** Protocol rule: used until `bound` after the sending of the last request that proved it, by both clocks. */
  #usable(entry: Entry, now: Instant): boolean {
    return this.#isSeen(now) && this.#provedWithin(Math.min(this.#options.boundMs, this.#cutOffMs), entry, now);
  }

  /**
   * After a gap what was known before is not used, although its own look-up may have been a moment ago: it is told to
   * others that this process has come over the gap, and so over every change in it.
   */
  #provedWithin(ms: number, { sent, generation }: Pick<Entry, 'sent' | 'generation'>, now: Instant): boolean {
    if (generation !== this.#proof.generation) return false;
    return ageOf(sent, now) <= ms || ageOf(this.#proof.proven, now) <= ms;
  }

  #isSeen(now: Instant): boolean {
    return ageOf(this.#seen.answered, now) <= this.#cutOffMs;
  }

  /** A bound that was raised holds when others have heard of it: until then they reckon with the one of before. */
  get #cutOffMs(): number {
    return Math.min(this.#options.cutOffMs, this.#seen.reckonedMs);
  }

  /**
   * What an earlier process knew goes on from where the feed is, as long as that has had no gap and others see this
   * process: a feed that is heard where nobody else does proves nothing. By itself it is good until nobody reckons with
   * the earlier process any more.
   */
  #recalls({ proven, cutOffMs }: Recall, now: Instant): boolean {
    if (this.#proof.generation !== 0) return false;
    if (ageOf(proven, now) <= Math.min(cutOffMs, this.#options.cutOffMs)) return true;
    return this.#isSeen(now) && ageOf(this.#proof.proven, now) <= this.#cutOffMs;
  }

  /** Of a process that neither the feed nor the store answers: what was proved not too long ago. */
  #known(secret: PresentedSecret): Evidence {
    const known = this.#recalled(secret);
    if (known !== null) this.results.stale++;
    return known ?? unavailable;
  }

  #recalled({ key, digests }: PresentedSecret): Evidence | null {
    const now = instantOf(this.#clock);
    const { boundMs } = this.#options;
    // Who hears from the feed knows what it does not prove.
    if (ageOf(this.#proof.proven, now) <= boundMs) return null;
    const entry = this.#positive.get(key);
    if (entry !== undefined && this.#isSeen(now) && this.#provedWithin(this.#cutOffMs, entry, now)) {
      return { kind: 'found', subject: entry.subject! };
    }
    const subject = this.#remembered(key, digests() ?? [], now);
    return subject === null ? null : { kind: 'found', subject };
  }

  #remembered(key: string, digests: readonly string[], now: Instant): Subject | null {
    const recall = this.#recall;
    if (recall === null || !this.#recalls(recall, now)) return null;
    const declared = this.#declared.get(key);
    if (declared === undefined) return recall.find(digests);
    const account = declared.owner === null ? null : recall.account(declared.owner);
    return declared.owner !== null && account === null
      ? null
      : compileSubject(declared, account, recall.rolesOf(account), declared.digest);
  }

  /** Whether anything may be served from memory now, should the store not answer: an earlier process's tokens, too. */
  get serves(): boolean {
    const now = instantOf(this.#clock);
    if (this.#isSeen(now) && ageOf(this.#proof.proven, now) <= this.#cutOffMs) return true;
    return this.#recall !== null && this.#recall.size > 0 && this.#recalls(this.#recall, now);
  }

  /** What is known and proved, for the process that comes after this one. Null when that is nothing. */
  knowledge(): { readonly owners: readonly Owner[]; readonly tokens: readonly Remembered[] } | null {
    const now = instantOf(this.#clock);
    if (!this.#isSeen(now) || ageOf(this.#proof.proven, now) > this.#options.boundMs) return null;
    const { generation } = this.#proof;
    const owners = new Map<string, Owner>();
    const tokens: Remembered[] = [];
    if (generation === 0 && this.#recall !== null) {
      for (const owner of this.#recall.owners) owners.set(owner.account.id, owner);
      tokens.push(...this.#recall.tokens);
    }
    for (const entry of this.#positive.values()) {
      if (entry.generation !== generation || entry.subject === null) continue;
      const { token, account, roles, secretUntil } = entry.subject;
      if (account !== null) owners.set(account.id, { account, roles });
      // What is declared then is for the configuration of then to say.
      if (token.kind === 'declared') continue;
      tokens.push({ digest: entry.digests[0]!, token, account: account?.id ?? null, secretUntil });
    }
    return { owners: [...owners.values()], tokens: tokens.slice(-this.#options.maxEntries) };
  }

  /** One look-up for everybody who asks meanwhile. */
  #launch(key: string, digests: readonly string[]): Promise<Evidence> {
    const seen: FeedEvent[] = [];
    const evidence = this.#ask(key, digests, seen).finally(() => {
      this.#underWay.delete(flight);
      if (this.#isCurrent(key, seen)) this.#flights.delete(key);
    });
    const flight: Flight = { evidence, seen };
    this.#underWay.add(flight);
    this.#flights.set(key, flight);
    return evidence;
  }

  #isCurrent(key: string, seen: readonly FeedEvent[]): boolean {
    return this.#flights.get(key)?.seen === seen;
  }

  #refresh(key: string, entry: Entry): void {
    const now = this.#clock.monotonic();
    if (now < entry.refreshAfter || this.#flights.has(key)) return;
    entry.refreshAfter = now + refreshPauseMs;
    void this.#launch(key, entry.digests);
  }

  async #ask(key: string, digests: readonly string[], seen: FeedEvent[]): Promise<Evidence> {
    const began = this.#clock.monotonic();
    for (let race = 0; race < maxRaces; race++) {
      // Once more in any case: the process may have been stopped meanwhile.
      if (race > 1 && this.#clock.monotonic() - began > this.#options.deadlineMs) break;
      seen.length = 0;
      const sent = instantOf(this.#clock);
      const { generation } = this.#proof;
      let found: FoundToken | null;
      if (!this.#breaker.allows(sent.monotonic, this.#proof.proven.monotonic)) break;
      try {
        found = await this.#find(key, digests);
        this.#breaker.answered();
      } catch {
        this.#breaker.failed(this.#clock.monotonic());
        break;
      }
      // A change that was applied while the answer was on its way is not in the answer: ask again.
      if (generation !== this.#proof.generation || seen.some(event => touches(event, digests, found))) continue;
      // Nor is one that took so long (a process that was stopped) proved any more.
      const now = instantOf(this.#clock);
      if (ageOf(sent, now) > this.#options.boundMs) continue;
      if (this.#options.onlyWhileSeen && !this.#isSeen(now)) break;
      const evidence = evidenceOf(found, digests);
      if (this.#isCurrent(key, seen)) this.#keep(key, digests, found, evidence, { sent, generation });
      return evidence;
    }
    this.results.unavailable++;
    return unavailable;
  }

  #find(key: string, digests: readonly string[]): Promise<FoundToken | null> {
    const declared = this.#declared.get(key);
    if (declared === undefined) return this.#store.find(digests);
    const index = digests.indexOf(declared.digest);
    if (declared.owner === null) return Promise.resolve({ token: declared, account: null, roles: [], index });
    return this.#store
      .getOwner(declared.owner)
      .then(owner => ({ token: declared, account: owner?.account ?? null, roles: owner?.roles ?? [], index }));
  }

  #keep(
    key: string,
    digests: readonly string[],
    found: FoundToken | null,
    evidence: Evidence,
    proof: Pick<Entry, 'sent' | 'generation'>,
  ): void {
    this.#positive.delete(key);
    this.#negative.delete(key);
    this.#recall?.drop(digests);
    if (found === null || evidence.kind !== 'found') {
      this.#negative.set(key, { subject: null, digests, ...proof, refreshAfter: 0 });
      for (const digest of digests) this.#byDigest.set(digest, key);
      return;
    }
    const { token, index } = found;
    this.#positive.set(key, { subject: evidence.subject, digests, ...proof, refreshAfter: 0 });
    remember(this.#byToken, token.id, key);
    if (token.owner !== null) remember(this.#byOwner, token.owner, key);
    if (found.account !== null) this.#byRole.add(found.account);
    if (index > 0 && !this.#declared.has(key)) {
      // At rest under an older pepper, or none: move it under the first, so that the older one can be taken away.
      this.#store.rekey(token.id, digests[index]!, digests[0]!).catch(() => {});
    }
  }

  #forget({ subject, digests }: Entry, key: string): void {
    if (subject === null) for (const digest of digests) this.#byDigest.delete(digest);
    else {
      drop(this.#byToken, subject.token.id, key);
      const { owner } = subject.token;
      if (owner === null) return;
      drop(this.#byOwner, owner, key);
      if (!this.#byOwner.has(owner)) this.#byRole.drop(owner);
    }
  }
}

function evidenceOf(found: FoundToken | null, digests: readonly string[]): Evidence {
  if (found === null) return absent;
  return {
    kind: 'found',
    subject: compileSubject(found.token, found.account, found.roles, digests[found.index] ?? ''),
  };
}

function touches(event: FeedEvent, digests: readonly string[], found: FoundToken | null): boolean {
  if (event.digests.some(digest => digests.includes(digest))) return true;
  if (found === null) return false;
  switch (event.kind) {
    case 'token':
      return event.id === found.token.id;
    case 'account':
      return event.id === found.token.owner;
    case 'role':
      return hasRole(found.account, event.id);
  }
}

function remember(index: Map<string, Set<string>>, id: string, key: string): void {
  const keys = index.get(id);
  if (keys === undefined) index.set(id, new Set([key]));
  else keys.add(key);
}

function drop(index: Map<string, Set<string>>, id: string, key: string): void {
  const keys = index.get(id);
  keys?.delete(key);
  if (keys?.size === 0) index.delete(id);
}
