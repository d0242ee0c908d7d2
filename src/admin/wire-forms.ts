import * as z from 'zod';
import { shownLimit } from '../core/limit-form.ts';
import type { Account, Millis } from '../core/token.ts';
import { noUsage, type Usage } from '../core/usage.ts';
import type { AccountUsage, OwnerRevoked } from '../manage/account-service.ts';
import type { Acknowledgement } from '../manage/acknowledgement.ts';
import { instantText } from '../manage/changes.ts';
import type { LimitUse } from '../manage/limits.ts';
import type { PlacedRole } from '../manage/role-service.ts';
import type { SignedRequest } from '../manage/signing.ts';
import type { TokenView } from '../manage/token-view.ts';
import type { UsageReport } from '../manage/usage-report.ts';
import type { AuditEvent } from '../ports/token-store.ts';
import type { DocumentedAnswer } from './operation.ts';
import {
  ownPermissions,
  ownPermissionsPatch,
  permissions,
  permissionsPatch,
  shownConstraints,
  shownLimits,
} from './schemas.ts';

/** Things in answers: their schemas, under the names that the document gives them, and how they are made. */

/** Schemas with a name in the document. */
export const components = z.registry<{ readonly id: string }>();

export function component<T extends z.ZodType>(id: string, schema: T): T {
  components.add(schema, { id });
  return schema;
}

component('Permissions', permissions);
component('PermissionsPatch', permissionsPatch);
component('OwnPermissions', ownPermissions);
component('OwnPermissionsPatch', ownPermissionsPatch);

const at = (description: string) => z.string().meta({ format: 'date-time', description });
const textOrNull = (at: Millis | null): string | null => (at === null ? null : instantText(at));
const anything = z.record(z.string(), z.unknown());
const nothingYet = z.array(anything).meta({ description: 'Not supported yet: always empty.' });

export const tokenForm = component(
  'Token',
  z.strictObject({
    id: z.string(),
    name: z.string(),
    owner: z.string().nullable().meta({ description: 'The account that it belongs to.' }),
    kind: z.string().meta({ description: 'The API that made it; `declared` for the configuration.' }),
    hint: z
      .string()
      .nullable()
      .meta({ description: 'Prefix and last four characters; null when we never saw the secret.' }),
    state: z
      .enum(['enabled', 'disabled', 'revoked'])
      .meta({ description: 'As it is in effect: its own, or by a mark on its owner.' }),
    mode: z.enum(['enforce', 'shadow']),
    created_at: at('When it was made.'),
    updated_at: at('When it was last changed.'),
    last_used_at: at('When it was last used.').nullable(),
    not_before: at('When it starts working.').nullable(),
    expires_at: at('When it stops working.').nullable(),
    permissions,
    limits: shownLimits,
    constraints: shownConstraints,
    rewrite: nothingYet,
    notify: nothingYet,
    extra: anything,
    tags: z.array(z.string()),
    version: z.int().min(1).meta({ description: 'Counts changes. Use does not change it.' }),
  }),
);

export const tokenJson = (token: TokenView): z.output<typeof tokenForm> => ({
  id: token.id,
  name: token.name,
  owner: token.owner,
  kind: token.kind,
  hint: token.hint,
  state: token.state,
  mode: token.mode,
  created_at: instantText(token.createdAt),
  updated_at: instantText(token.updatedAt),
  last_used_at: textOrNull(token.lastUsedAt),
  not_before: textOrNull(token.notBefore),
  expires_at: textOrNull(token.expiresAt),
  permissions: token.permissions,
  limits: token.limits.map(shownLimit),
  constraints: token.constraints as z.output<typeof shownConstraints>,
  rewrite: [],
  notify: [],
  extra: token.extra,
  tags: [...token.tags],
  version: token.version,
});

export const accountForm = component(
  'Account',
  z.strictObject({
    id: z.string(),
    name: z.string(),
    enabled: z.boolean(),
    roles: z.array(z.string()).meta({ description: 'Ids of roles. They apply in the order of all roles.' }),
    permissions: ownPermissions.nullable().meta({
      description: 'As they were given; null as long as it never had any, nor roles: it bounds nothing then.',
    }),
    owns: z
      .array(z.string())
      .nullable()
      .meta({ description: 'Patterns of the resources that `*` stands for; null: every one.' }),
    limits: shownLimits,
    revoked_before: at('Its tokens made at or before this instant are revoked.').nullable(),
    created_at: at('When it was made.'),
    updated_at: at('When it was last changed.'),
    version: z.int().min(1),
  }),
);

