import { readStrictJson } from '../core/strict-json.ts';
import type { Options, OptionTable } from './arguments.ts';
import type { AdminClient, ApiAnswer } from './client.ts';
import { UsageError } from './command.ts';

/** Permissions of tokens, accounts and roles on the command line. */

export const permissionOptions = {
  permission: {
    type: 'string',
    value: 'ACTION',
    multiple: true,
    about: 'An action that it may do, such as widgets:read or widgets:*; again for more (default: none)',
  },
  deny: {
    type: 'string',
    value: 'ACTION',
    multiple: true,
    about: 'An action that it may not do; of these and --permission the last that matches decides',
  },
  permissions: {
    type: 'string',
    value: 'JSON',
    about: 'Instead of these: grants such as [{"resources":["db/*"],"actions":{"db.get":true}}], a list or a map',
  },
} as const satisfies OptionTable;

export const permissionUsage = '[--permission ACTION]… [--deny ACTION]… [--permissions JSON]';

/** Any form that the API takes, and the word for what the owner has. */
export type Permissions = readonly unknown[] | Readonly<Record<string, unknown>> | 'inherit';

/** `inherit` may be said where the owner's are meant: of tokens. What the JSON is, the API judges. */
export function permissionsOf(options: Options): Permissions | undefined {
  const json = options.text('permissions');
  const given = options.inOrder('permission', 'deny');
  if (json === undefined) return given.length === 0 ? undefined : listedPermissions(given);
  if (given.length > 0) throw new UsageError('--permissions and --permission or --deny exclude each other');
  if (json === 'inherit') return json;
  const reading = readStrictJson(json);
  if (!reading.ok) throw new UsageError(`--permissions is not JSON: column ${reading.column}: ${reading.why}`);
  if (reading.value === 'inherit') return reading.value;
  const [refused] = reading.refused;
  if (refused !== undefined) throw new UsageError(`--permissions: ${refused.pointer} ${refused.detail}`);
  if (typeof reading.value === 'object' && reading.value !== null) return reading.value;
  throw new UsageError('--permissions is neither a list nor a map, in JSON');
}

/** In the order of the command line: the last entry that matches an action decides. */
function listedPermissions(given: readonly { readonly name: string; readonly value: string }[]): Permissions {
  for (const { name, value } of given) {
    const [action, verdict] = value.split('=');
    if (verdict === undefined) continue;
    const meant = verdict === 'false' ? '--deny' : verdict === 'true' ? '--permission' : `--${name}`;
    throw new UsageError(`--${name} ${value}: an action has no =; write ${meant} ${action}`);
  }
  const entries = given.filter(({ value }) => value !== '');
  if (entries.every(({ name }) => name === 'permission')) return entries.map(({ value }) => value);
  const map = new Map<string, boolean>();
  for (const { name, value } of entries) {
    // Members of an object that are numbers come first, whatever was said first.
    if (/^[0-9]+$/.test(value)) throw new UsageError(`--${name} ${value}: an action is not only digits`);
    // Said again, it stands where it was said last.
    map.delete(value);
    map.set(value, name === 'permission');
  }
  return Object.fromEntries(map);
}

type Patch = Readonly<Record<string, unknown>> & { readonly permissions?: Permissions };

/** Changes what is at a path. Permissions replace what was there, in whatever form either is. */
export async function patchReplacing(client: AdminClient, path: string, patch: Patch): Promise<ApiAnswer> {
  const { permissions } = patch;
  if (permissions === undefined || !isMap(permissions)) return client.call('PATCH', path, patch);
  // A patch merges a map into a map. So that it replaces one, what was there is taken out by name.
  const { body, etag } = await client.call('GET', path);
  const before = body['permissions'];
  // What is in both stands only among the new: the order of members is the order of the rules.
  const gone = isMap(before) ? Object.keys(before).filter(action => !Object.hasOwn(permissions, action)) : [];
  const whole = { ...Object.fromEntries(gone.map(action => [action, null])), ...permissions };
  const condition: Record<string, string> = etag === undefined ? {} : { 'If-Match': etag };
  return client.call('PATCH', path, { ...patch, permissions: whole }, condition);
}

const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
