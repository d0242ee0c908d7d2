import { readUtf8 } from '../core/body-text.ts';
import { valueAt } from '../core/json-pointer.ts';
import { permissionLimits, resourceFaults } from '../core/permissions.ts';
import { readStrictJson } from '../core/strict-json.ts';
import type { Json } from '../core/token.ts';
import type { Introspected } from '../ports/session-source.ts';

/** Where an answer says what it says: steps of JSON pointers. */
export interface Places {
  readonly account: readonly string[];
  /** Null: it is not asked. */
  readonly permissions: readonly string[] | null;
  /** Null: it is not asked. */
  readonly owns: readonly string[] | null;
}

/** `nonsense`: why nothing can be made of it. */
export type Read =
  | Extract<Introspected, { kind: 'found' | 'nobody' }>
  | { readonly kind: 'nonsense'; readonly why: string };

const nonsense = (why: string): Read => ({ kind: 'nonsense', why });

/** What the body of a good answer says. Whatever could be understood in two ways is nonsense, and never "nobody". */
export function readAnswer(bytes: Uint8Array, places: Places): Read {
  const text = readUtf8(bytes);
  if (text === null) return nonsense('not UTF-8');
  const json = readStrictJson(text);
  if (!json.ok) return nonsense('no JSON');
  // Such a value stands as null, which would be nobody.
  if (json.refused.length > 0) return nonsense('a value is refused');
  const account = valueAt(json.value, places.account);
  if (account === undefined || account === null) return { kind: 'nobody' };
  const id = idOf(account);
  if (id === null) return nonsense('what stands at `account` is no id');
  // Where it should say what the account may do and does not, that is nothing: many systems write an empty list as null or
  // not at all, and whom all was taken from would keep it. So it is with what the account owns.
  const permissions = places.permissions === null ? null : namesOf(valueAt(json.value, places.permissions) ?? []);
  if (places.permissions !== null && permissions === null) {
    return nonsense('what stands at `permissions` is no list or map of permissions');
  }
  const owns = places.owns === null ? null : resourcesOf(valueAt(json.value, places.owns) ?? []);
  if (places.owns !== null && owns === null) return nonsense('what stands at `owns` is no list of resources');
  return { kind: 'found', account: id, permissions, owns };
}

/** Text, or a whole number above 0: many systems call those who are nobody 0. */
function idOf(value: Json): string | null {
  if (typeof value === 'string') return value === '' ? null : value;
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? String(value) : null;
}

/** A list of resources; databases have numbers for ids. Each once, in an order that says nothing. */
function resourcesOf(value: Json): readonly string[] | null {
  if (!Array.isArray(value)) return null;
  const resources: string[] = [];
  for (const resource of value as readonly Json[]) {
    const isNumber = typeof resource === 'number' && Number.isSafeInteger(resource) && resource >= 0;
    if (typeof resource !== 'string' && !isNumber) return null;
    resources.push(String(resource));
  }
  return resourceFaults(resources).length > 0 ? null : [...new Set(resources)].sort();
}

/** A list of names, or a map of names to true and false. Each once, in an order that says nothing. */
function namesOf(value: Json): readonly string[] | null {
  if (typeof value !== 'object' || value === null) return null;
  const names: string[] = [];
  if (Array.isArray(value)) {
    for (const name of value as readonly Json[]) {
      if (typeof name !== 'string') return null;
      names.push(name);
    }
  } else {
    for (const [name, flag] of Object.entries(value)) {
      if (typeof flag !== 'boolean') return null;
      if (flag) names.push(name);
    }
  }
  if (names.length > permissionLimits.entries) return null;
  if (names.some(name => name === '' || name.length > permissionLimits.name)) return null;
  return [...new Set(names)].sort();
}
