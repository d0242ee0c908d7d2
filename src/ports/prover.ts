import type { Proofs } from '../core/constraint.ts';
import type { Reading } from '../core/credential.ts';
import type { Form } from '../core/form.ts';
import type { Millis, Subject } from '../core/token.ts';

/** What is to be proved: a request by a token whose constraints ask for a signature or Basic credentials. */
export interface ProofQuestion {
  readonly subject: Subject;
  readonly form: Form;
  readonly reading: Reading;
  readonly now: Millis;
  /** The client's, which only so much is worked on for at a time. */
  readonly network: string;
  /** The client's network has failed too often to have another guess worked on, were those under way to fail, too. */
  heldBack(underWay: number): boolean;
}

/** Computes what the decision needs to be told. Never rejects. */
export interface Prover {
  /** At once where nothing has to be worked out that was not before. */
  prove(question: ProofQuestion): Proofs | Promise<Proofs>;
}
