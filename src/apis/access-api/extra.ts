import { type Grant, type Permissions, resourceFault } from '../../core/permissions.ts';
import { pointerStep } from '../../core/strict-json.ts';
import type { Json } from '../../core/token.ts';
import type { Faults } from '../../manage/faults.ts';

export type JsonObject = { readonly [name: string]: Json };

export const isObject = (value: Json | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** What a token may do by its `extra`, which is else free. What is wrong with it is said at `pointer`. */
export function permissionsOf(extra: JsonObject, pointer: string, faults: Faults): Permissions {
  for (const name of Object.keys(extra)) {
    const meant = spellings.get(bare(name));
    // Attack, or a slip: a token whose limits are misspelled would have all that its owner has.
    if (meant !== undefined && meant !== name) faults.add(pointer + pointerStep(name), `has to be spelled ${meant}`);
  }
  const { db_permissions: databases, stock_images: images } = extra;
  // Tokens inherit unless something else is said; each of the two says it, for both: who opens stock images alone opens
  // no database, and "0" is to keep them closed though the owner has them.
  if (databases === undefined && images === undefined) return 'inherit';
  const grants = databases === undefined ? [] : databaseGrants(databases, `${pointer}/db_permissions`, faults);
  return images === undefined ? grants : [...grants, ...imageGrants(images, `${pointer}/stock_images`, faults)];
}

const bare = (name: string): string =>
  name
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[^a-z]/g, '');
const spellings = new Map(['db_permissions', 'stock_images'].map(name => [bare(name), name]));

/** In the order of the entries: of two that name one database the later says what it names over the earlier. */
function databaseGrants(value: Json, pointer: string, faults: Faults): readonly Grant[] {
  if (!Array.isArray(value) || value.length === 0) {
    faults.add(pointer, 'is not a list with an entry');
    return [];
  }
  return (value as readonly Json[]).map((entry, i): Grant => {
    const at = pointer + pointerStep(i);
    if (!isObject(entry)) {
      faults.add(at, 'is not an object');
      return { resources: [], actions: {} };
    }
    refuseOthers(entry, ['databases', 'permissions'], at, faults);
    const { databases, permissions } = entry;
    return {
      resources: readDatabases(databases, `${at}/databases`, faults),
      actions: readFlags(permissions, `${at}/permissions`, faults),
    };
  });
}

/** `*` is every database that the owner owns, as it is among resources. */
const everyDatabase = '*';

function readDatabases(value: Json | undefined, pointer: string, faults: Faults): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) {
    faults.add(pointer, 'is not a list with an id');
    return [];
  }
  const ids = value as readonly Json[];
  return ids.flatMap((id, i) => {
    const at = pointer + pointerStep(i);
    if (typeof id !== 'string') faults.add(at, 'is not a string');
    else if (id === everyDatabase && ids.length === 1) return [everyDatabase];
    else if (id === '' || /[*/]/.test(id)) faults.add(at, 'is not the id of a database, or * alone');
    else {
      const why = resourceFault(`db/${id}`);
      if (why === null) return [`db/${id}`];
      faults.add(at, why);
    }
    return [];
  });
}

const flags = ['get', 'update', 'add', 'remove', 'alter'];

/** Those that are not named are not spoken of: entries before decide on them, or nobody does. */
function readFlags(value: Json | undefined, pointer: string, faults: Faults): Grant['actions'] {
  if (!isObject(value)) {
    faults.add(pointer, 'is not an object');
    return {};
  }
  refuseOthers(value, flags, pointer, faults);
  const named = flags.filter(flag => Object.hasOwn(value, flag));
  if (named.length === 0) faults.add(pointer, `names none of ${flags.join(', ')}`);
  for (const flag of named)
    if (value[flag] !== 0 && value[flag] !== 1) faults.add(`${pointer}/${flag}`, 'is not 0 or 1');
  return Object.fromEntries(named.map(flag => [`db.${flag}`, value[flag] === 1]));
}

const stockImages: Grant = { resources: ['*'], actions: { 'site.stock_images.*': true } };

function imageGrants(value: Json, pointer: string, faults: Faults): readonly Grant[] {
  if (value !== '0' && value !== '1') faults.add(pointer, 'is not "0" or "1"');
  return value === '1' ? [stockImages] : [];
}

/** A member that nothing enforces is never stored as if something did. */
export function refuseOthers(value: JsonObject, known: readonly string[], pointer: string, faults: Faults): void {
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) faults.add(pointer + pointerStep(name), 'is not known');
  }
}
