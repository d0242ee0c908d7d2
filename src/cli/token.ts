import { hash } from 'node:crypto';
import { readDuration } from '../core/duration.ts';
import { AdminClient, clientOptions, clientUsage } from './client.ts';
import { type Call, type Command, type Group, type Options, UsageError } from './command.ts';
import { plain, rows, table } from './table.ts';

type Token = Record<string, unknown>;

/** Options that set members of a token. */
const memberOptions = {
  name: { type: 'string' },
  owner: { type: 'string' },
  permission: { type: 'string', multiple: true },
  'not-before': { type: 'string' },
  'expires-at': { type: 'string' },
  'expires-in': { type: 'string' },
  tag: { type: 'string', multiple: true },
  extra: { type: 'string' },
  disabled: { type: 'boolean' },
} as const;

const memberUsage =
  '[--name TEXT] [--owner ACCOUNT] [--permission ACTION]… [--not-before TIME] [--expires-at TIME | --expires-in 30d] [--tag TEXT]… [--extra JSON] [--disabled]';

const create: Command = {
  summary: 'Make a token, and print its secret once',
  usage: `${memberUsage} ${clientUsage}`,
  options: { ...clientOptions, ...memberOptions, 'idempotency-key': { type: 'string' } },
  async run(call) {
    const key = call.options.text('idempotency-key');
    const headers: Record<string, string> = key === undefined ? {} : { 'Idempotency-Key': key };
    const { body } = await (await AdminClient.of(call)).call('POST', '/v1/tokens', members(call.options), headers);
    return show(call, body, () => withSecret(body));
  },
};

const list: Command = {
  summary: 'List tokens; revoked ones only when asked for with --state revoked',
  usage: `[--owner ACCOUNT] [--state enabled|disabled|revoked] [--kind KIND] [--tag TEXT] [--prefix TEXT] [--expires-before TIME] [--limit N] ${clientUsage}`,
  options: {
    ...clientOptions,
    owner: { type: 'string' },
    state: { type: 'string' },
    kind: { type: 'string' },
    tag: { type: 'string' },
    prefix: { type: 'string' },
    'expires-before': { type: 'string' },
    limit: { type: 'string' },
  },
  async run(call) {
    const { options, io } = call;
    const client = await AdminClient.of(call);
    const filters = new URLSearchParams();
    for (const name of ['owner', 'state', 'kind', 'tag', 'prefix', 'expires-before']) {
      const value = options.text(name);
      if (value !== undefined) filters.set(name.replace('-', '_'), value);
    }
    const wanted = wholeNumber(options.text('limit'));
    const tokens: Token[] = [];
    for (let cursor: string | null = ''; cursor !== null && tokens.length < wanted; ) {
      const query = new URLSearchParams(filters);
      query.set('limit', String(Math.min(1000, wanted - tokens.length)));
      if (cursor !== '') query.set('cursor', cursor);
      const { body } = await client.call('GET', `/v1/tokens?${query}`);
      tokens.push(...(body['tokens'] as Token[]));
      cursor = body['next_cursor'] as string | null;
    }
    if (options.flag('json')) io.out(JSON.stringify({ tokens }));
    else io.out(tokenTable(tokens));
    return 0;
  },
};

const showToken: Command = {
  summary: 'Show a token',
  usage: `ID ${clientUsage}`,
  args: ['ID'],
  options: clientOptions,
  async run(call) {
    const { body } = await (await AdminClient.of(call)).call('GET', tokenPath(call));
    return show(call, body, () => describe(body));
  },
};

const update: Command = {
  summary: 'Change members of a token; an empty --owner, --not-before or --expires-at clears it',
  usage: `ID ${memberUsage} ${clientUsage}`,
  args: ['ID'],
  options: { ...clientOptions, ...memberOptions },
  async run(call) {
    const patch = members(call.options);
    if (Object.keys(patch).length === 0) throw new UsageError('nothing to change: name a member');
    const { body } = await (await AdminClient.of(call)).call('PATCH', tokenPath(call), patch);
    return show(call, body, () => describe(body));
  },
};

