import { readJsonBody } from '../../core/body-text.ts';
import { single } from '../../core/fields.ts';
import type { Form } from '../../core/form.ts';
import { readInstant } from '../../core/instant.ts';
import type { Json, Millis } from '../../core/token.ts';
import type { MountRequest } from '../../ports/mount.ts';
import { type ApiRefusal, invalid, tooLarge } from './answers.ts';

/** Most bytes of a body. */
const bodyLimit = 64 * 1024;

/** What is said of a new key. */
export interface KeyMembers {
  readonly name: string;
  /** Null: never. */
  readonly expiresAt: Millis | null;
}

/**
 * Reads the body of a creation. Members that this API does not have are ignored, as clients may send what they have got;
 * none of them is ever obeyed.
 */
export async function readKeyMembers(request: MountRequest): Promise<KeyMembers> {
  demandJson(request.form);
  const bytes = await request.body(bodyLimit);
  if (bytes === 'too_large') throw tooLarge(bodyLimit);
  const value = parse(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('The body is not an object.');
  const { name, expires_at: expires = null } = value as { readonly [name: string]: Json };
  if (name === undefined) throw fault('name', 'is missing');
  if (typeof name !== 'string') throw fault('name', 'is not a string');
  if (expires === null) return { name, expiresAt: null };
  const expiresAt = typeof expires === 'string' ? readInstant(expires) : null;
  if (expiresAt === null) throw fault('expires_at', 'is not an instant (RFC 3339)');
  return { name, expiresAt };
}

/** Pages of other sites can send forms and plain text unasked; they have to ask before they send JSON. */
function demandJson({ fields, names }: Form): void {
  const [type = ''] = (single(fields, names, 'content-type') ?? '').split(';');
  if (type.trim().toLowerCase() !== 'application/json') throw invalid('The body is not application/json.');
  if (names.includes('content-encoding')) throw invalid('The body is encoded.');
}

function parse(bytes: Uint8Array): Json {
  const read = readJsonBody(bytes);
  if (!read.ok) throw invalid(read.why);
  if (read.refused.length > 0) throw invalid('The body has a member that is not taken.', read.refused);
  return read.value;
}

const fault = (member: string, detail: string): ApiRefusal =>
  invalid(`/${member} ${detail}.`, [{ pointer: `/${member}`, detail }]);
