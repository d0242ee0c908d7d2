import { readJsonBody } from '../../core/body-text.ts';
import { deepestJson } from '../../core/strict-json.ts';
import type { Json } from '../../core/token.ts';

/** What a client says: what JSON has, and of MessagePack bytes, and whole numbers that JavaScript's are too short for. */
export type Said =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Said[]
  | { readonly [name: string]: Said };

export type SaidObject = { readonly [name: string]: Said };

/** Most levels of lists and maps within one another. */
export const deepest: number = deepestJson;

/** What was sent is not in the form that it should have. */
export class SaidFault extends Error {}

export const isList = (said: Said): said is readonly Said[] => Array.isArray(said);

export const isObject = (said: Said): said is SaidObject =>
  typeof said === 'object' && said !== null && !isList(said) && !(said instanceof Uint8Array);

/** Beyond so many refused values, and so much of where one stands, the reader does not say what else there is. */
const told = { values: 100, pointer: 1000 } as const;

/** Strict JSON. Whole numbers that are not exact are null: they name nothing, and are no argument. */
export function readJson(bytes: Uint8Array): Said {
  const reading = readJsonBody(bytes);
  if (!reading.ok) throw new SaidFault(reading.why);
  const { refused } = reading;
  const isUntold = refused.length >= told.values || refused.some(({ pointer }) => pointer.length >= told.pointer);
  if (isUntold || refused.some(({ pointer }) => pointer.endsWith('/__proto__'))) {
    throw new SaidFault('a member that is not taken');
  }
  return reading.value;
}

export const writeJson = (value: Json): string => JSON.stringify(value);
