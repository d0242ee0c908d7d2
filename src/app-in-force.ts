import type { AdminPolicy } from './admin/admin-listener.ts';
import { ConfigurationRefused, checksumKeysOf, type Joined, ownKey, refuseDeclared } from './app-joining.ts';
import { type Mounting, shapesOf } from './app-mounts.ts';
import { adminKeysOf, fieldRulesOf, policyOf, type Secrets, secretsOf } from './app-values.ts';
import type { Config } from './config/config.ts';
import { compareForReload } from './config/reload.ts';
import { Mounts } from './core/mounts.ts';
import { Guard } from './gate/guard.ts';
import type { Policy } from './gate/policy.ts';
import type { Clock } from './ports/clock.ts';
import type { TokenStore } from './ports/token-store.ts';
import type { FieldRules } from './proxy/fields.ts';
import type { Store } from './stores/open-store.ts';

/** A configuration, what the store said about it, and what follows from the two. */
export interface InForce extends Joined {
  readonly config: Config;
  readonly secrets: Secrets;
  readonly guard: Guard;
  readonly policy: Policy;
  readonly admin: AdminPolicy;
  readonly fields: FieldRules;
}

export interface Surroundings {
  readonly clock: Clock;
  /** How this process calls itself in `Via`. */
  readonly instance: string;
  readonly mounting: Mounting;
}

/** What a configuration means, once everything about it is known. `before`: what was in force; null at the start. */
export function inForceOf(
  config: Config,
  { checksumKeys, generatedKey }: Joined,
  { clock, instance, mounting }: Surroundings,
  before: InForce | null,
): InForce {
  const secrets = secretsOf(config, checksumKeys);
  // A guard that did not change goes on counting.
  const kept = before !== null && !differ(before.config.guard, config.guard);
  const guard = kept ? before.guard : new Guard(config.guard, clock);
  const mounted = mounting.of(config);
  return {
    config,
    checksumKeys,
    generatedKey,
    secrets,
    guard,
    policy: policyOf(config, guard, secrets.reader, mounted.proxy),
    admin: {
      keys: adminKeysOf(config, generatedKey),
      hosts: config.admin.hosts,
      guard,
      mounts: new Mounts(mounted.admin),
    },
    fields: fieldRulesOf(config, instance),
  };
}

/**
 * What the store says about a configuration that is to come into force. It is asked only about what it has not been asked
 * before: an outage is no reason to keep an old route. `store` null: one that is not open yet is asked when it is.
 * Rejects with everything that speaks against the configuration.
 */
export async function joinNext(
  before: InForce,
  next: Config,
  store: Store | null,
  declaring: TokenStore,
): Promise<Joined> {
  const fixed = compareForReload(before.config, next);
  if (fixed.length > 0) throw new ConfigurationRefused(fixed.map(key => `${key}: cannot change without a restart`));
  const { tokens } = before.config;
  let { checksumKeys } = before;
  let generatedKey = next.admin.keys.length > 0 ? null : before.generatedKey;
  if (store !== null) {
    if (differ(tokens.declared, next.tokens.declared)) await refuseDeclared(next, declaring);
    if (differ(tokens.peppers, next.tokens.peppers)) checksumKeys = await checksumKeysOf(next, store);
    generatedKey ??= await ownKey(next, store);
  }
  return { checksumKeys, generatedKey };
}

/** Whether what was looked up under the one can be served under the other. */
export const knowsTheSame = (a: InForce, b: InForce): boolean =>
  !differ(a.config.tokens, b.config.tokens) &&
  !differ(shapesOf(a.config).map(String), shapesOf(b.config).map(String)) &&
  !differ(a.checksumKeys, b.checksumKeys);

const differ = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
