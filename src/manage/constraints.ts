import type { Constraints } from '../core/constraint.ts';
import { checkConstraints, isHash, type SaidConstraints, shownConstraints } from '../core/constraint-form.ts';
import { pointerStep } from '../core/strict-json.ts';
import type { Json, StoredToken } from '../core/token.ts';
import { Refusal } from '../errors.ts';
import type { ConstraintSecrets } from '../ports/constraint-secrets.ts';
import type { Faults } from './faults.ts';
import { mergeObject } from './merge-patch.ts';
import type { TokenChange } from './token-changes.ts';

/** What is said of constraints: all of them, or a merge patch (RFC 7396) of them as they are shown. */
export type ConstraintsSaid = { readonly whole: SaidConstraints } | { readonly patch: ConstraintsPatch };

/** Null takes a member back; as a whole, all of them. */
export type ConstraintsPatch = { readonly [name: string]: Json } | null;

/**
 * Constraints as they are said, made into those that are kept. Hashing takes its time, and is done once for one call,
 * however often the change is made anew because somebody came between.
 */
export class ConstraintKeeper {
  readonly #secrets: ConstraintSecrets;
  /** By user: all that one call says of a user is one password. */
  readonly #hashes = new Map<string, string>();
  /** Hashes that are of other passwords than were said. */
  readonly #others = new Set<string>();

  constructor(secrets: ConstraintSecrets) {
    this.#secrets = secrets;
  }

  /** Faults are added, if any. `before`: what the token has. */
  check(said: ConstraintsSaid, before: Constraints, faults: Faults): void {
    const wanted = wantedOf(said, before);
    const report = (pointer: string, detail: string): void => faults.add(`/constraints${pointer}`, detail);
    checkConstraints(wanted, report);
    const { signature, basic } = wanted;
    const newKey = signature !== undefined && (before.signature === undefined || signature.key !== undefined);
    if (newKey && !this.#secrets.seals) {
      report('/signature', 'needs store.encryption_key_file in the configuration: its key would lie open');
    }
    for (const [user, password] of Object.entries(basic ?? {})) {
      const known = before.basic !== undefined && Object.hasOwn(before.basic, user);
      if (password === true && !known) report(`/basic${pointerStep(user)}`, 'has no password to keep');
    }
  }

  /** What was checked, as it is kept. Secrets that are said to stay are taken from what there is. */
  async kept(
    said: ConstraintsSaid,
    { id, constraints: before }: Pick<StoredToken, 'id' | 'constraints'>,
  ): Promise<Constraints> {
    const { signature, basic, ...plain } = wantedOf(said, before);
    return {
      ...plain,
      ...(signature !== undefined && { signature: { sealed: this.#sealed(id, signature.key, before) } }),
      ...(basic !== undefined && { basic: await this.#hashed(basic, before.basic ?? {}) }),
    };
  }

  /** The key as it lies already where it is the same one: sealed again it would look like a change. */
  #sealed(id: string, key: string | undefined, { signature }: Constraints): string {
    if (signature !== undefined && key === undefined) return signature.sealed;
    if (signature !== undefined && this.#secrets.unseal(id, signature.sealed) === key) return signature.sealed;
    return this.#secrets.seal(id, key ?? this.#secrets.newKey());
  }

  /** One after the other, so that one call takes one of the few places at a time. */
  async #hashed(
    said: Readonly<Record<string, string | true>>,
    before: Readonly<Record<string, string>>,
  ): Promise<Readonly<Record<string, string>>> {
    const hashes = new Map<string, string>();
    for (const [user, password] of Object.entries(said)) {
      const had = Object.hasOwn(before, user) ? before[user] : undefined;
      if (password === true) hashes.set(user, had ?? '');
      else hashes.set(user, isHash(password) ? password : await this.#hashOf(user, password, had));
    }
    return Object.fromEntries(hashes);
  }

  async #hashOf(user: string, password: string, had: string | undefined): Promise<string> {
    if (had !== undefined && had !== this.#hashes.get(user) && !this.#others.has(had)) {
      if (answered(await this.#secrets.matches(password, had))) this.#hashes.set(user, had);
      else this.#others.add(had);
    }
    const known = this.#hashes.get(user) ?? answered(await this.#secrets.hash(password));
    this.#hashes.set(user, known);
    return known;
  }
}

/** Null is no answer: too many wait for one. */
function answered<T>(answer: T | null): T {
  if (answer === null) throw new Refusal('overloaded', 'Too many passwords are being hashed. Try again.');
  return answer;
}

/** In a patch, what is not named stays: as it is shown, a secret stands for itself. */
function wantedOf(said: ConstraintsSaid, before: Constraints): SaidConstraints {
  if ('whole' in said) return said.whole;
  if (said.patch === null) return {};
  return mergeObject(shownConstraints(before) as { readonly [name: string]: Json }, said.patch) as SaidConstraints;
}

/** A change, and the constraints with it. One keeper serves all attempts at it. */
export const withConstraints =
  (change: TokenChange, said: ConstraintsSaid, keeper: ConstraintKeeper): TokenChange =>
  async (token, now, faults) => {
    const next = await change(token, now, faults);
    keeper.check(said, token.constraints, faults);
    // Nothing is worked out for what will not be written.
    return faults.any ? next : { ...next, constraints: await keeper.kept(said, token) };
  };

/**
 * What tells one body with secrets from another, for a creation that may be asked for twice. It is kept for a day: a
 * fast hash of a body would be a fast hash of the passwords in it.
 */
export async function fingerprintOf(said: SaidConstraints, salt: string, secrets: ConstraintSecrets): Promise<string> {
  const { signature, basic } = said;
  if (signature?.key === undefined && basic === undefined) return '';
  return answered(
    await secrets.fingerprint(JSON.stringify([signature?.key ?? null, Object.entries(basic ?? {})]), salt),
  );
}

/** Secrets that differ, by where they stand. What is shown of them is the same. */
export function changedSecrets(before: Constraints, after: Constraints): string[] {
  const changed: string[] = [];
  if (before.signature !== undefined && after.signature !== undefined) {
    if (before.signature.sealed !== after.signature.sealed) changed.push('/signature');
  }
  for (const [user, hash] of Object.entries(after.basic ?? {})) {
    const had = before.basic !== undefined && Object.hasOwn(before.basic, user) ? before.basic[user] : hash;
    if (had !== hash) changed.push(`/basic${pointerStep(user)}`);
  }
  return changed;
}
