import type { Presented } from '../ports/session-source.ts';

/** A part of what is presented that the other system is shown. */
export type Forwarded =
  | { readonly kind: 'cookie' | 'authorization' }
  /** The parameter, under this name in the query. */
  | { readonly kind: 'parameter'; readonly name: string };

/** What the other system is shown of one client. */
export interface Portion {
  readonly headers: Readonly<Record<string, string>>;
  /** `name=value`, for the end of the query; null for none. */
  readonly query: string | null;
}

/** What a field value can carry (RFC 9110 5.5), as characters of Latin-1. */
const fieldValue = /^[\t -~\x80-\xff]+$/;

/** Characters of a parameter: no session is longer. */
const longestParameter = 4096;

/** Null: nothing that could be shown to anybody is there, or something that no session is. */
export function portionOf(presented: Presented, forward: readonly Forwarded[]): Portion | null {
  const headers: Record<string, string> = {};
  let query: string | null = null;
  for (const part of forward) {
    const value = part.kind === 'parameter' ? presented.parameter : presented[part.kind];
    if (value === null || value === '') continue;
    if (part.kind !== 'parameter') {
      if (!fieldValue.test(value)) return null;
      headers[part.kind] = value;
    } else {
      if (value.length > longestParameter || !value.isWellFormed()) return null;
      query = `${encodeURIComponent(part.name)}=${encodeURIComponent(value)}`;
    }
  }
  return query === null && Object.keys(headers).length === 0 ? null : { headers, query };
}
