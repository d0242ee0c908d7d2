import { readDuration } from '../core/duration.ts';
import type { Options, OptionTable } from './arguments.ts';
import { type Call, UsageError } from './command.ts';
import { limitOptions, limitsOf, limitUsage } from './limits.ts';
import { type Permissions, permissionOptions, permissionsOf, permissionUsage } from './permissions.ts';

/** Options that set members of a token. */
export const memberOptions = {
  name: { type: 'string', value: 'TEXT', about: 'What people call it (default: nothing)' },
  owner: { type: 'string', value: 'ACCOUNT', about: 'The account that it belongs to (default: none)' },
  ...permissionOptions,
  permissions: {
    ...permissionOptions.permissions,
    about: `${permissionOptions.permissions.about}; or inherit, what its owner has`,
  },
  ...limitOptions,
  mode: {
    type: 'string',
    value: 'enforce|shadow',
    about: 'shadow: what its requests are refused with is recorded, and they are forwarded (default: enforce)',
  },
  'not-before': { type: 'string', value: 'TIME', about: 'When it starts working, in RFC 3339 (default: at once)' },
  'expires-at': { type: 'string', value: 'TIME', about: 'When it stops working, in RFC 3339 (default: never)' },
  'expires-in': { type: 'string', value: 'DURATION', about: 'The same, from now: 30s, 10m, 1h or 30d' },
  tag: { type: 'string', value: 'TEXT', multiple: true, about: 'A word to find it by; again for more (default: none)' },
  extra: { type: 'string', value: 'JSON', about: 'An object that is kept with it (default: {})' },
  constraints: {
    type: 'string',
    value: 'JSON',
    about:
      'Where, how and for what it may be used: an object; - reads it from standard input, for passwords and keys (default: {})',
  },
  disabled: { type: 'boolean', about: 'It does not work until it is enabled (default: it works)' },
} as const satisfies OptionTable;

export const memberUsage = `[--name TEXT] [--owner ACCOUNT] ${permissionUsage} ${limitUsage} [--mode enforce|shadow] [--not-before TIME] [--expires-at TIME | --expires-in DURATION] [--tag TEXT]… [--extra JSON] [--constraints JSON|-] [--disabled]`;

/** Members of a body as the options say; what is not said is left out, an empty text clears. `input`: what `-` stands for. */
export function members(
  options: Options,
  input?: string,
): Record<string, unknown> & { readonly permissions?: Permissions } {
  const body: Record<string, unknown> & { permissions?: Permissions } = {};
  const text = (option: string, member: string): void => {
    const value = options.text(option);
    if (value !== undefined) body[member] = value === '' ? null : value;
  };
  if (options.text('name') !== undefined) body['name'] = options.text('name');
  text('owner', 'owner');
  text('mode', 'mode');
  text('not-before', 'not_before');
  text('expires-at', 'expires_at');
  const life = options.text('expires-in');
  if (life !== undefined) {
    if (options.text('expires-at') !== undefined)
      throw new UsageError('--expires-at and --expires-in exclude each other');
    body['expires_at'] = new Date(Date.now() + milliseconds(life)).toISOString();
  }
  const permissions = permissionsOf(options);
  if (permissions !== undefined) body.permissions = permissions;
  const limits = limitsOf(options);
  if (limits !== undefined) body['limits'] = limits;
  const tags = options.list('tag');
  if (tags !== undefined) body['tags'] = tags.filter(tag => tag !== '');
  for (const name of ['extra', 'constraints']) {
    const value = options.text(name);
    if (value === undefined) continue;
    try {
      body[name] = JSON.parse(name === 'constraints' && value === '-' ? (input ?? '') : value);
    } catch {
      throw new UsageError(`--${name} is not JSON`);
    }
  }
  if (options.flag('disabled')) body['state'] = 'disabled';
  return body;
}

/** What is read where `--constraints` is `-`: whoever lists processes sees what stands on a command line. */
export const inputFor = async ({ options, io }: Pick<Call, 'options' | 'io'>): Promise<string | undefined> =>
  options.text('constraints') === '-' ? io.read() : undefined;

function milliseconds(text: string): number {
  const millis = readDuration(text);
  // An instant further away than this cannot be written.
  if (millis !== null && millis <= 8e15 - Date.now()) return millis;
  throw new UsageError(`--expires-in ${text} is no duration: write 30s, 10m, 1h or 30d`);
}
