import type { Redis } from 'ioredis';
import type { RedisAddress, RedisEndpoint } from '../settings.ts';

/** A master and what follows it. */
export interface Shard {
  /** First and last slots that it holds. */
  readonly slots: readonly (readonly [first: number, last: number])[];
  /** Null while there is none. */
  readonly master: RedisAddress | null;
  /** The master and all its replicas, those that are down among them as far as that is known. */
  readonly dataNodes: number;
}

/** Who holds what, as one witness sees it. Of two views the one of the greater epoch is the later. */
export interface View {
  readonly epoch: number;
  readonly shards: readonly Shard[];
}

/** How it is found out where the masters are. */
export interface Topology {
  /** Whom to ask; those that have a view already may name more. */
  witnesses(known: View | null): readonly RedisEndpoint[];
  /** What a witness sees. */
  ask(witness: Redis): Promise<View>;
  /** How a master is spoken to. */
  endpoint(address: RedisAddress): RedisEndpoint;
  /** The view that always holds, where nobody has to be asked. */
  readonly fixed: View | null;
  /** Masters come and go: a server has to say that it is one before it is believed. */
  readonly roles: boolean;
}

export const addressText = ({ host, port }: RedisAddress): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
