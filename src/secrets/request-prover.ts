import { readBasic } from '../core/basic.ts';
import { readUtf8 } from '../core/body-text.ts';
import { type CompiledConstraints, noProofs, type Proofs } from '../core/constraint.ts';
import { readSignature } from '../core/signature.ts';
import type { ConstraintSecrets } from '../ports/constraint-secrets.ts';
import type { Log } from '../ports/log.ts';
import type { ProofQuestion, Prover } from '../ports/prover.ts';
import { type BasicPair, PasswordCheck } from './password-check.ts';
import type { Scrypt } from './scrypt.ts';
import { isSignatureOf } from './signing.ts';

export interface ProverParts {
  readonly vault: Pick<ConstraintSecrets, 'unseal'>;
  readonly scrypt: Scrypt;
  readonly log: Log;
}

/** Holds signatures and Basic credentials against what a token's constraints ask for. */
export class RequestProver implements Prover {
  readonly #parts: ProverParts;
  readonly #passwords: PasswordCheck;
  /** Signature keys by the version of the token that they are of; null: it cannot be opened. */
  readonly #keys = new WeakMap<CompiledConstraints, string | null>();

  constructor(parts: ProverParts) {
    this.#parts = parts;
    this.#passwords = new PasswordCheck(parts.scrypt);
  }

  prove(question: ProofQuestion): Proofs | Promise<Proofs> {
    const { constraints } = question.subject;
    if (constraints === null) return noProofs;
    const signature = this.#signature(question, constraints);
    // A request without a good signature is refused: no password is worked on for it.
    if (signature !== null && signature !== 'good') return { signature, basic: null };
    const basic = this.#basic(question, constraints);
    return basic instanceof Promise ? basic.then(settled => ({ signature, basic: settled })) : { signature, basic };
  }

  #signature({ form, reading, now, subject }: ProofQuestion, constraints: CompiledConstraints): Proofs['signature'] {
    const sealed = constraints.source.signature?.sealed;
    if (sealed === undefined) return null;
    const found = readSignature(form, reading);
    if (found.kind !== 'one') return found.kind;
    const key = this.#keyOf(constraints, subject.token.id, sealed);
    if (key === null) return 'unverifiable';
    if (found.expires === null || !isSignatureOf(found.signature, key, found.text)) return 'wrong';
    return now < found.expires * 1000 ? 'good' : 'expired';
  }

  #keyOf(constraints: CompiledConstraints, tokenId: string, sealed: string): string | null {
    const known = this.#keys.get(constraints);
    if (known !== undefined) return known;
    const key = this.#parts.vault.unseal(tokenId, sealed);
    if (key === null) {
      const message = 'the signature key of a token cannot be opened with store.encryption_key_file: its requests fail';
      this.#parts.log.error({ token_id: tokenId }, message);
    }
    this.#keys.set(constraints, key);
    return key;
  }

  #basic(
    { form, reading, subject, network, heldBack }: ProofQuestion,
    { source }: CompiledConstraints,
  ): Proofs['basic'] | Promise<Proofs['basic']> {
    const users = source.basic;
    if (users === undefined) return null;
    const found = readBasic(form, reading);
    if (found.kind !== 'one') return found.kind;
    const pair = pairOf(found.found.value);
    if (pair === null) return 'ambiguous';
    const { id } = subject.token;
    const known = this.#passwords.known(id, users, pair);
    if (known !== null) return known;
    if (heldBack(this.#passwords.underWay(network))) return 'held';
    return this.#passwords.check(id, users, pair, network);
  }
}

/** The first colon ends the user (RFC 7617 2). Null when there is none, or it is not text in UTF-8. */
function pairOf(base64: string): BasicPair | null {
  const bytes = Buffer.from(base64, 'base64');
  const colon = bytes.indexOf(0x3a);
  if (colon === -1 || bytes.some(byte => byte < 0x20 || byte === 0x7f)) return null;
  const user = readUtf8(bytes.subarray(0, colon));
  return user === null ? null : { user, password: bytes.subarray(colon + 1) };
}
