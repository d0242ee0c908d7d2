import type { Constraints } from '../core/constraint.ts';
import type { Place } from '../core/credential.ts';
import type { Limit } from '../core/limit.ts';
import type { Permissions } from '../core/permissions.ts';
import type { RateLimitMode } from '../core/rate-limit-fields.ts';
import type { Route } from '../core/route.ts';
import type { Millis, TokenMode } from '../core/token.ts';
import type { UpstreamAddress } from './network.ts';
import type { HostPort } from './store-address.ts';

/**
 * The configuration, checked and ready to use: durations in milliseconds (`…Ms`), sizes in bytes, files read, routes
 * and places compiled. Every secret is a `Buffer`, and every `Buffer` is masked when the configuration is shown.
 */
export interface Config {
  /** The configuration file as it was named; null without one. */
  readonly file: string | null;
  readonly listen: {
    readonly proxy: ProxyListener;
    readonly admin: Listener;
    readonly telemetry: Listener;
  };
  readonly admin: {
    readonly keys: readonly AdminKey[];
    /** Host values that are answered, lower case, without port, IPv6 in brackets. */
    /** Null: loopback names and the listener's address. */
    readonly hosts: readonly string[] | null;
  };
  readonly upstreams: readonly Upstream[];
  readonly credentials: readonly Place[];
  readonly routes: readonly Route[];
  readonly store: EmbeddedStore | RedisStore;
  readonly tokens: {
    readonly prefix: string;
    /** The first makes, all verify. */
    readonly peppers: readonly Pepper[];
    readonly declared: readonly DeclaredToken[];
    readonly shapes: readonly RegExp[];
    readonly acceptUnkeyed: boolean;
  };
  /** On one listener no two answer the same method and path. */
  readonly tokenApis: readonly TokenApi[];
  readonly cache: { readonly maxEntries: number; readonly ttlMs: number; readonly negativeTtlMs: number };
  readonly revocation: {
    readonly boundMs: number;
    /** Longest wait of one read of the change feed: the bound holds three of them. */
    readonly feedReadMs: number;
  };
  readonly outage: {
    /** How long known tokens are served without the store; 0 for no longer than the bound. */
    readonly serveCachedMs: number;
    /** Null: none is kept. `folder` is absolute. */
    readonly snapshot: { readonly folder: string; readonly intervalMs: number } | null;
    /** `open`: what a limit has no units for passes while the store cannot be asked for more. */
    readonly limits: 'closed' | 'open';
  };
  /** Longest wait for units that other processes hold. */
  readonly limits: { readonly waitMs: number };
  readonly sessions: {
    /** Null: nobody else's sessions are known. */
    readonly introspect: Introspection | null;
  };
  readonly headers: {
    readonly identityPrefix: string;
    readonly realm: string;
    /** Which fields tell what is left of limits. */
    readonly rateLimit: RateLimitMode;
  };
  /** Addresses and networks in CIDR notation. */
  readonly trustedProxies: readonly string[];
  /** `failures` 0 is off. */
  readonly guard: { readonly failures: number; readonly perMs: number };
  readonly shutdown: { readonly delayMs: number; readonly graceMs: number };
  readonly log: {
    readonly level: 'debug' | 'info' | 'warn' | 'error';
    readonly access: 'all' | 'refused' | 'none';
    /** Share of successful requests that get a line, 0 to 1. */
    readonly sample: number;
  };
}

export interface Listener {
  /** As written. */
  readonly address: string;
  /** Without brackets; undefined for every address family. */
  readonly host: string | undefined;
  /** 0 for a free one. */
  readonly port: number;
  readonly tls: ListenerTls | null;
  readonly insecure: boolean;
}

export interface ProxyListener extends Listener {
  readonly headTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly maxConnections: number;
  /** Other processes may listen at the same place. */
  readonly reusePort: boolean;
}

/** Contents of the files, in PEM. */
export interface ListenerTls {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly clientCa: Buffer | null;
  /** Where they were read, absolute. */
  readonly files: { readonly cert: string; readonly key: string; readonly clientCa: string | null };
}

export interface AdminKey {
  readonly name: string;
  readonly role: 'admin' | 'read' | `owner:${string}`;
  readonly sha256: Buffer;
  readonly expiresAt: Millis | null;
  /** Where the key itself can be read, absolute: by whoever may, and not kept here. Null when no file is named. */
  readonly keyFile: string | null;
}

