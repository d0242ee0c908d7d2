import type { Found, Reading } from './credential.ts';
import type { Form } from './form.ts';

/** Basic credentials beside a token that stands elsewhere (RFC 7617 2). */
export type BasicReading =
  | { readonly kind: 'missing' }
  | { readonly kind: 'ambiguous' }
  /** `value`: the token68, still in base64. */
  | { readonly kind: 'one'; readonly found: Extract<Found, { place: 'header' }> };

/** Without white space, and padded as RFC 4648 4 has it: two readers of other texts could see two passwords. */
const canonicalBase64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

const missing: BasicReading = { kind: 'missing' };
const ambiguous: BasicReading = { kind: 'ambiguous' };

/** Where `Authorization` carries the token itself, or another scheme alone, there are none. */
export function readBasic({ fields, names }: Form, reading: Reading): BasicReading {
  let lines = 0;
  let at = -1;
  for (let i = 0; i < names.length; i++) {
    if (names[i] !== 'authorization') continue;
    lines++;
    if (!/^basic(?:[ \t,]|$)/i.test(fields[2 * i + 1]!)) continue;
    if (reading.kind === 'one' && reading.found.place === 'header' && reading.found.field === i) continue;
    at = i;
  }
  if (at === -1) return missing;
  if (lines > 1) return ambiguous;
  const value = fields[2 * at + 1]!.slice('Basic '.length);
  const wellFormed = fields[2 * at + 1]![5] === ' ' && value !== '' && canonicalBase64.test(value);
  return wellFormed ? { kind: 'one', found: { place: 'header', field: at, value } } : ambiguous;
}
