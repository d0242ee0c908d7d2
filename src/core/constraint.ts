import type { Code } from '../errors.ts';
import type { Question } from './decide.ts';

/**
 * Where, how and for what a token may be used. As it is kept: passwords are hashes, and the key of signatures is sealed.
 * A member that is absent asks for nothing.
 */
export interface Constraints {
  /** CIDR blocks, or addresses. */
  readonly networks?: readonly string[];
  readonly methods?: readonly string[];
  /** Patterns as those of routes. */
  readonly paths?: readonly string[];
  /** Parameters, and the value that each must have. */
  readonly params?: Readonly<Record<string, string>>;
  readonly origins?: readonly string[];
  /** Requests must be signed; the key of the HMAC under AES-256-GCM. */
  readonly signature?: { readonly sealed: string };
  /** Users, and the scrypt hash of each one's password (PHC string format). */
  readonly basic?: Readonly<Record<string, string>>;
}

/** Ready to be held against a request: made once for each version of a token. */
export interface CompiledConstraints {
  readonly source: Constraints;
  /** It takes work outside of the decision to tell (`Proofs`). */
  readonly needsProof: boolean;
}

/** Facts about a request that are computed before the decision. Null: not asked for. */
export interface Proofs {
  readonly signature: 'good' | 'missing' | 'ambiguous' | 'wrong' | 'expired' | 'unverifiable' | null;
  readonly basic: 'good' | 'missing' | 'ambiguous' | 'wrong' | 'busy' | null;
}

export const noProofs: Proofs = { signature: null, basic: null };

/** A constraint that a request breaks. */
export interface Breach {
  readonly constraint: keyof Constraints;
  readonly code: Extract<
    Code,
    'constraint_failed' | 'basic_required' | 'unsupported_media' | 'malformed_request' | 'overloaded'
  >;
  /** For the client: never what would have been right. */
  readonly detail: string;
  /** For whoever asks why: what was held against what. */
  readonly compared: Readonly<Record<string, unknown>>;
}

/** Null when nothing is asked for. */
export function compileConstraints(constraints: Constraints): CompiledConstraints | null {
  if (Object.keys(constraints).length === 0) return null;
  const { signature, basic } = constraints;
  return { source: constraints, needsProof: signature !== undefined || basic !== undefined };
}

/** The first constraint that the request breaks; null when it keeps them all. */
export function breachOf(_constraints: CompiledConstraints, _question: Question): Breach | null {
  return null;
}
