import type { ConnectionOptions } from 'node:tls';
import type { RedisOptions } from 'ioredis';

export interface RedisAddress {
  readonly host: string;
  readonly port: number;
}

/** As whom to speak to a server. */
export interface RedisLogin {
  readonly username?: string;
  readonly password?: string;
}

/** A server, and how to speak to it. */
export interface RedisEndpoint extends RedisAddress, RedisLogin {
  readonly database?: number;
  readonly tls?: ConnectionOptions;
}

/** A master that sentinels know by a name. They are spoken to with TLS when the servers are. */
export interface SentinelPlace extends RedisLogin {
  readonly sentinels: readonly RedisAddress[];
  readonly master: string;
  readonly sentinelLogin?: RedisLogin;
  readonly database?: number;
  readonly tls?: ConnectionOptions;
}

/** Some nodes of a cluster; they know the others. */
export interface ClusterPlace extends RedisLogin {
  readonly cluster: readonly RedisAddress[];
  readonly tls?: ConnectionOptions;
}

/** Where the store is, and as whom to speak to it. */
export type RedisPlace = RedisEndpoint | SentinelPlace | ClusterPlace;

/** Milliseconds. */
const connectTimeout = 1000;
const retry = { first: 50, most: 1000 } as const;

/** Options of a client that answers in the shapes of RESP2. */
export type ClientOptions = RedisOptions & { readonly replyMapping: 'legacy' };

/** What all connections have in common. */
function common({ host, port, username, password, database, tls }: RedisEndpoint): ClientOptions {
  return {
    host,
    port,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(database !== undefined && { db: database }),
    ...(tls !== undefined && { tls }),
    lazyConnect: true,
    connectTimeout,
    // A peer that does not close its side is left, before the process would have to wait for it.
    disconnectTimeout: 200,
    // Nothing is queued while there is no connection, and nothing is sent twice: a command whose caller was told that it
    // failed must not run later.
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // Nothing here needs what RESP3 adds.
    protocol: 2,
    replyMapping: 'legacy',
    disableClientInfo: true,
    connectionName: 'postern',
    maxLoadingRetryTime: 1000,
  };
}

/** Least milliseconds between two connections that are given up because the server has become a replica. */
const replicaPause = 10_000;

/**
 * The connection of commands. It comes back by itself, for as long as it takes. `silenceMs`: a connection that owes
 * answers and says nothing for so long is dead, whatever TCP thinks. `demoted` is told when the server has become a
 * replica and the connection is made anew.
 */
export function commandOptions(
  endpoint: RedisEndpoint,
  silenceMs: number,
  demoted: () => void = () => {},
): ClientOptions {
  let lastReplica = Number.NEGATIVE_INFINITY;
  return {
    ...common(endpoint),
    socketTimeout: silenceMs,
    retryStrategy: times =>
      Math.min(retry.most, retry.first * 2 ** Math.min(times - 1, 10)) * (0.5 + Math.random() / 2),
    reconnectOnError: error => {
      // What answers so was a master once: whoever is one now is found by connecting again. The command is not repeated,
      // and where nobody else takes its place, reads go on.
      if (!error.message.startsWith('READONLY') || performance.now() - lastReplica < replicaPause) return false;
      lastReplica = performance.now();
      demoted();
      return 1;
    },
  };
}

/** A connection for blocking reads: it serves one at a time and ends with the first failure; its owner makes another. */
export const blockingOptions = (endpoint: RedisEndpoint): ClientOptions => ({
  ...common(endpoint),
  retryStrategy: () => null,
});

/** A connection to somebody who is asked where the masters are. A sentinel, or a node without data, is ready as it is. */
export const witnessOptions = (endpoint: RedisEndpoint): ClientOptions => ({
  ...blockingOptions(endpoint),
  db: 0,
  enableReadyCheck: false,
});
