import { type RefusedValue, readStrictJson } from './strict-json.ts';
import type { Json } from './token.ts';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Text in UTF-8, a byte order mark included; null when it is not UTF-8. */
export function readUtf8(bytes: Uint8Array): string | null {
  try {
    return utf8.decode(bytes);
  } catch {
    return null;
  }
}

/** `refused`: what is well-formed and not taken. `why`: a sentence for whoever sent the body. */
export type JsonBody =
  | { readonly ok: true; readonly value: Json; readonly refused: readonly RefusedValue[] }
  | { readonly ok: false; readonly why: string };

/** Reads a body that has to be JSON, strictly. */
export function readJsonBody(bytes: Uint8Array): JsonBody {
  const text = readUtf8(bytes);
  if (text === null) return { ok: false, why: 'The body is not UTF-8.' };
  const reading = readStrictJson(text);
  if (reading.ok) return reading;
  const { why, line, column } = reading;
  return { ok: false, why: `The body is not taken as JSON: line ${line}, column ${column}: ${why}.` };
}
