import { asCount, asFlag, asText, required } from './arguments.ts';
import { Failure } from './envelope.ts';
import { isList, isObject, type Said, type SaidObject } from './said.ts';

/** A token as lists are narrowed and sorted by. */
export interface Row {
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  /** Milliseconds since the epoch. */
  readonly created: number;
}

/** What a list is to be; `id`: not a list, but the one that has it, which nothing has where it is null. */
export type ReadOptions = { readonly kind: 'one'; readonly id: string | null } | ListOptions;

export interface ListOptions {
  readonly kind: 'list';
  readonly has: (row: Row) => boolean;
  readonly compare: (a: Row, b: Row) => number;
  /** Null: all. */
  readonly limit: number | null;
  readonly offset: number;
}

/** Most entries of a condition or an order, and characters of a pattern. */
const readLimits = { entries: 100, order: 4, pattern: 64 } as const;

type Field = keyof Row;
type Value = string | number | boolean;
type Condition = (row: Row) => boolean;

const fields: Readonly<Record<Field, (said: Said | undefined) => Value | null>> = {
  id: asText,
  name: asText,
  enabled: asFlag,
  created: said => {
    const at = typeof said === 'string' && said.length <= 64 ? Date.parse(said) : Number.NaN;
    return Number.isNaN(at) ? null : at;
  },
};

const isField = (name: unknown): name is Field => typeof name === 'string' && Object.hasOwn(fields, name);

/** In a condition clients have another word for the name. */
const searched = 'search';

/** Options of `read`. An id in any form asks for one token. Refuses with 400 what is not known. */
export function readOptions(said: SaidObject): ReadOptions {
  if (Object.hasOwn(said, 'id')) return { kind: 'one', id: asText(said.id) };
  for (const name of Object.keys(said)) {
    if (!['where', 'order_by', 'limit', 'offset'].includes(name)) throw new Failure(400);
  }
  return {
    kind: 'list',
    has: readWhere(said.where ?? {}),
    compare: readOrder(said.order_by ?? []),
    limit: counted(said.limit) || null,
    offset: counted(said.offset),
  };
}

const counted = (said: Said | undefined): number => (said === undefined || said === null ? 0 : required(asCount(said)));

/** `{ field: value }` or `{ field: [operator, value] }`; all have to hold. */
function readWhere(said: Said): Condition {
  if (!isObject(said)) throw new Failure(400);
  const conditions = Object.entries(said).map(([said, value]) => {
    const name = said === searched ? 'name' : said;
    if (!isField(name)) throw new Failure(400);
    if (!isList(value)) return readCondition(name, '=', value);
    const [operator, operand, ...others] = value;
    if (typeof operator !== 'string' || operand === undefined || others.length > 0) throw new Failure(400);
    return readCondition(name, operator.toLowerCase(), operand);
  });
  return row => conditions.every(holds => holds(row));
}

function readCondition(field: Field, operator: string, operand: Said): Condition {
  const value = (said: Said): Value => required(fields[field](said));
  switch (operator) {
    case '=':
    case '!=': {
      const wanted = value(operand);
      return row => (row[field] === wanted) === (operator === '=');
    }
    case 'in':
    case 'not in': {
      if (!isList(operand) || operand.length > readLimits.entries) throw new Failure(400);
      const wanted = new Set(operand.map(value));
      return row => wanted.has(row[field]) === (operator === 'in');
    }
    case 'like': {
      const pattern = value(operand);
      if (field !== 'name' || typeof pattern !== 'string' || pattern.length > readLimits.pattern) {
        throw new Failure(400);
      }
      return row => isLike(row.name, pattern);
    }
    case '<':
    case '<=':
    case '>':
    case '>=': {
      if (field !== 'created') throw new Failure(400);
      const than = Number(value(operand));
      const orEqual = operator.endsWith('=');
      const sign = operator.startsWith('<') ? -1 : 1;
      return row => Math.sign(row.created - than) === sign || (orEqual && row.created === than);
    }
    default:
      throw new Failure(400);
  }
}

/** As SQL's LIKE: `%` is any text, `_` any character. Each text between two `%` is taken where it stands first. */
export function isLike(text: string, pattern: string): boolean {
  const [first = '', ...others] = pattern.split('%');
  const last = others.pop();
  if (last === undefined) return text.length === first.length && standsAt(text, first, 0);
  const end = text.length - last.length;
  if (first.length > end || !standsAt(text, first, 0) || !standsAt(text, last, end)) return false;
  let at = first.length;
  for (const part of others) {
    const found = find(text, part, at, end - part.length);
    if (found === -1) return false;
    at = found + part.length;
  }
  return true;
}

/** Where a part stands first, from `from` to `to`; -1: nowhere. */
function find(text: string, part: string, from: number, to: number): number {
  if (!part.includes('_')) {
    const found = text.indexOf(part, from);
    return found <= to ? found : -1;
  }
  for (let at = from; at <= to; at++) if (standsAt(text, part, at)) return at;
  return -1;
}

function standsAt(text: string, part: string, at: number): boolean {
  for (let i = 0; i < part.length; i++) if (part[i] !== '_' && part[i] !== text[at + i]) return false;
  return true;
}

const signs: ReadonlyMap<string, number> = new Map([
  ['asc', 1],
  ['desc', -1],
]);

/** `[[field, direction]]`; by name where nothing is said. What is equal stays in the order of creation. */
function readOrder(said: Said): ListOptions['compare'] {
  if (!isList(said) || said.length > readLimits.order) throw new Failure(400);
  const order = said.map(entry => {
    if (!isList(entry)) throw new Failure(400);
    const [field, direction = 'asc', ...others] = entry;
    if (!isField(field) || typeof direction !== 'string' || others.length > 0) throw new Failure(400);
    const sign = signs.get(direction.toLowerCase());
    if (sign === undefined) throw new Failure(400);
    return { field, sign };
  });
  if (order.length === 0) order.push({ field: 'name', sign: 1 });
  return (a, b) => {
    for (const { field, sign } of order) {
      const difference = field === 'id' ? compareIds(a.id, b.id) : compare(a[field], b[field]);
      if (difference !== 0) return sign * difference;
    }
    return 0;
  };
}

const compare = (a: Value, b: Value): number => (a < b ? -1 : a > b ? 1 : 0);

/** Ids are numbers that stand as text. */
const compareIds = (a: string, b: string): number => compare(a.length, b.length) || compare(a, b);
