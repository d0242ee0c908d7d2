import * as z from 'zod';
import { signingLimits } from '../manage/signing.ts';
import type { SaidPatch } from '../manage/token-changes.ts';
import type { SaidMembers, TokenMembers } from '../manage/token-members.ts';
import type { RefusedMembers } from './members.ts';
import { membersBody } from './operation.ts';
import {
  constraints,
  constraintsPatch,
  duration,
  extra,
  id,
  instant,
  limits,
  mode,
  name,
  permissions,
  permissionsPatch,
  state,
  tags,
} from './schemas.ts';
import { component } from './wire-forms.ts';

/** Bodies of calls about tokens, and what they say to those who manage. */

const owner = id('The account that it belongs to. Default: none.').nullable();
const notBefore = instant('When it starts working. Default: at once.').nullable();
const expiresAt = instant('When it stops working. Default: never.').nullable();

const members = {
  name: name.optional(),
  owner: owner.optional(),
  state: state.optional(),
  mode: mode.optional(),
  not_before: notBefore.optional(),
  expires_at: expiresAt.optional(),
  permissions: permissions.optional(),
  limits: limits.optional(),
  constraints: constraints.optional(),
  extra: extra.optional(),
  tags: tags.optional(),
} as const;

const refused: RefusedMembers = {
  ours: ['id', 'kind', 'hint', 'created_at', 'updated_at', 'last_used_at', 'version'],
  unsupported: ['rewrite', 'notify'],
};

const creation = component('TokenCreation', z.strictObject(members));

const declaration = component(
  'TokenDeclaration',
  z.strictObject({
    secret_sha256: z
      .string()
      .meta({ pattern: '^[0-9A-Fa-f]{64}$', description: "SHA-256 of the token's secret, in hex." }),
    ...members,
  }),
);

const patch = component(
  'TokenPatch',
  z
    .strictObject({
      name: name.nullable().optional(),
      owner: owner.optional(),
      state: state.nullable().optional(),
      mode: mode.nullable().optional(),
      not_before: notBefore.optional(),
      expires_at: expiresAt.optional(),
      permissions: permissionsPatch.nullable().optional(),
      limits: limits.nullable().optional(),
      constraints: constraintsPatch.nullable().optional(),
      extra: extra.nullable().optional(),
      tags: tags.nullable().optional(),
    })
    .meta({
      description: 'A merge patch (RFC 7396): null takes a member back to its default. Lists are replaced whole.',
    }),
);

const rotation = component(
  'Rotation',
  z.strictObject({
    grace: duration('How long the old secret still works, at most 30d. Default: 0s, not at all.').optional(),
  }),
);

const signing = component(
  'Signing',
  z.strictObject({
    method: z.string().optional().meta({ description: 'The method of the request. Default: GET.' }),
    target: z
      .string()
      .meta({ maxLength: signingLimits.target, description: 'Its path and query, as they will be sent.' }),
    expires_in: duration('How long it will be taken, from 1s to 7d.'),
  }),
);

const nothing = component('Nothing', z.strictObject({}));

export const creationBody = membersBody(creation, refused);
export const declarationBody = membersBody(declaration, refused);
export const patchBody = membersBody(patch, refused, { merge: true });
export const rotationBody = membersBody(rotation, { ours: [], unsupported: [] }, { optional: true });
export const signingBody = membersBody(signing, { ours: [], unsupported: [] });
export const noBody = membersBody(nothing, { ours: [], unsupported: [] }, { optional: true });

/** What was said under the names of the wire, in an order of its own: equal bodies have equal text. */
interface WireMembers extends Omit<SaidMembers, 'notBefore' | 'expiresAt'> {
  readonly not_before?: TokenMembers['notBefore'];
  readonly expires_at?: TokenMembers['expiresAt'];
}

export function membersOf(said: WireMembers): SaidMembers {
  return {
    ...(said.name !== undefined && { name: said.name }),
    ...(said.owner !== undefined && { owner: said.owner }),
    ...(said.state !== undefined && { state: said.state }),
    ...(said.mode !== undefined && { mode: said.mode }),
    ...(said.not_before !== undefined && { notBefore: said.not_before }),
    ...(said.expires_at !== undefined && { expiresAt: said.expires_at }),
    ...(said.permissions !== undefined && { permissions: said.permissions }),
    ...(said.limits !== undefined && { limits: said.limits }),
    ...(said.constraints !== undefined && { constraints: said.constraints }),
    ...(said.extra !== undefined && { extra: said.extra }),
    ...(said.tags !== undefined && { tags: said.tags }),
  };
}

export const patchOf = ({
  not_before,
  expires_at,
  ...same
}: Omit<SaidPatch, 'notBefore' | 'expiresAt'> & Pick<WireMembers, 'not_before' | 'expires_at'>): SaidPatch => ({
  ...same,
  ...(not_before !== undefined && { notBefore: not_before }),
  ...(expires_at !== undefined && { expiresAt: expires_at }),
});
