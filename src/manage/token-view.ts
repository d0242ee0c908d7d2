import { type SaidConstraints, shownConstraints } from '../core/constraint-form.ts';
import { type Account, isRevoked, type Millis, type StoredToken, type Token } from '../core/token.ts';
import type { Usage } from '../core/usage.ts';

/** A token as managers see it: without digests and secrets, `state` as it is in effect, and when it was last used. */
export interface TokenView extends Omit<Token, 'constraints'> {
  /** Without passwords, keys, and what is kept of them. */
  readonly constraints: SaidConstraints;
  readonly lastUsedAt: Millis | null;
  /** Whether `version` tells everything that can change: not what its owner's account or the configuration says. */
  readonly versioned: boolean;
}

export function viewOf(stored: StoredToken, account: Account | null, usage: Usage | null | undefined): TokenView {
  const { digest: _digest, previous: _previous, sealed: _sealed, ...token } = stored;
  const state = isRevoked(stored, account) ? 'revoked' : stored.state;
  const versioned = state === stored.state && stored.kind !== 'declared';
  const constraints = shownConstraints(stored.constraints);
  return { ...token, constraints, state, lastUsedAt: usage?.lastUsedAt || null, versioned };
}
