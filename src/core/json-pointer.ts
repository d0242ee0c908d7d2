import type { Json } from './token.ts';

/** Steps of a JSON pointer (RFC 6901); null when the text is none. The empty text is the whole value. */
export function readPointer(text: string): readonly string[] | null {
  if (text === '') return [];
  if (!text.startsWith('/') || /~(?![01])/.test(text)) return null;
  return text
    .slice(1)
    .split('/')
    .map(step => step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** What stands at a pointer; undefined when nothing does. */
export function valueAt(value: Json, steps: readonly string[]): Json | undefined {
  let at: Json | undefined = value;
  for (const step of steps) {
    if (typeof at !== 'object' || at === null) return undefined;
    if (Array.isArray(at)) at = /^(?:0|[1-9][0-9]*)$/.test(step) ? (at as readonly Json[])[Number(step)] : undefined;
    else at = Object.hasOwn(at, step) ? (at as { readonly [name: string]: Json })[step] : undefined;
  }
  return at;
}
