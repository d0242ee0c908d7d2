import type { Constraints } from '../core/constraint.ts';
import { constraintLimits } from '../core/constraint-form.ts';
import { type Permissions, permissionLimits } from '../core/permissions.ts';
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
    if (Object.keys(draft.permissions ?? {}).length > permissionLimits.entries) {
      problems.add(`${at}.permissions`, `has too many entries; allowed: ${permissionLimits.entries}`);
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
      permissions: (draft.permissions ?? []) as Permissions,
      notBefore: not_before ?? null,
      expiresAt: expires_at ?? null,
      constraints: constraintsOf(draft.constraints),
      tags: (draft.tags ?? []).filter(tag => tag !== undefined),
      declaredAt: spot === null ? at : `${spot.source}:${spot.line}:${spot.column} ${at}`,
    };
  });
}

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
