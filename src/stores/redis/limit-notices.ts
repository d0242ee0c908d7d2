import { Redis } from 'ioredis';
import type { LimitNotice } from '../../ports/limit-ledger.ts';
import { replyCode } from './faults.ts';
import type { Keys } from './keys.ts';
import { ledgerOf } from './limit-records.ts';
import { within } from './line.ts';
import { blockingOptions, type RedisEndpoint } from './settings.ts';
import { monotonic } from './store-clock.ts';

/** Milliseconds. */
const pauses = { first: 100, most: 2000 } as const;
/** A subscription that says nothing is asked whether it is there; an answer may take as long as a connection. */
const times = { probe: 10_000, answer: 2000 } as const;

/**
 * A subscription to what scripts say of limits. It costs no command while nobody says anything, and in a cluster each node
 * passes on what the others say. What was said while there was none is missed: listeners hear that something may be lost.
 */
export class LimitNotices {
  readonly #endpoint: () => RedisEndpoint;
  readonly #keys: Keys;
  readonly #channel: string;
  readonly #listeners = new Set<(notice: LimitNotice) => void>();
  #redis: Redis | null = null;
  #timer: NodeJS.Timeout | undefined;
  #failures = 0;
  /** The user may not subscribe, and listeners have heard so. */
  #forbidden = false;
  #closed = false;

  /** `endpoint`: where the unit is now. */
  constructor(endpoint: () => RedisEndpoint, keys: Keys, identity: string) {
    this.#endpoint = endpoint;
    this.#keys = keys;
    this.#channel = keys.notices(identity);
  }

  listen(hear: (notice: LimitNotice) => void, signal: AbortSignal): void {
    if (signal.aborted || this.#closed) return;
    // The same function may listen twice.
    const listener = (notice: LimitNotice): void => hear(notice);
    this.#listeners.add(listener);
    signal.addEventListener(
      'abort',
      () => {
        this.#listeners.delete(listener);
        if (this.#listeners.size === 0) this.#drop();
      },
      { once: true },
    );
    if (this.#redis === null && this.#timer === undefined) void this.#subscribe();
  }

  /** The unit may be elsewhere now. */
  leave(): void {
    if (this.#redis !== null) this.#again(this.#redis);
  }

  close(): void {
    this.#closed = true;
    this.#listeners.clear();
    this.#drop();
  }

  async #subscribe(): Promise<void> {
    this.#timer = undefined;
    let redis: Redis | null = null;
    try {
      redis = new Redis(blockingOptions(this.#endpoint()));
      const connected = redis;
      this.#redis = redis;
      redis.on('error', () => {});
      redis.on('close', () => this.#again(connected));
      redis.on('message', (channel: string, text: string) => {
        if (channel === this.#channel) this.#hear(text);
      });
      const silent = () => new Error('it does not answer');
      await within(
        redis.connect().then(() => connected.subscribe(this.#channel)),
        monotonic() + times.answer,
        silent,
      );
    } catch (error) {
      if (!this.#forbidden && replyCode(error) === 'NOPERM') {
        this.#forbidden = true;
        this.#tell({ kind: 'deaf' });
      }
      if (redis === null) this.#later();
      else this.#again(redis);
      return;
    }
    if (this.#redis !== redis) return;
    this.#failures = 0;
    this.#forbidden = false;
    // Between two subscriptions, and before the first, anything may have been said.
    this.#tell({ kind: 'lost' });
    this.#probe(redis);
  }

  /** A connection whose other end has vanished looks like one on which nobody says anything. */
  #probe(redis: Redis): void {
    this.#timer = setTimeout(() => {
      const silent = () => new Error('it does not answer');
      within(redis.ping(), monotonic() + times.answer, silent).then(
        () => {
          if (this.#redis === redis) this.#probe(redis);
        },
        () => this.#again(redis),
      );
    }, times.probe);
    this.#timer.unref();
  }

  #again(redis: Redis): void {
    if (this.#redis !== redis) return;
    this.#drop();
    if (!this.#closed && this.#listeners.size > 0) this.#later();
  }

  #later(): void {
    const ms = Math.min(pauses.first * 2 ** this.#failures++, pauses.most) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(() => void this.#subscribe(), ms);
    this.#timer.unref();
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const redis = this.#redis;
    this.#redis = null;
    redis?.disconnect();
  }

  #hear(text: string): void {
    // Attack: somebody else may publish on the channel, too. A recall that is no number would never be answered.
    const [, kind, tag, label, recall, word] =
      /^(recall|heard|news) (\S+) (-?\d{1,16}) (\d{1,15}) (.*)$/s.exec(text) ?? [];
    if (kind === undefined) return;
    let ledger: string;
    try {
      ledger = ledgerOf(word!);
    } catch {
      return;
    }
    this.#tell({
      kind: kind as 'recall' | 'heard' | 'news',
      subject: this.#keys.subjectOf(tag!),
      ledger,
      label: Number(label),
      recall: Number(recall),
    });
  }

  #tell(notice: LimitNotice): void {
    for (const hear of this.#listeners) hear(notice);
  }
}