export const accountJson = (account: Account): z.output<typeof accountForm> => ({
  id: account.id,
  name: account.name,
  enabled: account.enabled,
  roles: [...account.roles],
  permissions: account.permissions,
  owns: account.owns === null ? null : [...account.owns],
  limits: account.limits.map(shownLimit),
  revoked_before: textOrNull(account.revokedBefore),
  created_at: instantText(account.createdAt),
  updated_at: instantText(account.updatedAt),
  version: account.version,
});

export const roleForm = component(
  'Role',
  z.strictObject({
    id: z.string(),
    name: z.string(),
    permissions: ownPermissions,
    position: z
      .int()
      .min(0)
      .nullable()
      .meta({ description: 'Its place in the order of all roles; null for one that was deleted.' }),
    created_at: at('When it was made.'),
    updated_at: at('When it was last changed.'),
    version: z.int().min(1).meta({ description: 'Counts changes. The order of roles does not change it.' }),
  }),
);

export const roleJson = (role: PlacedRole): z.output<typeof roleForm> => ({
  id: role.id,
  name: role.name,
  permissions: role.permissions,
  position: role.position,
  created_at: instantText(role.createdAt),
  updated_at: instantText(role.updatedAt),
  version: role.version,
});

const cursor = z.string().nullable().meta({ description: 'For the next page; null on the last one.' });
export const tokenPageForm = component(
  'TokenPage',
  z.strictObject({ tokens: z.array(tokenForm), next_cursor: cursor }),
);
export const accountPageForm = component(
  'AccountPage',
  z.strictObject({ accounts: z.array(accountForm), next_cursor: cursor }),
);

export const rolePageForm = component('RolePage', z.strictObject({ roles: z.array(roleForm), next_cursor: cursor }));

export const tokenWithSecretForm = component(
  'TokenWithSecret',
  z.strictObject({
    token: tokenForm,
    secret: z.string().optional().meta({ description: 'Shown this once. Absent when a creation is answered again.' }),
  }),
);

export const signedForm = component(
  'Signed',
  z.strictObject({
    method: z.string(),
    target: z.string().meta({ description: 'With the expiry and the signature in its query.' }),
    expires_at: at('When it stops being taken.'),
  }),
);

export const signedJson = ({ method, target, expiresAt }: SignedRequest): z.output<typeof signedForm> => ({
  method,
  target,
  expires_at: instantText(expiresAt),
});

const acknowledgement = {
  acknowledged: z.array(z.string()).meta({ description: 'Processes on which it holds.' }),
  pending: z
    .array(z.strictObject({ process: z.string(), may_serve_until: at('The latest that it may still work there.') }))
    .meta({
      description:
        'Processes on which it may not hold yet. Empty with 202: the store did not say which other processes there are.',
    }),
};

/** The statuses of a revocation. */
export const revocationAnswers = (
  description: string,
  schema: z.ZodType,
  fields: readonly string[] = [],
): Readonly<Record<number, DocumentedAnswer>> => ({
  200: { description: `${description} It holds on every live process.`, schema, fields },
  202: { description: `${description} It is done, and may not hold on every process yet.`, schema, fields },
});

export const revocationStatus = ({ complete }: Acknowledgement): number => (complete ? 200 : 202);

const acknowledgementJson = ({ acknowledged, pending }: Acknowledgement) => ({
  acknowledged: [...acknowledged],
  pending: pending.map(({ process, mayServeUntil }) => ({ process, may_serve_until: instantText(mayServeUntil) })),
});

export const tokenRevokedForm = component('TokenRevoked', z.strictObject({ token: tokenForm, ...acknowledgement }));

export const tokenRevokedJson = (
  revoked: { readonly token: TokenView } & Acknowledgement,
): z.output<typeof tokenRevokedForm> => ({ token: tokenJson(revoked.token), ...acknowledgementJson(revoked) });

export const accountDeletedForm = component(
  'AccountDeleted',
  z.strictObject({ account: accountForm, ...acknowledgement }),
);

export const accountDeletedJson = (
  deleted: { readonly account: Account } & Acknowledgement,
): z.output<typeof accountDeletedForm> => ({ account: accountJson(deleted.account), ...acknowledgementJson(deleted) });

export const ownerRevokedForm = component(
  'OwnerRevoked',
  z.strictObject({
    owner: z.string(),
    revoked: z.int().min(0).meta({ description: 'How many tokens were live.' }),
    revoked_before: at("The owner's tokens made at or before this instant are revoked."),
    ...acknowledgement,
  }),
);

