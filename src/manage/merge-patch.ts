import type { Json } from '../core/token.ts';

type JsonObject = { readonly [name: string]: Json };

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * RFC 7396. Members are gathered in maps and written as own properties, so that no name, whatever it is, reads or
 * changes what objects inherit.
 */
export function mergePatch(target: Json, patch: Json): Json {
  return isObject(patch) ? mergeObject(isObject(target) ? target : {}, patch) : patch;
}

export function mergeObject(target: JsonObject, patch: JsonObject): JsonObject {
  const merged = new Map<string, Json>(Object.entries(target));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name) ?? null, value));
  }
  return Object.fromEntries(merged);
}
