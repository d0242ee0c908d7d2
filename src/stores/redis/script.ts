import { createHash } from 'node:crypto';

/**
 * What Redis lets a script do, asked before it begins. `reads` answers from a full or read-only store, too; `frees` may
 * write when memory is out, because what it does must not wait for somebody to make room.
 */
export type ScriptKind = 'reads' | 'writes' | 'frees';

const flags: Readonly<Record<ScriptKind, string>> = {
  reads: ' flags=no-writes',
  writes: '',
  frees: ' flags=allow-oom',
};

/** A Lua script and the digest that Redis knows it by. */
export interface Script {
  readonly kind: ScriptKind;
  readonly text: string;
  readonly sha: string;
}

/** Marks a text as Lua. Its escapes are Lua's. */
export const lua: typeof String.raw = String.raw;

export function script(kind: ScriptKind, ...parts: readonly string[]): Script {
  const text = [`#!lua${flags[kind]}`, ...parts.map(part => part.trim()), ''].join('\n');
  return { kind, text, sha: createHash('sha1').update(text).digest('hex') };
}
