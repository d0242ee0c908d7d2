import type { SaidConstraints } from '../core/constraint-form.ts';
import type { SaidLimit } from '../core/limit-form.ts';
import { pointerStep } from '../core/strict-json.ts';
import { idPattern, type Json, type Millis, namePattern, type Token } from '../core/token.ts';
import type { Faults } from './faults.ts';
import { checkInherited, checkPermissions } from './permission-members.ts';

/** What managers say of a token. All else of it is ours. */
export type TokenMembers = Pick<
  Token,
  'name' | 'owner' | 'mode' | 'notBefore' | 'expiresAt' | 'permissions' | 'limits' | 'constraints' | 'extra' | 'tags'
> & { readonly state: 'enabled' | 'disabled' };

/** Members as they are said: of constraints, what becomes of secrets is worked out when they are written. */
export type SaidMembers = Partial<Omit<TokenMembers, 'constraints' | 'limits'>> & {
  readonly constraints?: SaidConstraints;
  readonly limits?: readonly SaidLimit[];
};

/** Members that were not said. */
export const defaultMembers: TokenMembers = {
  name: '',
  owner: null,
  state: 'enabled',
  mode: 'enforce',
  notBefore: null,
  expiresAt: null,
  permissions: [],
  limits: [],
  constraints: {},
  extra: {},
  tags: [],
};

export const tokenLimits = { extraBytes: 64 * 1024, tags: 64, tag: 64, graceMs: 30 * 86_400_000 } as const;

/** Every rule but that the owner exists: the store knows that. Pointers are those of the JSON forms of a token. */
export function checkMembers(members: Omit<TokenMembers, 'state'>, faults: Faults): void {
  checkName(members.name, faults);
  checkTags(members.tags, faults);
  checkPermissions('/permissions', members.permissions, faults);
  checkInherited('/permissions', members.permissions, members.owner, faults);
  checkExtra(members.extra, faults);
  const { notBefore, expiresAt } = members;
  if (notBefore !== null && expiresAt !== null && notBefore >= expiresAt) {
    faults.add('/not_before', 'is not before expires_at');
  }
}

/** A name may be empty. */
export function checkName(name: string, faults: Faults): void {
  if (name !== '' && !namePattern.test(name)) faults.add('/name', 'is not printable text of up to 256 characters');
}

export function checkId(id: string, faults: Faults): void {
  if (!idPattern.test(id)) {
    faults.add('/id', 'is not 1 to 64 letters, digits, ".", "_" and "-", the first a letter or digit');
  }
}

/** A token that can never work is a mistake when it is made, and a way to end it later. */
export function checkExpiry(expiresAt: Millis | null, now: Millis, faults: Faults): void {
  if (expiresAt !== null && expiresAt <= now) faults.add('/expires_at', 'is in the past');
}

const tagPattern = /^[^\p{C}]{1,64}$/u;

function checkTags(tags: readonly string[], faults: Faults): void {
  if (tags.length > tokenLimits.tags) faults.add('/tags', `has more than ${tokenLimits.tags} tags`);
  const seen = new Set<string>();
  tags.slice(0, tokenLimits.tags).forEach((tag, index) => {
    const pointer = `/tags${pointerStep(index)}`;
    if (!tagPattern.test(tag)) faults.add(pointer, `is not printable text of 1 to ${tokenLimits.tag} characters`);
    else if (seen.has(tag)) faults.add(pointer, 'stands twice');
    seen.add(tag);
  });
}

function checkExtra(extra: { readonly [name: string]: Json }, faults: Faults): void {
  if (Buffer.byteLength(JSON.stringify(extra)) > tokenLimits.extraBytes) faults.add('/extra', 'is over 64 KiB');
}
