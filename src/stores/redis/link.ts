import type { ChainableCommander } from 'ioredis';
import { StoreUnavailable } from '../../errors.ts';
import { replyCode, scrubbed, unavailable } from './faults.ts';
import type { Line, Session } from './line.ts';
import { Master } from './master.ts';
import type { Script } from './script.ts';
import { isSameRun, type ServerRun } from './server-run.ts';
import type { RedisEndpoint, RedisPlace } from './settings.ts';
import { monotonic } from './store-clock.ts';
import { cluster } from './topology/cluster.ts';
import { sentinel } from './topology/sentinel.ts';
import { ShardMap } from './topology/shard-map.ts';
import { slotOf } from './topology/slots.ts';
import { standalone } from './topology/standalone.ts';
import { addressText, type Topology } from './topology/topology.ts';

/** One call of a script. */
export interface ScriptCall {
  readonly script: Script;
  /** All of one slot. */
  readonly keys: readonly string[];
  readonly args: readonly (string | number)[];
  /** It counts only when as many data nodes have it as `confirm` asks for; else it fails, with its outcome unknown. */
  readonly confirmed?: boolean;
  /** `changes` of the link when it was made: it is not sent when that is another by now. Of many calls, that of the first. */
  readonly since?: number;
}

/** What has to have a confirmed change before it counts: the master, or most data nodes of its shard. */
export type Confirm = 'none' | 'majority';

export interface LinkOptions {
  readonly place: RedisPlace;
  /** A key of the unit: where it lies is what the listener hears about. */
  readonly home: string;
  readonly confirm: Confirm;
  /** Milliseconds after which a connection that owes answers and says nothing is dead. */
  readonly silenceMs: number;
}

export interface LinkListener {
  /** The connection is gone, or it leads to a master no more; another one is being made. */
  lost(cause: Error): void;
  /** There is a connection again. */
  restored(): void;
  /**
   * It leads to another server than before, or to one that has begun anew: acknowledged changes may be lost. Nothing was
   * asked there yet.
   */
  changed?(): void;
}

/** How often one call is sent on to the node that is said to have its keys. */
const mostMoves = 5;

/** Milliseconds that a connection waits for replicas at a time: what is behind a change must not wait for its deadline. */
const confirmSlice = 20;

/** Milliseconds before its deadline that a call says why it failed, instead of being given up. */
const confirmMargin = 10;

/** What a call came to: its answer, or the address of another node that has its keys, and nothing was done. */
type Outcome = { readonly answer: unknown } | { readonly moved: string };

/** What one of many calls came to. */
export type Settled = { readonly answer: unknown } | { readonly failed: StoreUnavailable };

/** The way to the servers that scripts are called on: wherever the masters are, and have come to be. */
export class Link {
  readonly #topology: Topology;
  readonly #map: ShardMap;
  readonly #masters = new Map<string, Master>();
  readonly #options: LinkOptions;
  readonly #listener: LinkListener;
  readonly #homeSlot: number;
  #home: Master | null = null;
  /** By slot: who its last master was. */
  readonly #owners: (string | undefined)[] = [];
  /** Whom each address led to. */
  readonly #runs = new Map<string, ServerRun | null>();
  #changes = 0;

  /** The listener is told of the connection that reads of the unit go over. */
  constructor(options: LinkOptions, listener: LinkListener) {
    this.#options = options;
    this.#listener = listener;
    this.#topology = topologyOf(options);
    this.#map = new ShardMap(this.#topology, () => this.#follow());
    this.#homeSlot = slotOf(options.home);
  }

