import { createHash } from 'node:crypto';
import type { AdminKey, Pepper } from './config.ts';
import type { Context } from './context.ts';
import type { Files } from './files.ts';
import type { Problems } from './problems.ts';
import type { File } from './schema.ts';
import { keyAllowed, keyFault } from './strength.ts';
import { itemKey } from './tree.ts';
import type { Draft } from './walk.ts';

type KeyDraft = { readonly key?: string | undefined; readonly key_file?: string | undefined };

/** `admin.keys`: of each only the digest is kept, and where it came from. */
export async function readAdminKeys(
  drafts: Draft<File['admin']['keys']>,
  context: Context,
): Promise<readonly AdminKey[]> {
  const { problems } = context;
  const keys: AdminKey[] = [];
  const names = new Map<string, string>();
  const digests = new Map<string, string>();
  for (const [i, draft = {}] of drafts.entries()) {
    const at = itemKey('admin.keys', i);
    const { name = '', role, key_sha256, expires_at } = draft;
    problems.once(names, name, `${at}.name`, `"${name}"`);
    if (expires_at !== undefined && expires_at <= context.now) problems.warn(`${at}.expires_at`, 'lies in the past');

    const sha256 = await readAdminDigest(draft, key_sha256, at, context);
    if (sha256 === null) continue;
    problems.once(digests, sha256.toString('hex'), at, 'the same key');
    const keyFile = draft.key_file === undefined ? null : context.files.resolve(draft.key_file);
    keys.push({ name, role: roleOf(role), sha256, expiresAt: expires_at ?? null, keyFile });
  }
  return keys;
}

/** Whatever is no role was told of where it stands, and nothing is served by it: it is the least of all. */
const roleOf = (role = ''): AdminKey['role'] =>
  role === 'admin' || role === 'read' ? role : `owner:${role.slice('owner:'.length)}`;

async function readAdminDigest(
  draft: KeyDraft,
  hex: string | undefined,
  at: string,
  context: Context,
): Promise<Buffer | null> {
  const given = { key: draft.key, key_file: draft.key_file, key_sha256: hex };
  const member = oneOf(given, at, context);
  if (member === null) return null;
  if (hex !== undefined) {
    // The digest of nothing that anybody drew: a place-holder.
    if (new Set(hex.toLowerCase()).size < 4) {
      context.problems.add(`${at}.key_sha256`, 'is no digest of a random key; allowed: the SHA-256 of one, in hex');
    }
    return Buffer.from(hex, 'hex');
  }
  const key = await readKey(draft, at, context);
  if (key === null) return null;
  if (!/^[!-~]+$/.test(key.toString('latin1'))) {
    const message = 'has a character that a header field cannot carry; allowed: visible ASCII characters';
    context.problems.add(`${at}.${member}`, message);
    return null;
  }
  return createHash('sha256').update(key).digest();
}

/** `tokens.peppers`. */
export async function readPeppers(
  drafts: Draft<File['tokens']['peppers']>,
  context: Context,
): Promise<readonly Pepper[]> {
  const { problems } = context;
  const peppers: Pepper[] = [];
  const ids = new Map<string, string>();
  const keys = new Map<string, string>();
  for (const [i, draft = {}] of drafts.entries()) {
    const at = itemKey('tokens.peppers', i);
    const { id = '' } = draft;
    problems.once(ids, id, `${at}.id`, `"${id}"`);
    const { key, key_file } = draft;
    if (oneOf({ key, key_file }, at, context) === null) continue;
    const secret = await readKey(draft, at, context);
    if (secret === null) continue;
    problems.once(keys, secret.toString('hex'), at, 'the same pepper');
    peppers.push({ id, key: secret });
  }
  return peppers;
}

/** A key of AES-256, which takes exactly this length; null after a problem. */
export async function readKey32(name: string, key: string, files: Files, problems: Problems): Promise<Buffer | null> {
  const text = (await files.secret(name, key))?.toString('latin1');
  if (text === undefined) return null;
  const bytes = Buffer.from(text, 'base64');
  if (/^[A-Za-z0-9+/]{43}=$/.test(text) && bytes.length === 32 && new Set(bytes).size > 4) return bytes;
  problems.add(key, 'does not hold a random key; allowed: 32 bytes in base64, as of openssl rand -base64 32');
  return null;
}

/** The one member that is given; null after a problem. */
function oneOf(given: Readonly<Record<string, string | undefined>>, at: string, { problems }: Context): string | null {
  const names = Object.keys(given);
  const present = names.filter(name => given[name] !== undefined);
  const [first] = present;
  if (present.length === 1 && first !== undefined) return first;
  if (present.length === 0 && names.some(name => problems.touch(`${at}.${name}`))) return null;
  const what = present.length === 0 ? `has no ${names.join(', ')}` : `has ${present.join(' and ')}`;
  problems.add(at, `${what}; allowed: exactly one of ${names.join(', ')}`);
  return null;
}

/** A random key, written out or from a file; null after a problem. */
async function readKey(draft: KeyDraft, at: string, { files, problems }: Context): Promise<Buffer | null> {
  const member = draft.key === undefined ? 'key_file' : 'key';
  const key =
    draft.key === undefined
      ? await files.secret(draft.key_file ?? '', `${at}.key_file`)
      : Buffer.from(draft.key, 'utf8');
  if (key === null) return null;
  const fault = keyFault(key);
  if (fault === null) return key;
  problems.add(`${at}.${member}`, `${fault}; allowed: ${keyAllowed}`);
  return null;
}
