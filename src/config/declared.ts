import type { Constraints } from '../core/constraint.ts';
import { constraintLimits } from '../core/constraint-form.ts';
import type { Limit } from '../core/limit.ts';
import { limitFaults, limitsOf, type SaidLimit } from '../core/limit-form.ts';
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
    const limits = readLimits(draft.limits ?? [], `${at}.limits`, problems);
    if (draft.mode === 'shadow') {
      problems.warn(`${at}.mode`, 'is shadow: what is refused to this token is recorded, and forwarded all the same');
    }
    for (const [name, entries] of Object.entries(draft.constraints ?? {})) {
      const most = name === 'basic' ? constraintLimits.users : constraintLimits.entries;
      if (Object.keys(entries ?? []).length <= most) continue;
      problems.add(`${at}.constraints.${name}`, `has too many entries; allowed: ${most}`);
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
      limits,
      constraints: constraintsOf(draft.constraints),
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
  const grants = Array.isArray(permissions) ? permissions.filter(isGrant) : [];
  if (grants.length > 0) checkGrants(permissions as readonly EntryDraft[], grants, key, problems);
  else if (Object.keys(permissions).length > permissionLimits.entries) {
    problems.add(key, `has too many entries; allowed: ${permissionLimits.entries}`);
  }
}

type GrantDraft = Draft<Grant>;
type EntryDraft = string | GrantDraft | undefined;

function checkGrants(
  list: readonly EntryDraft[],
  grants: readonly GrantDraft[],
  key: string,
  problems: Problems,
): void {
  const most = permissionLimits;
  list.forEach((entry, i) => {
    if (typeof entry === 'string') {
      problems.add(itemKey(key, i), 'is an action among grants; allowed: a list of either');
    } else if ((entry?.resources?.length ?? 0) > most.resources) {
      problems.add(`${itemKey(key, i)}.resources`, `has too many resources; allowed: ${most.resources}`);
    } else if (Object.keys(entry?.actions ?? {}).length > most.entries) {
      problems.add(`${itemKey(key, i)}.actions`, `has too many actions; allowed: ${most.entries}`);
    }
  });
  if (grants.length > most.grants) problems.add(key, `has too many grants; allowed: ${most.grants}`);
  const pairs = grants.reduce((n, { resources, actions }) => {
    return n + (resources?.length ?? 0) * Object.keys(actions ?? {}).length;
  }, 0);
  if (pairs > most.pairs) problems.add(key, `has too many actions on resources in all; allowed: ${most.pairs}`);
}

const isGrant = (entry: EntryDraft): entry is GrantDraft => typeof entry === 'object';

type LimitDrafts = Draft<readonly SaidLimit[]>;

/** What the declaration does not know of limits. One of which something is missing is compared with none. */
function readLimits(drafts: LimitDrafts, key: string, problems: Problems): readonly Limit[] {
  const places = drafts.flatMap((draft, i) => (isWhole(draft) ? [i] : []));
  const said = drafts.filter(isWhole);
  for (const { index, member, what, allowed } of limitFaults(said)) {
    const at = index === null ? key : `${itemKey(key, places[index]!)}.${member}`;
    problems.add(at, `${what}; allowed: ${allowed}`);
  }
  return limitsOf(said);
}

const isWhole = (draft: LimitDrafts[number]): draft is SaidLimit =>
  draft?.name !== undefined && draft.max !== undefined && draft.per !== undefined;

/** Without the members that were not said: an absent one asks for nothing, and one without a value would ask. */
const constraintsOf = (draft: Draft<Constraints> | undefined): Constraints =>
  Object.fromEntries(Object.entries(draft ?? {}).filter(([, value]) => value !== undefined));

/** A line for each declared token whose owner is none of the accounts: a mistake that only the store can show. */
export function missingOwners(config: Pick<Config, 'tokens'>, accounts: ReadonlySet<string>): string[] {
  return config.tokens.declared.flatMap(({ owner, declaredAt }) =>
    owner === null || accounts.has(owner)
      ? []
      : [`${declaredAt}.owner: "${owner}" is no account; allowed: an account that exists, or none`],
  );
}