export const ownerRevokedJson = (done: OwnerRevoked): z.output<typeof ownerRevokedForm> => ({
  owner: done.owner,
  revoked: done.revoked,
  revoked_before: instantText(done.revokedBefore),
  ...acknowledgementJson(done),
});

const counts = z.record(z.string(), z.int().min(0));
const usageMembers = {
  allowed: z.int().min(0),
  refused: counts.meta({ description: 'By problem code.' }),
  status: counts.meta({ description: 'Answers by class, such as `2xx`.' }),
  bytes_in: z.int().min(0),
  bytes_out: z.int().min(0),
  last_used_at: at('When it was last used.').nullable(),
};

const limitUses = z
  .array(
    z.strictObject({
      name: z.string(),
      max: z.int().min(0),
      used: z.int().min(0).meta({ description: 'Units that are used up, those of `burned` included.' }),
      remaining: z.int().min(0).meta({ description: 'Of `max`, or of the `burst` of a bucket.' }),
      burned: z.int().min(0).meta({ description: 'Units of processes that ended without saying what they had used.' }),
      resets_at: at('When the window ends; null for `lifetime` and buckets.').nullable(),
    }),
  )
  .meta({ description: 'Limits in their present windows. What was used within the last second may not be in yet.' });

const limitUsesJson = (uses: readonly LimitUse[]): z.output<typeof limitUses> =>
  uses.map(({ resetsAt, ...use }) => ({ ...use, resets_at: textOrNull(resetsAt) }));

export const accountUsageForm = component(
  'AccountUsage',
  z.strictObject({ account_id: z.string(), limits: limitUses }),
);

export const accountUsageJson = ({ accountId, limits }: AccountUsage): z.output<typeof accountUsageForm> => ({
  account_id: accountId,
  limits: limitUsesJson(limits),
});

export const usageForm = component(
  'Usage',
  z.strictObject({
    token_id: z.string(),
    from: at('The beginning of the first bucket.'),
    to: at('The end of the range.'),
    step: z.enum(['1h', '1d']),
    total: z
      .strictObject(usageMembers)
      .meta({ description: 'The sum of the series when `from` or `to` was given; else of all time.' }),
    limits: limitUses,
    series: z
      .array(z.strictObject({ at: at('The beginning of the bucket.'), ...usageMembers }))
      .meta({ description: 'Buckets in which something happened, oldest first.' }),
  }),
);

const usageJson = (usage: Usage) => ({
  allowed: usage.allowed,
  refused: { ...usage.refused } as Record<string, number>,
  status: { ...usage.status },
  bytes_in: usage.bytesIn,
  bytes_out: usage.bytesOut,
  last_used_at: usage.lastUsedAt === noUsage.lastUsedAt ? null : instantText(usage.lastUsedAt),
});

export const usageReportJson = (report: UsageReport): z.output<typeof usageForm> => ({
  token_id: report.tokenId,
  from: instantText(report.from),
  to: instantText(report.to),
  step: report.step,
  total: usageJson(report.total),
  limits: limitUsesJson(report.limits),
  series: report.series.map(({ at, usage }) => ({ at: instantText(at), ...usageJson(usage) })),
});

export const eventPageForm = component(
  'EventPage',
  z.strictObject({
    events: z.array(
      z.strictObject({
        id: z.int(),
        at: at('When it was changed.'),
        actor: z.string().meta({ description: 'The admin key that changed it.' }),
        address: z.string(),
        action: z.string(),
        changes: z
          .record(z.string(), z.strictObject({ from: z.unknown(), to: z.unknown() }))
          .meta({ description: 'Members before and after. A secret is named by its hint.' }),
      }),
    ),
    next_cursor: cursor,
  }),
);

export const eventJson = (event: AuditEvent): z.output<typeof eventPageForm>['events'][number] => ({
  id: event.id,
  at: instantText(event.at),
  actor: event.actor,
  address: event.address,
  action: event.action,
  changes: { ...event.changes },
});

export const problemForm = component(
  'Problem',
  z
    .strictObject({
      type: z.string(),
      title: z.string(),
      status: z.int(),
      detail: z.string(),
      code: z.string(),
      request_id: z.string(),
      errors: z
        .array(z.strictObject({ pointer: z.string(), detail: z.string() }))
        .optional()
        .meta({ description: 'Every member that is wrong, as a JSON pointer; query parameters stand behind a `?`.' }),
      outcome: z.literal('unknown').optional().meta({ description: 'The change may have been made all the same.' }),
    })
    .meta({ description: 'RFC 9457.' }),
);
