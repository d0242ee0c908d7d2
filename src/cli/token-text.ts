import { limitsText, limitUseTable } from './limits.ts';
import { plain, rows, table } from './table.ts';

/** What the admin API answers about tokens, for people. */

export type Token = Record<string, unknown>;

const shownMembers = [
  'id',
  'name',
  'owner',
  'kind',
  'hint',
  'state',
  'mode',
  'permissions',
  'limits',
  'constraints',
  'tags',
  'not_before',
  'expires_at',
  'created_at',
  'updated_at',
  'last_used_at',
  'extra',
  'version',
] as const;

/** `more`: rows behind those of the token. */
export function describe(token: Token, more: readonly (readonly [string, string])[] = []): string {
  const known = shownMembers.flatMap(name => (isEmpty(token[name]) ? [] : [[name, shown(name, token)] as const]));
  return rows([...known, ...more]);
}

const shown = (name: string, token: Token): string =>
  name === 'limits' ? limitsText(token[name]) : plain(token[name]);

export function withSecret(body: Token): string {
  const token = describe(body['token'] as Token);
  const { secret } = body;
  if (secret === undefined) return `${token}\n\nThis was asked for before: the secret was shown then, and is not kept.`;
  return `${token}\n\nsecret  ${plain(secret)}\nThis is the only time that it is shown.`;
}

const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === '' ||
  JSON.stringify(value) === '{}' ||
  JSON.stringify(value) === '[]';

export function tokenTable(tokens: readonly Token[]): string {
  const columns = [
    'id',
    'name',
    'owner',
    'state',
    'hint',
    'permissions',
    'limits',
    'expires_at',
    'last_used_at',
  ] as const;
  return table(
    columns,
    tokens.map(token => columns.map(column => (isEmpty(token[column]) ? '-' : shown(column, token)))),
  );
}

/** Changes of a token: members as they were and as they are. */
export function eventTable(events: readonly Token[]): string {
  const changes = (value: unknown): string =>
    Object.entries((value ?? {}) as Record<string, { from: unknown; to: unknown }>)
      .map(([name, { from, to }]) => `${name}: ${JSON.stringify(from)} -> ${JSON.stringify(to)}`)
      .join(', ') || '-';
  return table(
    ['at', 'actor', 'address', 'action', 'changes'],
    events.map(event => [
      ...['at', 'actor', 'address', 'action'].map(name => plain(event[name]) || '-'),
      plain(changes(event['changes'])),
    ]),
  );
}

export function usageText(body: Token): string {
  const total = body['total'] as Token;
  const counts = (value: unknown): string =>
    Object.entries((value ?? {}) as Record<string, number>)
      .map(([name, count]) => `${name} ${count}`)
      .join(', ') || '-';
  const head = rows([
    ['token', plain(body['token_id'])],
    ['allowed', plain(total['allowed'])],
    ['refused', counts(total['refused'])],
    ['status', counts(total['status'])],
    ['bytes', `${plain(total['bytes_in'])} in, ${plain(total['bytes_out'])} out`],
    ['last used', plain(total['last_used_at']) || 'never'],
  ]);
  const limits = (body['limits'] ?? []) as Token[];
  const series = (body['series'] ?? []) as Token[];
  const parts = limits.length === 0 ? [head] : [head, limitUseTable(limits)];
  if (series.length > 0) parts.push(seriesTable(series, counts));
  return parts.join('\n\n');
}

const seriesTable = (series: readonly Token[], counts: (value: unknown) => string): string =>
  table(
    ['at', 'allowed', 'refused', 'bytes in', 'bytes out'],
    series.map(bucket => [
      plain(bucket['at']),
      plain(bucket['allowed']),
      counts(bucket['refused']),
      plain(bucket['bytes_in']),
      plain(bucket['bytes_out']),
    ]),
  );