const rotate: Command = {
  summary: 'Give a token a new secret; the old one lives on for --grace',
  usage: `ID [--grace 1h] ${clientUsage}`,
  args: ['ID'],
  options: { ...clientOptions, grace: { type: 'string' } },
  async run(call) {
    const grace = call.options.text('grace');
    const { body } = await (await AdminClient.of(call)).call(
      'POST',
      `${tokenPath(call)}/rotate`,
      grace === undefined ? undefined : { grace },
    );
    return show(call, body, () => withSecret(body));
  },
};

const action = (name: 'enable' | 'disable', summary: string): Command => ({
  summary,
  usage: `ID ${clientUsage}`,
  args: ['ID'],
  options: clientOptions,
  async run(call) {
    const { body } = await (await AdminClient.of(call)).call('POST', `${tokenPath(call)}/${name}`);
    return show(call, body, () => describe(body));
  },
});

const revoke: Command = {
  summary: 'Revoke a token for good, or with --owner every token of an account',
  usage: `ID [--wait 2s] | --owner ACCOUNT ${clientUsage}`,
  args: ['ID?'],
  options: { ...clientOptions, owner: { type: 'string' }, wait: { type: 'string' } },
  async run(call) {
    const { options, args } = call;
    const owner = options.text('owner');
    if ((owner === undefined) === (args[0] === undefined))
      throw new UsageError('name a token, or an account with --owner');
    const wait = options.text('wait');
    const query = new URLSearchParams();
    if (owner !== undefined) query.set('owner', owner);
    if (wait !== undefined) query.set('wait', wait);
    const path = owner === undefined ? tokenPath(call) : '/v1/tokens';
    const suffix = query.size === 0 ? '' : `?${query}`;
    const { body } = await (await AdminClient.of(call)).call('DELETE', `${path}${suffix}`);
    return show(call, body, () => {
      if (owner !== undefined) return `revoked ${plain(body['revoked'])} tokens of ${owner}`;
      return describe((body['token'] as Token | undefined) ?? body);
    });
  },
};

const usage: Command = {
  summary: 'What a token was used for',
  usage: `ID [--from TIME] [--to TIME] [--step 1h|1d] ${clientUsage}`,
  args: ['ID'],
  options: { ...clientOptions, from: { type: 'string' }, to: { type: 'string' }, step: { type: 'string' } },
  async run(call) {
    const query = new URLSearchParams();
    for (const name of ['from', 'to', 'step']) {
      const value = call.options.text(name);
      if (value !== undefined) query.set(name, value);
    }
    const { body } = await (await AdminClient.of(call)).call('GET', `${tokenPath(call)}/usage?${query}`);
    return show(call, body, () => usageText(body));
  },
};

const importToken: Command = {
  summary: 'Make or replace a token whose secret exists: by its SHA-256, or with the secret on standard input',
  usage: `ID (--secret-sha256 HEX | --secret-stdin) ${memberUsage} ${clientUsage}`,
  args: ['ID'],
  options: {
    ...clientOptions,
    ...memberOptions,
    'secret-sha256': { type: 'string' },
    'secret-stdin': { type: 'boolean' },
  },
  async run(call) {
    const { options, io } = call;
    let digest = options.text('secret-sha256');
    if ((digest === undefined) === !options.flag('secret-stdin')) {
      throw new UsageError('say either --secret-sha256 or --secret-stdin');
    }
    digest ??= hash('sha256', (await io.read()).replace(/\r?\n$/, ''), 'hex');
    const { body } = await (await AdminClient.of(call)).call('PUT', tokenPath(call), {
      secret_sha256: digest,
      ...members(options),
    });
    return show(call, body, () => describe(body));
  },
};

export const tokenCommands: Group = {
  summary: 'Tokens',
  commands: {
    create,
    list,
    show: showToken,
    update,
    rotate,
    enable: action('enable', 'Let a disabled token work again'),
    disable: action('disable', 'Stop a token until it is enabled'),
    revoke,
    usage,
    import: importToken,
  },
};

