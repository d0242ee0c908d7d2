import type { Places } from '../core/credential.ts';
import type { Mounts } from '../core/mounts.ts';
import type { RateLimitMode } from '../core/rate-limit-fields.ts';
import type { RouteTable } from '../core/route.ts';
import type { Mount } from '../ports/mount.ts';
import type { SecretReader } from '../ports/token-lookup.ts';
import type { Clients } from './client.ts';
import type { Guard } from './guard.ts';

/** What a request is judged by. A reload replaces it whole; a request keeps the one that it came in under. */
export interface Policy {
  /** Token APIs that are asked before the routes. */
  readonly mounts: Mounts<Mount>;
  readonly routes: RouteTable;
  readonly places: Places;
  readonly clients: Clients;
  readonly guard: Guard;
  readonly secrets: SecretReader;
  /** Named in challenges. */
  readonly realm: string;
  /** How answers tell what is left of limits. */
  readonly rateLimit: RateLimitMode;
  /** Tokens start with it: a path in which it stands is not logged. */
  readonly tokenPrefix: string;
}