  /** Resolves when it is connected, and the store has loaded its data. */
  async open(deadline: number): Promise<void> {
    await this.#map.open(deadline);
    this.#follow();
    await this.#masterOf(this.#homeSlot).opened;
    // The unit is what is needed: where the others are away, what lies there is away, too.
    await Promise.allSettled([...this.#masters.values()].map(({ opened }) => opened));
  }

  /** Whether changes that ask for it are confirmed by other nodes than their master. */
  get confirms(): boolean {
    return this.#options.confirm !== 'none';
  }

  /** Counts how often it has come to lead to other servers. */
  get changes(): number {
    return this.#changes;
  }

  /** The master that the unit is on. Throws when there is none. */
  get home(): RedisEndpoint {
    return this.#masterOf(this.#homeSlot).endpoint;
  }

  /** Calls a script. `deadline` is on `monotonic()`. */
  async call(call: ScriptCall, deadline: number): Promise<unknown> {
    const mutation = call.script.kind !== 'reads';
    let master = this.#masterOf(slotOf(call.keys[0]!));
    for (let moves = 0; ; moves++) {
      const line = lineOf(master, call);
      const outcome = await line.send(mutation, deadline, session => this.#callOne(session, call, deadline));
      if ('answer' in outcome) return outcome.answer;
      master = this.#elsewhere(outcome.moved, master, moves);
    }
  }

  /** Calls one script many times, in one write to each master. The calls are of one kind, and in no order. */
  async callAll(calls: readonly ScriptCall[], deadline: number): Promise<unknown[]> {
    // Where one has no master, none is sent.
    for (const { keys } of calls) this.#masterOf(slotOf(keys[0]!));
    const mutation = calls[0]?.script.kind !== 'reads';
    return (await this.#spread(calls, deadline)).map(settled => {
      if ('answer' in settled) return settled.answer;
      // What became of the other calls is another matter.
      throw new StoreUnavailable(settled.failed.message, { sent: mutation });
    });
  }

  /** The same, where each call is for itself. */
  callEach(calls: readonly ScriptCall[], deadline: number): Promise<readonly Settled[]> {
    return this.#spread(calls, deadline);
  }

  /** Whether keys of different slots may lie on different servers. A script takes keys of one slot then. */
  get clustered(): boolean {
    return 'cluster' in this.#options.place;
  }

  /** Names the server that a key is on now. Throws when there is none. */
  serverOf(key: string): string {
    return addressText(this.#masterOf(slotOf(key)).endpoint);
  }

  /** What the masters that can be reached say of themselves: the named section of INFO. That of the unit comes first. */
  async info(section: string, deadline: number): Promise<readonly ReadonlyMap<string, string>[]> {
    const home = this.#masterOf(this.#homeSlot);
    const others = [...this.#masters.values()].filter(master => master !== home && master.reads.ready);
    const asked = [home, ...others].map(async ({ reads }) => {
      const text = await reads.send(false, deadline, ({ redis }) => redis.info(section));
      const lines = text.split('\r\n').filter(line => line.includes(':'));
      return new Map(lines.map(line => line.split(/:(.*)/s) as [string, string]));
    });
    return Promise.all(asked);
  }

  /**
   * Names of keys that match a pattern, of all masters: each that is there all the while at least once. `deadline` is of
   * each step. Rejects when other masters have come meanwhile, because keys may have moved past this.
   */
  async *scan(pattern: string, deadline: () => number): AsyncGenerator<readonly string[]> {
    const masters = [...this.#masters.values()];
    for (const { reads } of masters) {
      let position = '0';
      do {
        const from = position;
        const [next, names] = await reads.send(false, deadline(), ({ redis }) =>
          redis.scan(from, 'MATCH', pattern, 'COUNT', 1000),
        );
        yield names;
        position = next;
      } while (position !== '0');
    }
    const now = [...this.#masters.values()];
    if (now.length === masters.length && now.every(master => masters.includes(master))) return;
    throw new StoreUnavailable('the masters of the store have changed meanwhile');
  }

  /** Waits for what was asked, at most for its deadlines; then disconnects. */
  async close(): Promise<void> {
    this.#map.close();
    await Promise.all([...this.#masters.values()].map(master => master.close()));
  }

  /** Sends each call to the master that has its keys, and on to another one when that says that it has not. */
  async #spread(calls: readonly ScriptCall[], deadline: number): Promise<Settled[]> {
    const settled: Settled[] = new Array(calls.length);
    if (calls.length === 0) return settled;
    const mutation = calls[0]!.script.kind !== 'reads';
    const fail = (i: number, error: unknown): void => {
      settled[i] = { failed: unavailable(error, mutation) };
    };
    let groups = new Map<Master, number[]>();
    for (const [i, { keys }] of calls.entries()) {
      try {
        put(groups, this.#masterOf(slotOf(keys[0]!)), i);
      } catch (error) {
        fail(i, error);
      }
    }
    for (let moves = 0; groups.size > 0; moves++) {
      const elsewhere = new Map<Master, number[]>();
      const sent = [...groups].map(async ([master, places]) => {
        const some = places.map(i => calls[i]!);
        try {
          if ((calls[0]!.since ?? this.#changes) !== this.#changes) {
            throw new StoreUnavailable('the store is on another server now');
          }
          const outcomes = await lineOf(master, some[0]!).send(mutation, deadline, session =>
            this.#callMany(session, some, deadline),
          );
          for (const [k, outcome] of outcomes.entries()) {
            const i = places[k]!;
            if (!('moved' in outcome)) settled[i] = outcome;
            else {
              try {
                put(elsewhere, this.#elsewhere(outcome.moved, master, moves), i);
              } catch (error) {
                fail(i, error);
              }
            }
          }
        } catch (error) {
          for (const i of places) fail(i, error);
        }
      });
      await Promise.all(sent);
      groups = elsewhere;
    }
    return settled;
  }

  async #callOne(session: Session, call: ScriptCall, deadline: number): Promise<Outcome> {
    const { script, keys, args } = call;
    const given = [keys.length, ...keys, ...args] as const;
    const needed = this.#needed(call);
    const send = async (pipeline: ChainableCommander): Promise<unknown> => {
      const [[error, answer], waited] = (await answersOf(pipeline.call('WAIT', needed, slice(deadline)))) as [
        Answered,
        Answered,
      ];
      if (error !== null) throw error;
      await this.#confirm(session, call, waited, deadline);
      return answer;
    };
    const { redis } = session;
    try {
      const known =
        needed > 0 ? send(redis.pipeline().evalsha(script.sha, ...given)) : redis.evalsha(script.sha, ...given);
      const answer = await known.catch((error: unknown) => {
        // The store was restarted, or its scripts were flushed: the text goes along once, and is known from then on.
        if (!isUnknownScript(error) || monotonic() >= deadline) throw error;
        return needed > 0 ? send(redis.pipeline().eval(script.text, ...given)) : redis.eval(script.text, ...given);
      });
      return { answer };
    } catch (error) {
      const moved = movedTo(error);
      if (moved === null) throw error;
      return { moved };
    }
  }

  async #callMany(
    session: Session,
    calls: readonly ScriptCall[],
    deadline: number,
  ): Promise<readonly (Settled | { readonly moved: string })[]> {
    const { redis } = session;
    const needed = Math.max(...calls.map(call => this.#needed(call)));
    const confirming = calls.find(call => this.#needed(call) === needed)!;
    // The wait goes along. What comes after it, because a text was not known, is waited for once more.
    let waited: Answered = [null, 0];
    const send = async (some: readonly ScriptCall[]): Promise<Answered[]> => {
      const pipeline = redis.pipeline();
      for (const { script, keys, args } of some) pipeline.evalsha(script.sha, keys.length, ...keys, ...args);
      if (needed > 0) pipeline.call('WAIT', needed, slice(deadline));
      const answers = await answersOf(pipeline);
      if (needed > 0) waited = answers.pop() ?? waited;
      return answers;
    };
    const answers = await send(calls);
    const unknown = answers.flatMap(([error], i) => (isUnknownScript(error) ? [i] : []));
    if (unknown.length > 0 && monotonic() < deadline) {
      await redis.script('LOAD', calls[0]!.script.text);
      const again = await send(unknown.map(i => calls[i]!));
      for (const [k, i] of unknown.entries()) answers[i] = again[k]!;
    }
    if (needed > 0) await this.#confirm(session, confirming, waited, deadline);
    return answers.map(([error, answer]) => {
      if (error === null) return { answer };
      const moved = movedTo(error);
      return moved === null ? { failed: unavailable(error, calls[0]!.script.kind !== 'reads') } : { moved };
    });
  }

  /**
   * Resolves when enough replicas have what was written over this connection. It waits in slices, so that what comes
   * behind gets its turn; a later wait asks for no less.
   */
  async #confirm(
    { redis, lives }: Session,
    call: ScriptCall,
    [error, count]: Answered,
    deadline: number,
  ): Promise<void> {
    const missing = (why: string) => new StoreUnavailable(`not confirmed by a majority: ${why}`, { sent: true });
    if (error !== null) throw missing(scrubbed(error).message);
    // A reply that is no number is none of a replica.
    for (let have = Number(count); !(have >= this.#needed(call)); ) {
      if (!lives()) throw missing('the connection to the store was lost');
      if (monotonic() >= deadline - confirmMargin) throw missing('too few replicas have answered in time');
      const waited = redis.call('WAIT', this.#needed(call), slice(deadline)).catch((fault: unknown) => {
        throw missing(scrubbed(fault).message);
      });
      have = Number(await waited);
    }
  }

  /** How many replicas have to have a change, beside the master. */
  #needed({ script, keys, confirmed }: ScriptCall): number {
    if (!this.confirms || confirmed !== true || script.kind === 'reads') return 0;
    return Math.floor((this.#map.shardOf(slotOf(keys[0]!))?.dataNodes ?? 1) / 2);
  }

  #masterOf(slot: number): Master {
    const address = this.#map.shardOf(slot)?.master;
    const master = address && this.#masters.get(addressText(address));
    if (master) return master;
    this.#map.refresh();
    throw new StoreUnavailable('no connection to the store: its keys have no master now');
  }

  /** The master that a call is sent on to: only one that is known, whatever a server says. */
  #elsewhere(moved: string, from: Master, moves: number): Master {
    this.#map.refresh();
    // A node that does not know its own address means the one that it was asked at.
    const address = moved.startsWith(':') ? addressText({ ...from.endpoint, port: Number(moved.slice(1)) }) : moved;
    const master = this.#masters.get(address);
    if (master !== undefined && moves < mostMoves) return master;
    throw new StoreUnavailable('the store cannot do it: its keys are at another node');
  }

  /** Holds connections to those who are masters now, and to nobody else: what another answers may be old. */
  #follow(): void {
    const addresses = new Map(
      this.#map.shards.flatMap(({ master }) => (master ? [[addressText(master), master]] : [])),
    );
    if (this.#succeeds()) this.#tellChange();
    for (const [name, master] of this.#masters) {
      if (addresses.has(name)) continue;
      this.#masters.delete(name);
      master.leave();
    }
    for (const [name, address] of addresses) {
      if (!this.#masters.has(name)) this.#masters.set(name, this.#join(this.#topology.endpoint(address)));
    }
    const place = this.#map.shardOf(this.#homeSlot)?.master;
    const home = (place && this.#masters.get(addressText(place))) ?? null;
    if (home === this.#home) return;
    const moved = this.#home !== null;
    this.#home = home;
    if (moved) this.#listener.lost(new Error('its master has changed'));
    if (home?.reads.ready) this.#listener.restored();
  }

  /**
   * Whether somebody has slots now of one who is a master no more. Slots that one master has given to another were taken
   * along.
   */
  #succeeds(): boolean {
    const shards = this.#map.shards.flatMap(({ master, slots }) =>
      master && slots.length > 0 ? [{ name: addressText(master), slots }] : [],
    );
    const names = new Set(shards.map(({ name }) => name));
    let succeeds = false;
    for (const { name, slots } of shards) {
      for (const [first, last] of slots) {
        for (let slot = first; slot <= last; slot++) {
          const owner = this.#owners[slot];
          if (owner !== undefined && !names.has(owner)) succeeds = true;
          this.#owners[slot] = name;
        }
      }
    }
    return succeeds;
  }

  #reached(name: string, run: ServerRun | null, again: boolean): void {
    const before = this.#runs.get(name) ?? null;
    const isOther = before === null || run === null ? again : !isSameRun(before, run);
    const isForgotten = run?.promoted === '' && run.id === before?.id;
    this.#runs.set(name, isForgotten ? before : run);
    if (isOther) this.#tellChange();
  }

  #tellChange(): void {
    this.#changes++;
    this.#listener.changed?.();
  }

  #join(endpoint: RedisEndpoint): Master {
    const name = addressText(endpoint);
    const { silenceMs, confirm } = this.#options;
    const { roles } = this.#topology;
    const options = { endpoint, silenceMs, roles, confirms: confirm !== 'none' };
    const master: Master = new Master(options, {
      reached: (run, again) => this.#reached(name, run, again),
      lost: cause => {
        this.#map.refresh();
        if (master === this.#home) this.#listener.lost(cause);
      },
      restored: () => {
        if (master === this.#home) this.#listener.restored();
      },
      demoted: () => this.#map.refresh(),
    });
    return master;
  }
}

function topologyOf({ place, confirm }: LinkOptions): Topology {
  if ('sentinels' in place) return sentinel(place);
  return 'cluster' in place ? cluster(place) : standalone(place, confirm !== 'none');
}

const lineOf = ({ reads, changes, confirmed }: Master, call: ScriptCall): Line => {
  if (call.script.kind === 'reads') return reads;
  return call.confirmed ? confirmed : changes;
};

function put<K, V>(groups: Map<K, V[]>, key: K, value: V): void {
  const group = groups.get(key);
  if (group === undefined) groups.set(key, [value]);
  else group.push(value);
}

type Answered = readonly [error: Error | null, answer: unknown];

const answersOf = async (pipeline: ChainableCommander): Promise<Answered[]> => (await pipeline.exec()) ?? [];

/** Milliseconds of one wait. None would wait for ever. */
const slice = (deadline: number): number =>
  Math.max(1, Math.min(confirmSlice, Math.floor(deadline - confirmMargin - monotonic())));

const isUnknownScript = (error: unknown): boolean => replyCode(error) === 'NOSCRIPT';

/** `MOVED <slot> <host>:<port>` says that nothing was done, and where it can be done. */
function movedTo(error: unknown): string | null {
  if (replyCode(error) !== 'MOVED') return null;
  const address = /^MOVED \d+ (\S*):(\d+)/.exec((error as Error).message);
  if (address === null) return '';
  const [, host = '', port = ''] = address;
  return host === '' || host === '?'
    ? `:${port}`
    : addressText({ host: host.replace(/^\[|\]$/g, ''), port: Number(port) });
}