export interface Upstream {
  readonly name: string;
  /** At least one, no two alike, all of one protocol. */
  readonly addresses: readonly UpstreamAddress[];
  /** The Host that is sent: `preserve` the client's, `upstream` the URL's, or this one. */
  readonly host: string;
  /** Null for http. */
  readonly tls: UpstreamTls | null;
  readonly connectTimeoutMs: number;
  /** 0 for never, as the two below. */
  readonly responseTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly streamIdleTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxStreams: number;
  readonly queue: { readonly size: number; readonly timeoutMs: number };
  /** Active checks; null for none. */
  readonly health: UpstreamHealth | null;
}

export interface UpstreamHealth {
  readonly path: string;
  readonly intervalMs: number;
  /** At most the interval. */
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
}

/** Contents of the files, in PEM; null for the system's authorities, and for no client certificate. */
export interface UpstreamTls {
  readonly ca: Buffer | null;
  readonly cert: Buffer | null;
  readonly key: Buffer | null;
  /** Name that is sent (unless it is an address) and verified; null for each URL's host. */
  readonly serverName: string | null;
}

export interface Pepper {
  readonly id: string;
  readonly key: Buffer;
}

/** The system that is asked whose session it is. Pointers are their steps. */
export interface Introspection {
  readonly url: string;
  readonly forward: readonly (
    | { readonly kind: 'cookie' | 'authorization' }
    | { readonly kind: 'parameter'; readonly name: string }
  )[];
  readonly account: readonly string[];
  readonly permissions: readonly string[] | null;
  readonly owns: readonly string[] | null;
  /** Both at most the bound of revocation. */
  readonly cacheMs: number;
  readonly timeoutMs: number;
}

interface AnyStore {
  readonly deadlineMs: number;
  readonly mutationDeadlineMs: number;
  /** 32 bytes; null when keys cannot be kept. */
  readonly encryptionKey: Buffer | null;
}

export interface EmbeddedStore extends AnyStore {
  readonly kind: 'embedded';
  /** Absolute. */
  readonly path: string;
}

export interface RedisStore extends AnyStore {
  readonly kind: 'redis';
  readonly servers: RedisServers;
  readonly username: string | null;
  readonly password: Buffer | null;
  readonly database: number;
  /** `ca` null: the system's authorities. */
  readonly tls: { readonly ca: Buffer | null } | null;
  /** What all keys begin with. */
  readonly prefix: string;
  /** What has to have a change before it counts. */
  readonly confirm: 'none' | 'majority';
  readonly allowEviction: boolean;
}

/** Where Redis is: at an address, behind sentinels (who have users of their own), or in a cluster. */
export type RedisServers =
  | { readonly form: 'url'; readonly host: string; readonly port: number }
  | {
      readonly form: 'sentinel';
      readonly sentinels: readonly HostPort[];
      readonly master: string;
      readonly username: string | null;
      readonly password: Buffer | null;
    }
  | { readonly form: 'cluster'; readonly nodes: readonly HostPort[] };

/** A token API that other systems speak, at its mount. */
export interface TokenApi {
  readonly api: 'access-api' | 'access-keys' | 'api-tokens';
  /** Whole literal segments, such as `/api`; empty at the root. */
  readonly path: string;
  readonly listen: 'admin' | 'proxy';
  /** Of api-tokens. */
  readonly envelope: 'result' | 'jsonrpc';
  /** 32 bytes; null where secrets cannot be shown again. */
  readonly recoverableKey: Buffer | null;
}

/** A token that lives in the configuration. Whether its owner exists only the store can tell: `missingOwners`. */
export interface DeclaredToken {
  readonly id: string;
  readonly name: string;
  readonly secretSha256: Buffer;
  readonly owner: string | null;
  readonly state: 'enabled' | 'disabled';
  readonly mode: TokenMode;
  readonly permissions: Permissions;
  readonly notBefore: Millis | null;
  readonly expiresAt: Millis | null;
  readonly limits: readonly Limit[];
  readonly constraints: Constraints;
  readonly tags: readonly string[];
  /** `file:line:column key` of its declaration, for messages. */
  readonly declaredAt: string;
}
