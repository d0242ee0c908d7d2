import { Redis } from 'ioredis';
import { StoreUnavailable } from '../../../errors.ts';
import { scrubbed } from '../faults.ts';
import { within } from '../line.ts';
import { type RedisEndpoint, witnessOptions } from '../settings.ts';
import { monotonic } from '../store-clock.ts';
import { addressText, type Shard, type Topology, type View } from './topology.ts';

/** Milliseconds. */
const pauses = { steady: 1000, hurried: 100 } as const;
const answerMs = 1000;

/**
 * Where the masters are. The witnesses are asked every second, and as soon as something is not where it should be. Of
 * their views that of the greatest epoch counts; an earlier one than is known counts only when most of them have it, as
 * after sentinels that were set up anew.
 */
export class ShardMap {
  readonly #topology: Topology;
  readonly #changed: () => void;
  readonly #witnesses = new Map<string, Witness>();
  #view: View | null;
  #asking: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #askedAt = Number.NEGATIVE_INFINITY;
  #closed = false;
  #why = 'nobody has been asked';

  /** `changed` is called after every view that differs from the one before. */
  constructor(topology: Topology, changed: () => void) {
    this.#topology = topology;
    this.#changed = changed;
    this.#view = topology.fixed;
  }

  /** Resolves when it is known where the masters are, and goes on asking. */
  async open(deadline: number): Promise<void> {
    if (this.#view !== null) return;
    const silent = () => new StoreUnavailable(`nobody says where the store's master is: ${this.#why}`);
    await within(this.#ask(), deadline, silent);
    if (this.#view === null) throw silent();
  }

  shardOf(slot: number): Shard | undefined {
    const shards = this.#view?.shards ?? [];
    if (shards.length === 1) return shards[0];
    return shards.find(({ slots }) => slots.some(([first, last]) => slot >= first && slot <= last));
  }

  get shards(): readonly Shard[] {
    return this.#view?.shards ?? [];
  }

  /** Something is not as the map has it: asks again, soon. */
  refresh(): void {
    if (this.#topology.fixed !== null || this.#closed || this.#asking !== null) return;
    this.#askIn(Math.max(0, this.#askedAt + pauses.hurried - monotonic()));
  }

  /** Resolves when everybody has been asked once more. */
  async asked(): Promise<void> {
    if (this.#asking !== null) await this.#asking;
    await this.#ask();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const witness of this.#witnesses.values()) witness.leave();
  }

  #askIn(ms: number): void {
    clearTimeout(this.#timer);
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#ask().catch(() => {}), ms);
    // Whoever waits for the store keeps the process alive; looking around does not.
    this.#timer.unref();
  }

  #ask(): Promise<void> {
    this.#asking ??= this.#round().finally(() => {
      this.#asking = null;
      this.#askIn(pauses.steady);
    });
    return this.#asking;
  }

  async #round(): Promise<void> {
    this.#askedAt = monotonic();
    const asked = this.#topology.witnesses(this.#view);
    const most = Math.floor(asked.length / 2) + 1;
    const views = await this.#views(asked, most);
    if (this.#closed || views.length === 0) return;
    const latest = views.reduce(later);
    const before = this.#view;
    if (before !== null && latest.epoch < before.epoch && views.length < most) return;
    this.#view = latest;
    if (JSON.stringify(before) !== JSON.stringify(latest)) this.#changed();
  }

  /** What is answered until most have answered, or all that will. */
  #views(asked: readonly RedisEndpoint[], most: number): Promise<readonly View[]> {
    const names = new Set(asked.map(addressText));
    for (const [name, witness] of this.#witnesses) {
      if (names.has(name)) continue;
      witness.leave();
      this.#witnesses.delete(name);
    }
    const views: View[] = [];
    return new Promise(resolve => {
      let ended = 0;
      for (const endpoint of asked) {
        const witness = this.#witnesses.get(addressText(endpoint)) ?? new Witness(endpoint);
        this.#witnesses.set(addressText(endpoint), witness);
        witness
          .say(redis => this.#topology.ask(redis))
          .then(
            view => views.push(view),
            error => {
              this.#why = scrubbed(error).message;
            },
          )
          .finally(() => {
            ended++;
            if (views.length >= most || ended === asked.length) resolve([...views]);
          });
      }
    });
  }
}

/** Of equals, the one that counts more nodes: somebody who has only just come may not know all of them yet. */
const later = (a: View, b: View): View =>
  b.epoch > a.epoch || (b.epoch === a.epoch && nodesOf(b) > nodesOf(a)) ? b : a;

const nodesOf = ({ shards }: View): number => shards.reduce((sum, { dataNodes }) => sum + dataNodes, 0);

/** A connection to one that is asked, made anew after every failure. */
class Witness {
  readonly #endpoint: RedisEndpoint;
  #redis: Redis | null = null;
  #saying: Promise<View> | null = null;

  constructor(endpoint: RedisEndpoint) {
    this.#endpoint = endpoint;
  }

  /** One question at a time: who is slow is not asked again meanwhile. */
  say(ask: (redis: Redis) => Promise<View>): Promise<View> {
    this.#saying ??= this.#say(ask).finally(() => {
      this.#saying = null;
    });
    return this.#saying;
  }

  leave(): void {
    this.#redis?.disconnect();
    this.#redis = null;
  }

  async #say(ask: (redis: Redis) => Promise<View>): Promise<View> {
    const deadline = monotonic() + answerMs;
    try {
      const redis = await this.#connected(deadline);
      return await within(ask(redis), deadline, () => new Error('it does not answer'));
    } catch (error) {
      this.leave();
      throw new Error(`${addressText(this.#endpoint)}: ${scrubbed(error).message}`);
    }
  }

  async #connected(deadline: number): Promise<Redis> {
    if (this.#redis?.status === 'ready') return this.#redis;
    this.leave();
    let why = 'it does not answer';
    const redis = new Redis(witnessOptions(this.#endpoint));
    this.#redis = redis;
    redis.on('error', error => {
      why = scrubbed(error).message;
    });
    await within(redis.connect(), deadline, () => new Error(why)).catch(() => {
      throw new Error(why);
    });
    return redis;
  }
}
