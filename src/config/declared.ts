import { type Grant, type Permissions, permissionLimits } from '../core/permissions.ts';
import type { Config, DeclaredToken } from './config.ts';
import type { Context } from './context.ts';
import { Problems } from './problems.ts';
import type { File } from './schema.ts';
import { declaredTokens } from './schema-tokens.ts';
import { itemKey } from './tree.ts';
import { type Draft, walk } from './walk.ts';
import { readYaml } from './yaml.ts';

type Drafts = Draft<NonNullable<File['tokens']['declared']>>;

/** `tokens.declared`, or the list in the file that `declared_file` names. */
export async function readDeclared(tokens: Draft<File['tokens']>, context: Context): Promise<readonly DeclaredToken[]> {
  const { declared, declared_file } = tokens;
  const { problems } = context;
  if (declared !== undefined && declared_file !== undefined) {
    problems.add('tokens.declared_file', 'stands beside declared; allowed: one of them');
  }
  const inline = readList(declared ?? [], 'tokens.declared', problems);
  return declared_file === undefined ? inline : [...inline, ...(await readFile(declared_file, context))];
}

/** Problems in the file are told with its name and lines. */
async function readFile(name: string, { files, problems, env }: Context): Promise<readonly DeclaredToken[]> {
  const text = await files.text(name, 'tokens.declared_file');
  if (text === null) return [];
  const own = new Problems();
  const tree = readYaml(text, files.resolve(name), env, own);
  const drafts = tree === null ? undefined : walk(declaredTokens, tree, own);
  const tokens = readList(drafts ?? [], '', own);
  problems.addAll(own);
  return tokens;
}

function readList(drafts: Drafts, key: string, problems: Problems): readonly DeclaredToken[] {
  const ids = new Map<string, string>();
  const digests = new Map<string, string>();
  return drafts.map((draft = {}, i) => {
    const at = itemKey(key, i);
    const { id = '', secret_sha256 = '', not_before, expires_at } = draft;
    problems.once(ids, id, `${at}.id`, `"${id}"`);
    problems.once(digests, secret_sha256.toLowerCase(), `${at}.secret_sha256`, 'the same digest');
    if (not_before !== undefined && expires_at !== undefined && expires_at <= not_before) {
      problems.add(`${at}.expires_at`, 'is not after not_before; allowed: a later instant');
    }
    if (draft.permissions !== undefined) {
      checkPermissions(draft.permissions, draft.owner !== undefined, `${at}.permissions`, problems);
    }
    const spot = problems.spotOf(at);
    return {
      id,
      name: draft.name ?? id,
      secretSha256: Buffer.from(secret_sha256, 'hex'),
      owner: draft.owner ?? null,
      state: draft.state ?? 'enabled',
      mode: draft.mode ?? 'enforce',
      permissions: (draft.permissions ?? []) as Permissions,
      notBefore: not_before ?? null,
      expiresAt: expires_at ?? null,
      tags: (draft.tags ?? []).filter(tag => tag !== undefined),
      declaredAt: spot === null ? at : `${spot.source}:${spot.line}:${spot.column} ${at}`,
    };
  });
}

type PermissionsDraft = NonNullable<NonNullable<Drafts[number]>['permissions']>;

/** What the declaration does not know of permissions. */
function checkPermissions(permissions: PermissionsDraft, owned: boolean, key: string, problems: Problems): void {
  if (permissions === 'inherit') {
    if (!owned)
      problems.add(key, 'is inherit, and the token has no owner; allowed: an owner beside it, or a list or map');
    return;
  }
  const entries = Array.isArray(permissions)
    ? listedEntries(permissions, key, problems)
    : Object.keys(permissions).length;
  if (entries > permissionLimits.entries) {
    problems.add(key, `has too many entries; allowed: ${permissionLimits.entries}`);
  }
}

type GrantDraft = Draft<Grant>;

/** Each action on each resource of a grant is an entry. */
function listedEntries(list: readonly (string | GrantDraft | undefined)[], key: string, problems: Problems): number {
  const ofGrants = list.some(isGrant);
  return list.reduce<number>((n, entry, i) => {
    if (!isGrant(entry)) {
      if (ofGrants && entry !== undefined) {
        problems.add(itemKey(key, i), 'is an action among grants; allowed: a list of either');
      }
      return n + 1;
    }
    return n + Math.max(1, (entry.resources?.length ?? 0) * Object.keys(entry.actions ?? {}).length);
  }, 0);
}

const isGrant = (entry: string | GrantDraft | undefined): entry is GrantDraft => typeof entry === 'object';

/** A line for each declared token whose owner is none of the accounts: a mistake that only the store can show. */
export function missingOwners(config: Pick<Config, 'tokens'>, accounts: ReadonlySet<string>): string[] {
  return config.tokens.declared.flatMap(({ owner, declaredAt }) =>
    owner === null || accounts.has(owner)
      ? []
      : [`${declaredAt}.owner: "${owner}" is no account; allowed: an account that exists, or none`],
  );
}
