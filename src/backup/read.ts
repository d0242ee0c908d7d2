import * as z from 'zod';
import { laterOfAccounts, laterOfTokens } from '../core/document.ts';
import { algorithms, formerLimit, type Limit, limitLimits, periods } from '../core/limit.ts';
import { type Account, idPattern, type Json, type Role, type StoredToken } from '../core/token.ts';
import type { Usage } from '../core/usage.ts';
import type { StoreRecord } from '../ports/store-transfer.ts';
import { BackupLines, BackupUnreadable, type Line } from './lines.ts';

/**
 * The forms of records. A member that is not known here is refused: what it says would not be kept. Those that came later
 * are not in backups of earlier versions.
 */
const id = z.string().regex(idPattern);
const millis = z.number();
const millisOrNull = millis.nullable();
const count = z.number().nonnegative();
const version = z.int().min(1);
const json = z.unknown() as z.ZodType<Json>;

const grant = z.strictObject({ resources: z.array(z.string()), actions: z.record(z.string(), z.boolean()) });
const ownPermissions = z.union([z.array(z.string()), z.array(grant), z.record(z.string(), z.boolean())]);

const limit: z.ZodType<Limit> = z.strictObject({
  name: id,
  max: count,
  per: z.enum(periods),
  algorithm: z.enum(algorithms),
  burst: count,
});

const account: z.ZodType<Account> = z.strictObject({
  id,
  name: z.string(),
  enabled: z.boolean(),
  roles: z.array(id).default([...laterOfAccounts.roles]),
  permissions: ownPermissions.nullable().default(null),
  owns: z.array(z.string()).nullable().default(null),
  limits: z.array(limit).default([...laterOfAccounts.limits]),
  revokedBefore: millisOrNull,
  deleted: z.boolean(),
  createdAt: millis,
  updatedAt: millis,
  version,
});

const role: z.ZodType<Role> = z.strictObject({
  id,
  name: z.string(),
  permissions: ownPermissions,
  deleted: z.boolean(),
  createdAt: millis,
  updatedAt: millis,
  version,
});
const texts = z.array(z.string()).optional();
const constraints = z.strictObject({
  networks: texts,
  methods: texts,
  paths: texts,
  params: z.record(z.string(), z.string()).optional(),
  origins: texts,
  signature: z.strictObject({ sealed: z.string() }).optional(),
  basic: z.record(z.string(), z.string()).optional(),
}) as z.ZodType<StoredToken['constraints']>;

const token: z.ZodType<StoredToken> = z.strictObject({
  id,
  name: z.string(),
  owner: z.string().nullable(),
  kind: z.string(),
  hint: z.string().nullable(),
  state: z.enum(['enabled', 'disabled', 'revoked']),
  mode: z.enum(['enforce', 'shadow']).default(laterOfTokens.mode),
  createdAt: millis,
  updatedAt: millis,
  notBefore: millisOrNull,
  expiresAt: millisOrNull,
  permissions: z.union([ownPermissions, z.literal('inherit')]),
  limits: z.array(limit).default([...laterOfTokens.limits]),
  constraints: constraints.default(laterOfTokens.constraints),
  extra: z.record(z.string(), json),
  tags: z.array(z.string()),
  version,
  digest: z.string().min(1),
  previous: z.strictObject({ digest: z.string().min(1), until: millis }).nullable(),
  sealed: z.string().nullable().default(laterOfTokens.sealed),
});

const counts = z.record(z.string(), count);
const usage = z.strictObject({
  allowed: count,
  refused: counts,
  status: counts,
  bytesIn: count,
  bytesOut: count,
  lastUsedAt: millis,
}) as z.ZodType<Usage>;
const buckets = z.array(z.strictObject({ at: millis, usage }));

const changes = z.record(z.string(), z.looseObject({})) as unknown as z.ZodType<
  Extract<StoreRecord, { kind: 'event' }>['event']['changes']
>;

const limited = z.strictObject({ kind: z.enum(['token', 'account']), id });
const units = z.int().min(0).max(limitLimits.units);
const head = z.strictObject({
  version: z.int().min(0),
  clock: millis,
  limits: z.array(
    z.strictObject({
      name: z.string(),
      max: units,
      per: z.enum(periods),
      algorithm: z.enum(algorithms),
      burst: units,
    }),
  ),
});

const record: z.ZodType<StoreRecord> = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('checksum_key'), id: z.string(), key: z.string().regex(/^[0-9a-f]+$/) }),
  z
    .strictObject({ kind: z.literal('role'), role, place: z.int().min(1).nullable() })
    .refine(({ role: { deleted }, place }) => deleted === (place === null), 'a tombstone alone has no place'),
  z.strictObject({ kind: z.literal('account'), account: account as z.ZodType<Account> }),
  z.strictObject({ kind: z.literal('token'), token: token as z.ZodType<StoredToken> }),
  z.strictObject({
    kind: z.literal('event'),
    of: z.enum(['token', 'account', 'role']),
    subject: z.string(),
    event: z.strictObject({
      id: z.int().min(1),
      at: millis,
      actor: z.string(),
      address: z.string(),
      action: z.string(),
      changes,
    }),
  }),
  z.strictObject({
    kind: z.literal('usage'),
    usage: z.strictObject({ tokenId: id, total: usage, hours: buckets, days: buckets }),
  }),
  z.strictObject({
    kind: z.literal('creation'),
    key: z.string(),
    body: z.string(),
    tokenId: z.string(),
    expiresAt: millis,
  }),
  z.strictObject({ kind: z.literal('limit_head'), subject: limited, head }),
  z
    .strictObject({
      kind: z.literal('limit_window'),
      subject: limited,
      ledger: z.string(),
      label: millis,
      settled: count,
      at: millis,
    })
    .refine(({ ledger }) => formerLimit(ledger) !== null, 'is no name of a ledger'),
  z.strictObject({ kind: z.literal('position'), epoch: z.string(), seq: z.int().min(0) }),
]);

/** Records of a backup, page by page. Throws `BackupUnreadable`, at its end when it turns out not to be whole. */
export async function* readBackup(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<readonly StoreRecord[]> {
  const lines = new BackupLines();
  for await (const piece of bytes) yield lines.take(piece).map(readRecord);
  lines.end();
}

function readRecord({ number, bytes }: Line): StoreRecord {
  const value = parse(bytes);
  const read = record.safeParse(value);
  if (read.success) return read.data;
  const { path = [], message = 'is not of its form' } = read.error.issues[0] ?? {};
  throw new BackupUnreadable(
    `line ${number} ${path.join('.')}: ${message}; it was made by another program, or changed`,
  );
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
