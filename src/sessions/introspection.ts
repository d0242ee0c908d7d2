import { createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Introspected, Presented, SessionSource } from '../ports/session-source.ts';
import { type Places, readAnswer } from './answer.ts';
import { type Reply, SessionClient } from './client.ts';
import { type Forwarded, type Portion, portionOf } from './portion.ts';

export interface IntrospectionOptions extends Places {
  /** Who is asked: http or https, with a path and a query if need be. */
  readonly url: string;
  readonly forward: readonly Forwarded[];
  /** How long an answer is used, in milliseconds after it was asked for. */
  readonly keepMs: number;
  /** How long an answer is waited for. */
  readonly deadlineMs: number;
}

type Answer = Exclude<Introspected, { kind: 'unavailable' }>;

interface Entry {
  readonly answer: Answer;
  readonly wall: number;
  readonly monotonic: number;
}

/** Of answers that are kept: how many, and how large together. Questions under way at a time, in all and of one network. */
const most = { entries: 10_000, size: 32 * 1024 * 1024, flights: 256, ofNetwork: 32 } as const;

const nobody: Introspected = { kind: 'nobody' };
const notThere =
  'sessions.introspect: the answer is 404, which is nobody; where everybody is, sessions.introspect.url names another path than it should';
const noAccount =
  'sessions.introspect: the answer is 200 and has no account, which is nobody; where everybody is, set sessions.introspect.account to where the id of the account stands in it, and see that sessions.introspect.forward names what sessions stand in';
const unavailable: Introspected = { kind: 'unavailable', retryAfter: 1 };

/**
 * Asks the system whose sessions they are. An answer is kept for a while under an HMAC of what was shown, with a key of
 * this object: nothing that is kept opens anything. Those who are found are kept apart from those who are nobody, so that
 * guesses push nobody out. No answer is an outage, which is neither.
 *
 * Attack: guesses keep the other system, or the room for questions, from everybody else. So one network has a part of that
 * room, and none once it has guessed too often, but for what was somebody's when it was last asked about: that is no guess,
 * and whoever has it may share the network with one who guesses.
 */
export class LegacySessions implements SessionSource {
  readonly #options: IntrospectionOptions;
  readonly #client: SessionClient;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #key = randomBytes(32);
  readonly #found = room();
  readonly #nobody = room();
  readonly #flights = new Map<string, Promise<Introspected>>();
  /** How many of them are a network's. */
  readonly #asking = new Map<string, number>();
  #foundSomebody = false;

  constructor(options: IntrospectionOptions, clock: Clock, log: Log) {
    this.#options = options;
    this.#client = new SessionClient(options.url);
    this.#clock = clock;
    this.#log = log;
  }

  identify(presented: Presented): Promise<Introspected> {
    const portion = portionOf(presented, this.#options.forward);
    if (portion === null) return Promise.resolve(nobody);
    const key = this.#keyOf(portion);
    const known = this.#known(this.#found, key) ?? this.#known(this.#nobody, key);
    if (known !== null) return Promise.resolve(known);
    const flight = this.#flights.get(key);
    if (flight !== undefined) return flight;
    const { network } = presented.asker;
    if (!this.#found.has(key) && presented.asker.heldBack()) return Promise.resolve(unavailable);
    if (this.#flights.size >= most.flights) return Promise.resolve(this.#outage('too many questions'));
    if (this.#countOf(network) >= most.ofNetwork) {
      return Promise.resolve(this.#outage('too many questions of one network'));
    }
    this.#count(network, 1);
    const asked = this.#ask(key, portion).finally(() => {
      this.#flights.delete(key);
      this.#count(network, -1);
    });
    this.#flights.set(key, asked);
    return asked;
  }

  #countOf(network: string): number {
    return this.#asking.get(network) ?? 0;
  }

  #count(network: string, more: 1 | -1): void {
    const count = this.#countOf(network) + more;
    if (count > 0) this.#asking.set(network, count);
    else this.#asking.delete(network);
  }

  /** Ends its connections, once what is under way is answered. */
  close(): void {
    this.#client.close();
  }

  async #ask(key: string, portion: Portion): Promise<Introspected> {
    const { keepMs, deadlineMs } = this.#options;
    // From here on a session may end without being asked about again.
    const sent = { wall: this.#clock.wall(), monotonic: this.#clock.monotonic() };
    const reply = await this.#client.ask(portion, deadlineMs);
    if (reply.kind === 'failed') return this.#outage(reply.why);
    const answer = reply.kind === 'nobody' ? ({ kind: 'nobody' } as const) : readAnswer(reply.bytes, this.#options);
    if (answer.kind === 'nonsense') return this.#outage(answer.why);
    if (answer.kind === 'nobody') this.#noteNobody(reply);
    else this.#foundSomebody = true;
    // One that took so long, because the process was stopped, says nothing of now.
    if (this.#age(sent) > Math.max(keepMs, deadlineMs)) return this.#outage('too slow');
    this.#found.delete(key);
    this.#nobody.delete(key);
    // That it was somebody's counts for longer than whose it was.
    if (answer.kind === 'found') this.#found.set(key, { answer, ...sent });
    else if (this.#age(sent) < keepMs) this.#nobody.set(key, { answer, ...sent });
    return answer;
  }

  #known(kept: LRUCache<string, Entry>, key: string): Answer | null {
    const entry = kept.get(key);
    return entry !== undefined && this.#age(entry) < this.#options.keepMs ? entry.answer : null;
  }

  /** By both clocks: neither a step of the one nor a suspended process makes an answer younger. */
  #age({ wall, monotonic }: Pick<Entry, 'wall' | 'monotonic'>): number {
    return Math.max(this.#clock.wall() - wall, this.#clock.monotonic() - monotonic);
  }

  #keyOf({ headers, query }: Portion): string {
    const shown = JSON.stringify([headers['cookie'] ?? null, headers['authorization'] ?? null, query]);
    return createHmac('sha256', this.#key).update(shown).digest('base64');
  }

  /** What somebody is told who is not signed in, or what is always told where the configuration is wrong. */
  #noteNobody(reply: Exclude<Reply, { kind: 'failed' }>): void {
    if (reply.kind === 'nobody') {
      if (reply.status === 404) this.#log.warn({}, notThere);
    } else if (!this.#foundSomebody) this.#log.warn({}, noAccount);
  }

  #outage(why: string): Introspected {
    this.#log.warn({ why }, 'sessions.introspect: no answer to go by; who has a session is told to try again');
    return unavailable;
  }
}

const room = (): LRUCache<string, Entry> =>
  new LRUCache({ max: most.entries, maxSize: most.size, sizeCalculation: ({ answer }) => sizeOf(answer) });

/** About as many bytes as an entry takes. */
function sizeOf(answer: Answer): number {
  if (answer.kind === 'nobody') return 256;
  const texts = [...(answer.permissions ?? []), ...(answer.owns ?? [])];
  return texts.reduce((sum, text) => sum + 2 * text.length + 32, 256 + 2 * answer.account.length);
}