const tokenPath = ({ args }: Call): string => `/v1/tokens/${encodeURIComponent(args[0] ?? '')}`;

/** Members of a body as the options say; what is not said is left out, an empty text clears. */
function members(options: Options): Record<string, unknown> {
  const body: Record<string, unknown> = {};
  const text = (option: string, member: string): void => {
    const value = options.text(option);
    if (value !== undefined) body[member] = value === '' ? null : value;
  };
  if (options.text('name') !== undefined) body['name'] = options.text('name');
  text('owner', 'owner');
  text('not-before', 'not_before');
  text('expires-at', 'expires_at');
  const life = options.text('expires-in');
  if (life !== undefined) {
    if (options.text('expires-at') !== undefined)
      throw new UsageError('--expires-at and --expires-in exclude each other');
    body['expires_at'] = new Date(Date.now() + milliseconds(life)).toISOString();
  }
  const permissions = options.list('permission');
  if (permissions !== undefined) body['permissions'] = permissions.filter(action => action !== '');
  const tags = options.list('tag');
  if (tags !== undefined) body['tags'] = tags.filter(tag => tag !== '');
  const extra = options.text('extra');
  if (extra !== undefined) {
    try {
      body['extra'] = JSON.parse(extra);
    } catch {
      throw new UsageError('--extra is not JSON');
    }
  }
  if (options.flag('disabled')) body['state'] = 'disabled';
  return body;
}

function milliseconds(text: string): number {
  const millis = readDuration(text);
  // An instant further away than this cannot be written.
  if (millis !== null && millis <= 8e15 - Date.now()) return millis;
  throw new UsageError(`--expires-in ${text} is no duration: write 30s, 10m, 1h or 30d`);
}

function wholeNumber(text: string | undefined): number {
  if (text === undefined) return 100;
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new UsageError(`--limit ${text} is no number from 1`);
  return Number(text);
}

function show({ options, io }: Call, body: Token, text: () => string): number {
  io.out(options.flag('json') ? JSON.stringify(body) : text());
  return 0;
}

function withSecret(body: Token): string {
  const token = describe(body['token'] as Token);
  const { secret } = body;
  if (secret === undefined) return `${token}\n\nThis was asked for before: the secret was shown then, and is not kept.`;
  return `${token}\n\nsecret  ${plain(secret)}\nThis is the only time that it is shown.`;
}

const shownMembers = [
  'id',
  'name',
  'owner',
  'kind',
  'hint',
  'state',
  'permissions',
  'tags',
  'not_before',
  'expires_at',
  'created_at',
  'updated_at',
  'last_used_at',
  'extra',
  'version',
] as const;

function describe(token: Token): string {
  return rows(shownMembers.flatMap(name => (isEmpty(token[name]) ? [] : [[name, plain(token[name])] as const])));
}

const isEmpty = (value: unknown): boolean =>
  value === null ||
  value === undefined ||
  value === '' ||
  JSON.stringify(value) === '{}' ||
  JSON.stringify(value) === '[]';

function tokenTable(tokens: readonly Token[]): string {
  const columns = ['id', 'name', 'owner', 'state', 'hint', 'permissions', 'expires_at', 'last_used_at'] as const;
  return table(
    columns,
    tokens.map(token => columns.map(column => (isEmpty(token[column]) ? '-' : plain(token[column])))),
  );
}

function usageText(body: Token): string {
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
  const series = (body['series'] ?? []) as Token[];
  if (series.length === 0) return head;
  return `${head}\n\n${table(
    ['at', 'allowed', 'refused', 'bytes in', 'bytes out'],
    series.map(bucket => [
      plain(bucket['at']),
      plain(bucket['allowed']),
      counts(bucket['refused']),
      plain(bucket['bytes_in']),
      plain(bucket['bytes_out']),
    ]),
  )}`;
}
