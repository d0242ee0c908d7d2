import { canonicalName, type Fields } from './fields.ts';

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const mediaForm = new RegExp(`^(${token}/${token})(?:[ \\t]*;[ \\t]*charset=(?:utf-8|"utf-8"))?[ \\t]*$`, 'i');

/**
 * What the Content-Type says (RFC 9110 8.3.1), in lower case and without its parameter; undefined when there is none. Null
 * when two servers could understand it differently, or decode by it in another way than UTF-8: a query, too, as some do.
 * Attack: of other parameters than one `charset`, servers that search the value for a name read types of their own.
 */
export function mediaTypeOf(fields: Fields, names: readonly string[]): string | null | undefined {
  let value: string | undefined;
  for (let i = 0; i < names.length; i++) {
    const name = names[i]!;
    if (canonicalName(name) !== 'content-type') continue;
    // Attack: a server that takes `Content_Type` for `Content-Type` would read another type.
    if (name !== 'content-type' || value !== undefined) return null;
    value = fields[2 * i + 1]!;
  }
  if (value === undefined || value === '') return undefined;
  return mediaForm.exec(value)?.[1]?.toLowerCase() ?? null;
}
