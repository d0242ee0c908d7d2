import { canonicalName, single } from './fields.ts';
import type { Form } from './form.ts';
import { mediaTypeOf } from './media-type.ts';

/** Kinds of bodies that are understood. */
export type Media = 'form' | 'json';

/** One kind of body that is understood, in UTF-8 and as it is; null for every other. */
export function mediaOf({ fields, names }: Pick<Form, 'fields' | 'names'>): Media | null {
  for (const name of names) {
    // Attack: a server that takes `Content_Encoding` for `Content-Encoding` would read the body as something else.
    if (canonicalName(name) !== 'content-encoding') continue;
    if (name !== 'content-encoding' || !isPlain(fields, names)) return null;
  }
  const type = mediaTypeOf(fields, names);
  if (type == null) return null;
  if (type === 'application/x-www-form-urlencoded') return 'form';
  return type === 'application/json' || /^application\/.+\+json$/.test(type) ? 'json' : null;
}

const isPlain = (fields: readonly string[], names: readonly string[]): boolean =>
  single(fields, names, 'content-encoding')?.toLowerCase() === 'identity';
