import type { Identified, Presented } from '../ports/session-source.ts';

/** A token API as far as telling who manages through it goes. */
export interface IdentityRules {
  /** Kind of its tokens; null where a token says nothing of who manages. */
  readonly tokenKind: string | null;
  /** A token manages with all that its account has, whatever it may do itself. */
  readonly asOwner?: true;
}

/** Tells who manages: by a session that was made here, by one of the legacy system, or by a token of the API. */
export interface Identities {
  identify(presented: Presented, rules: IdentityRules): Promise<Identified>;
}
