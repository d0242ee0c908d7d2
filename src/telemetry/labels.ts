import type { Reason } from '../core/decision.ts';
import { commonMethods } from '../core/route.ts';
import { invalidCauses } from '../core/token.ts';
import { type Code, codes } from '../errors.ts';

/**
 * The closed sets behind labels that clients or upstreams have a say in. Whatever they send, a label takes one of
 * these values: series are never evicted, so an open set would grow for as long as the process lives.
 */
export const other = 'other';

export const methodLabels = [...commonMethods, other] as const;
export type MethodLabel = (typeof methodLabels)[number];

/** Of answers that only the admin API gives; an upstream's of that number are counted by their class. */
const managementStatuses = new Set([409, 412, 422]);
const refusals = (Object.keys(codes) as Code[])
  .map(code => codes[code].status)
  .filter(status => !managementStatuses.has(status));
const exactStatuses = [...new Set([200, 201, 204, 206, 301, 302, 304, ...refusals])].sort((a, b) => a - b);
export const classLabels = ['1xx', '2xx', '3xx', '4xx', '5xx', other] as const;

/** Exact for the statuses that we answer and those that matter of upstreams, else the class. */
export const statusLabels: readonly string[] = [...exactStatuses.map(String), ...classLabels];

const statusLabelAt = Uint8Array.from({ length: 600 }, (_, status) => {
  const exact = exactStatuses.indexOf(status);
  return exact === -1 ? exactStatuses.length + classAt(status) : exact;
});

/** Position in `statusLabels`. */
export const statusIndex = (status: number): number =>
  status >= 0 && status < 600 ? statusLabelAt[Math.trunc(status)]! : statusLabels.length - 1;

export const statusLabel = (status: number): string => statusLabels[statusIndex(status)]!;

/** Position in `classLabels` of a position in `statusLabels`. */
export const classOfStatusIndex = (index: number): number =>
  index < exactStatuses.length ? classAt(exactStatuses[index]!) : index - exactStatuses.length;

function classAt(status: number): number {
  const hundreds = Math.floor(status / 100);
  return hundreds >= 1 && hundreds <= 5 ? hundreds - 1 : classLabels.length - 1;
}

/** Every reason that a record can have, `invalid_token` split by cause. */
export const reasonLabels: readonly Reason[] = [
  'allowed',
  'public',
  ...(Object.keys(codes) as Code[]).flatMap((code): Reason[] =>
    code === 'invalid_token' ? invalidCauses.map(cause => `invalid_token_${cause}` as const) : [code],
  ),
];

/** Whose limit it is. */
export const scopeLabels = ['token', 'account'] as const;

/** What the store says to somebody who asks for units of a limit, or that it says nothing. */
export const renewalLabels = ['granted', 'waiting', 'refused', 'closed', 'unavailable'] as const;

/** Why more was used than a limit allows, or a route reserves. */
export const excessLabels = ['outage', 'lost_grants', 'response'] as const;

/** What reads alike has one name: each takes a series for each result. */
export const storeOperations = [
  'find',
  'get',
  'list',
  'create_token',
  'find_creation',
  'replace_token',
  'rekey',
  'put_account',
  'put_role',
  'order_roles',
  'usage_report',
  'usage_read',
  'limits_exchange',
  'limits_manage',
  'registry_beat',
  'registry_sign_off',
  'registry_roll',
  'feed_head',
  'feed_since',
  'feed_read',
] as const;
export type StoreOperation = (typeof storeOperations)[number];
