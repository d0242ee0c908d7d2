import { hash } from 'node:crypto';
import type { AdminKey } from './admin/keys.ts';
import { shapesOf } from './app-mounts.ts';
import type { CacheOptions } from './cache/cached-lookup.ts';
import type { Config, Listener } from './config/config.ts';
import { boundsOf } from './config/outage.ts';
import { Places } from './core/credential.ts';
import { Mounts } from './core/mounts.ts';
import { RouteTable } from './core/route.ts';
import type { StoredToken } from './core/token.ts';
import { Clients } from './gate/client.ts';
import type { Guard } from './gate/guard.ts';
import type { Policy } from './gate/policy.ts';
import type { Mount } from './ports/mount.ts';
import type { SecretMaker } from './ports/secret-maker.ts';
import type { SecretReader } from './ports/token-lookup.ts';
import type { FieldRules } from './proxy/fields.ts';
import { Mint } from './secrets/mint.ts';
import { Peppers } from './secrets/peppers.ts';
import { Reader } from './secrets/reader.ts';
import type { LeaseOptions } from './usage/leases.ts';

/** Rooms take ready values, not the configuration: here the one becomes the other. */

/** What this incarnation of the process is called where operators see it: the machine, and `unique` to tell it from others. */
export function processNameOf(host: string, unique: string): string {
  const machine = host.replace(/[^A-Za-z0-9._-]/g, '-').replace(/^[^A-Za-z0-9]+/, '');
  return `${machine.slice(0, 40) || 'postern'}-${unique}`;
}

export const listenerOf = ({ host, port, tls }: Listener) => ({ host, port, tls });

export const policyOf = (config: Config, guard: Guard, secrets: SecretReader, mounts: readonly Mount[]): Policy => ({
  mounts: new Mounts(mounts),
  routes: new RouteTable(config.routes),
  places: new Places(config.credentials),
  clients: new Clients(config.trustedProxies),
  guard,
  secrets,
  realm: config.headers.realm,
  rateLimit: config.headers.rateLimit,
  tokenPrefix: config.tokens.prefix,
});

export const fieldRulesOf = ({ headers, credentials }: Config, instance: string): FieldRules => ({
  identityPrefix: headers.identityPrefix.toLowerCase(),
  identityName: headers.identityPrefix,
  instance,
  tokenQueries: new Set(credentials.flatMap(place => (place.kind === 'query' ? [place.name] : []))),
});

/** Configured keys, or the one that the store keeps. */
export function adminKeysOf({ admin }: Config, generated: string | null): AdminKey[] {
  if (generated !== null) {
    return [{ name: 'admin.key', role: 'admin', sha256: hash('sha256', generated, 'buffer'), expiresAt: null }];
  }
  return [...admin.keys];
}

export interface Secrets {
  readonly reader: SecretReader;
  readonly maker: SecretMaker;
  readonly declaredById: ReadonlyMap<string, StoredToken>;
  /** By SHA-256 of the secret, in hex. */
  readonly declaredBySecret: ReadonlyMap<string, StoredToken>;
}

export const leaseOptionsOf = ({ limits, store, outage }: Config): LeaseOptions => ({
  waitMs: limits.waitMs,
  deadlineMs: store.deadlineMs,
  outage: outage.limits,
});

export const cacheOptionsOf = ({ cache, revocation, outage, store }: Config): CacheOptions => ({
  ...cache,
  boundMs: revocation.boundMs,
  cutOffMs: boundsOf({ revocation, outage }).cutOffMs,
  onlyWhileSeen: store.kind === 'redis' && store.confirm === 'majority',
  deadlineMs: store.deadlineMs,
});

/** `checksumKeys`: those that the store keeps; null before it has said. */
export function secretsOf(config: Config, checksumKeys: readonly string[] | null): Secrets {
  const { tokens } = config;
  const peppers = new Peppers(tokens.peppers, tokens.acceptUnkeyed, checksumKeys);
  const mint = new Mint(peppers, tokens.prefix);
  const declaredById = new Map<string, StoredToken>();
  const declaredBySecret = new Map<string, StoredToken>();
  for (const { secretSha256, declaredAt: _, ...declared } of tokens.declared) {
    const key = secretSha256.toString('hex');
    const token: StoredToken = {
      ...declared,
      kind: 'declared',
      hint: null,
      // Older than any mark: revoking everything of an owner revokes what is declared for it too, and stays.
      createdAt: 0,
      updatedAt: 0,
      extra: {},
      version: 1,
      digest: peppers.digest(key),
      previous: null,
      sealed: null,
    };
    declaredById.set(token.id, token);
    declaredBySecret.set(key, token);
  }
  return {
    reader: new Reader(peppers, {
      prefix: tokens.prefix,
      shapes: [...tokens.shapes, ...shapesOf(config)],
      declared: new Set(declaredBySecret.keys()),
    }),
    maker: { mint: () => mint.mint(), digest: key => peppers.digest(key), digests: key => peppers.digests(key) },
    declaredById,
    declaredBySecret,
  };
}
