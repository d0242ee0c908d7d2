import { canonicalName, single } from './fields.ts';
import type { Form } from './form.ts';

/** Kinds of bodies that are understood. */
export type Media = 'form' | 'json';

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const mediaForm = new RegExp(`^(${token}/${token})((?:[ \\t]*;[ \\t]*${token}=(?:${token}|"[^"\\\\]*"))*)[ \\t]*$`);
const charsets = /;[ \t]*charset=("[^"]*"|[^; \t]*)/gi;

/** One kind of body that is understood, in UTF-8 and as it is; null for every other. */
export function mediaOf({ fields, names }: Pick<Form, 'fields' | 'names'>): Media | null {
  // Attack: a server that takes `Content_Type` for `Content-Type` would read the body as something else.
  for (const name of names) {
    const plain = canonicalName(name);
    if (plain !== name && (plain === 'content-type' || plain === 'content-encoding')) return null;
    if (name === 'content-encoding' && !isPlain(fields, names)) return null;
  }
  const [, essence, parameters = ''] = mediaForm.exec(single(fields, names, 'content-type') ?? '') ?? [];
  if (essence === undefined) return null;
  for (const [, charset] of parameters.matchAll(charsets)) {
    if (!/^(?:utf-8|"utf-8")$/i.test(charset!)) return null;
  }
  const type = essence.toLowerCase();
  if (type === 'application/x-www-form-urlencoded') return 'form';
  return type === 'application/json' || /^application\/.+\+json$/.test(type) ? 'json' : null;
}

const isPlain = (fields: readonly string[], names: readonly string[]): boolean =>
  single(fields, names, 'content-encoding')?.toLowerCase() === 'identity';
