import type { Form } from './form.ts';
import { mediaTypeOf } from './media-type.ts';
import { decodeParameter, queryPairs } from './target.ts';
import type { Json } from './token.ts';

/** A request's body, as far as rules may read it. */
export type BodyReading =
  | { readonly kind: 'none' }
  /** There is one, and the route does not look into it. */
  | { readonly kind: 'closed' }
  /** `application/x-www-form-urlencoded`, as it stands. */
  | { readonly kind: 'form'; readonly text: string }
  | { readonly kind: 'json'; readonly value: Json };

export const noBody: BodyReading = { kind: 'none' };

/** A copy: parts of a text keep the whole of it in memory, and what is read outlives the body. */
export const ownText = (part: string): string => ` ${part}`.slice(1);

/** The fields of a request, as far as servers read its parameters by them. */
export type ParameterFields = Pick<Form, 'fields' | 'names'>;

const noFields: ParameterFields = { fields: [], names: [] };

export type ParameterReading =
  | { readonly kind: 'value'; readonly value: string }
  | { readonly kind: 'absent' }
  /**
   * It stands twice, in query and body, as a cookie, as `x[]`, in another case, or is no plain value. `why` follows its name, and says
   * nothing of what the request has there.
   */
  | { readonly kind: 'ambiguous'; readonly why: string }
  /** It may stand in a body that the route does not look into. */
  | { readonly kind: 'closed' };

const absent: ParameterReading = { kind: 'absent' };
const closed: ParameterReading = { kind: 'closed' };
const valued = (value: string): ParameterReading => ({ kind: 'value', value: ownText(value) });
const ambiguous = (why: string): ParameterReading => ({ kind: 'ambiguous', why });

/** A parameter in all calls of a batch. */
export interface EveryReading {
  /** In the first call. */
  readonly first: ParameterReading;
  /** In the first call that has no value, or another one; null: all have that of the first. */
  readonly other: { readonly call: number; readonly reading: ParameterReading } | null;
}

/**
 * The parameters of a request: those of its query, and those of a body that was inspected. What the upstream could read
 * in another way than we do is ambiguous, never guessed: attackers choose the reading that suits them.
 */
export class Parameters {
  readonly kind: BodyReading['kind'];
  readonly #query: string | null;
  readonly #fields: ParameterFields;
  #body: BodyReading;
  /** Those that stand in pairs. Made when one is first asked for: most requests are judged without. */
  #flat: FlatParameters | null = null;
  #members: Members | null = null;
  /** What was asked of all calls, which is kept when the body is not. */
  readonly #every = new Map<string, EveryReading>();

  constructor(query: string | null, body: BodyReading, fields: ParameterFields = noFields) {
    this.kind = body.kind;
    this.#query = query;
    this.#fields = fields;
    this.#body = body;
  }

  /** How many calls the request makes: more than one in a batch, and never none, so that there is one to be refused. */
  get calls(): number {
    const body = this.#body;
    return body.kind === 'json' && isList(body.value) ? Math.max(1, body.value.length) : 1;
  }

  /**
   * Lets the body go, which may be large where the answer is long. What was asked of all calls stays known; whatever else
   * is asked for could stand in what is gone.
   */
  release(): void {
    if (this.#body.kind !== 'none') this.#body = { kind: 'closed' };
    this.#flat = null;
    this.#members = null;
  }

  /** The parameter of a name (`database`, or `params.database` for a member of a member), in one call of a batch. */
  read(name: string, call = 0): ParameterReading {
    const body = this.#body;
    if (body.kind === 'closed') return closed;
    this.#flat ??= new FlatParameters([this.#query, body.kind === 'form' ? body.text : null], this.#fields);
    const steps = name.split('.');
    const outside = this.#flat.read(steps);
    if (outside.kind === 'ambiguous' || body.kind !== 'json') return outside;
    this.#members ??= new Members();
    if (this.#members.hasTelltale(body.value))
      return ambiguous('cannot be told, because of a member named _json or _charset_');
    const inside = this.#members.read(isList(body.value) ? body.value[call] : body.value, steps);
    if (outside.kind === 'absent' || inside.kind === 'ambiguous') return inside;
    return inside.kind === 'absent' ? outside : ambiguous('stands in the query and in the body');
  }

  readEvery(name: string): EveryReading {
    let every = this.#every.get(name);
    if (every === undefined) {
      every = this.#readEvery(name);
      // What is closed now was closed from the start, or has been released.
      if (every.first.kind !== 'closed') this.#every.set(name, every);
    }
    return every;
  }

  #readEvery(name: string): EveryReading {
    const first = this.read(name);
    if (first.kind !== 'value') return { first, other: null };
    for (let call = 1; call < this.calls; call++) {
      const reading = this.read(name, call);
      if (reading.kind !== 'value' || reading.value !== first.value) return { first, other: { call, reading } };
    }
    return { first, other: null };
  }
}

/** What a name comes to in the query and in a form. */
interface Spelling {
  readonly name: string;
  /** As it stands. */
  readonly value: string;
  /** Some server would see it twice, or see another value. */
  twice: boolean;
}

/** Parameters that stand as `name=value` pairs. Read once, whatever is asked for. */
class FlatParameters {
  /** By every plain name that a server could take them for. */
  readonly #spellings = new Map<string, Spelling>();
  /** Beginnings of names that a server could take for nested ones. */
  readonly #roots = new Set<string>();
  /** Why nothing of it can be told. */
  #fault: string | null = null;

  constructor(texts: readonly (string | null)[], { fields, names }: ParameterFields) {
    if (mediaTypeOf(fields, names) === null) this.#fault = 'cannot be told, because of the Content-Type';
    else if (piecesOf(texts) > mostPairs)
      this.#fault = `cannot be told, because there are more than ${mostPairs} of them`;
    if (this.#fault !== null) return;
    for (const text of texts) if (text !== null) for (const { name, value } of queryPairs(text)) this.#add(name, value);
    for (let i = 0; i < names.length; i++) if (names[i] === 'cookie') this.#addCookies(fields[2 * i + 1]!);
    for (const name of telltales) {
      if (this.#spellings.has(name)) this.#fault ??= `cannot be told, because of one named ${name}`;
    }
  }

  /** Attack: to some servers (`$_REQUEST` of PHP) cookies are parameters as well, and win. */
  #addCookies(line: string): void {
    // Old ones also split at commas.
    for (const piece of line.split(/[;,]/)) {
      const end = piece.indexOf('=');
      const name = (end === -1 ? piece : piece.slice(0, end)).trim();
      if (name === '') continue;
      // Some decode their names, others do not.
      this.#mark(name);
      const decoded = decodeParameter(name);
      if (decoded !== null && decoded !== name) this.#mark(decoded);
    }
  }

  /** It is no parameter, and yet one to some. */
  #mark(name: string): void {
    this.#roots.add(rootOf(name));
    for (const plain of plainNames(name)) this.#spellings.set(plain, { name, value: '', twice: true });
  }

  #add(rawName: string, value: string): void {
    const semicolons = rawName.includes(';') || value.includes(';');
    this.#place(rawName, value, semicolons);
    if (!semicolons) return;
    // Attack: some servers also split at `;`. What only they would see makes a parameter ambiguous.
    for (const piece of `${rawName}=${value}`.split(';')) {
      const end = piece.indexOf('=');
      const name = end === -1 ? piece : piece.slice(0, end);
      if (name !== rawName) this.#place(name, '', true);
    }
  }

  #place(rawName: string, value: string, twice: boolean): void {
    const name = decodeParameter(rawName);
    if (name === null) {
      // What servers make of it is their own affair.
      this.#fault = 'cannot be told, because some name is not UTF-8';
      return;
    }
    this.#roots.add(rootOf(name));
    for (const plain of plainNames(name)) {
      const known = this.#spellings.get(plain);
      if (known === undefined) this.#spellings.set(plain, { name, value, twice });
      else known.twice = true;
    }
  }

  read(steps: readonly string[]): ParameterReading {
    if (this.#fault !== null) return ambiguous(this.#fault);
    const name = steps[0]!;
    if (steps.length > 1) {
      // Nesting is read in JSON alone: of `a[b]`, `a.b` and `a` every server makes something else.
      return this.#roots.has(folded(name)) ? ambiguous('stands outside of the JSON that it is a member of') : absent;
    }
    const spelling = this.#spellings.get(folded(name));
    if (spelling === undefined) return absent;
    if (spelling.twice) return ambiguous('stands more than once, as a cookie, or beside a semicolon');
    if (spelling.name !== name) return ambiguous('is spelled in another way');
    const value = decodeParameter(spelling.value);
    return value === null ? ambiguous('is not UTF-8') : valued(value);
  }
}

/** Most parameters that common servers read (PHP, Node, Tomcat); what follows is to them not there. */
const mostPairs = 1000;

/** What the servers count that count most: empty pieces, and those that only some split at. */
function piecesOf(texts: readonly (string | null)[]): number {
  let pieces = 0;
  for (const text of texts) {
    if (text === null) continue;
    pieces++;
    for (let i = 0; i < text.length; i++) if (text[i] === '&' || text[i] === ';') pieces++;
  }
  return pieces;
}

/** Where the whole of a JSON list stands for Rails, and what some servers decode a form by. */
const telltales = ['_json', '_charset_'] as const;

const plainName = /^[a-z0-9_-]*$/;

/**
 * One spelling for names that servers take for one. Some overlook case; PHP cuts names at NUL, and writes `_` for white
 * space, `.` and a `[` that is not closed. In front, PHP drops white space, and parsers of whole queries a `?` or `#`.
 */
function folded(name: string): string {
  if (plainName.test(name)) return name;
  return lettersOf(beforeNul(name).replace(/^[\s?#&]+/, ''));
}

// Both ways: there are letters that only one of them folds.
const lettersOf = (name: string): string =>
  name
    .replace(/[\s.[]/g, '_')
    .toUpperCase()
    .toLowerCase();

function beforeNul(name: string): string {
  const nul = name.indexOf('\0');
  return nul === -1 ? name : name.slice(0, nul);
}

/** The name in front of `end`, whatever some server drops before that: Rack and qs read `[a]` and `a]` as `a`. */
function stemOf(name: string, end: RegExp): string {
  const bare = name.replace(/^[\s\x00-\x1f?#&.[\]]+/, '');
  const at = bare.search(end);
  // Not by an expression that is tried at each of many blanks: the time would grow with their square.
  return folded((at === -1 ? bare : bare.slice(0, at)).trimEnd());
}

/** Every plain name that a server could take this one for: the whole as it could be one, and what `x[]` and `x[a]` are of. */
function plainNames(name: string): readonly string[] {
  if (plainName.test(name)) return [name];
  const whole = folded(name);
  const stem = stemOf(name, /[[\]\0]/);
  return stem === whole ? [whole] : [whole, stem];
}

/** What `a.b` and `a[b]` are members of. */
const rootOf = (name: string): string => (plainName.test(name) ? name : stemOf(name, /[.[\]\0]/));

const index = /^(?:0|[1-9][0-9]{0,8})$/;

type JsonMap = { readonly [name: string]: Json };

/** Members of JSON objects, whose names are each folded once, whatever is asked for. */
class Members {
  readonly #names = new Map<JsonMap, NamesOf>();

  /** A member of a member of a JSON object; numbers lead into lists. */
  read(of: Json | undefined, steps: readonly string[]): ParameterReading {
    if (of === undefined || !isMap(of)) return ambiguous('is asked of what is no JSON object');
    let at: Json = of;
    for (const [i, step] of steps.entries()) {
      if (isList(at)) {
        if (!index.test(step)) return ambiguous('is asked of a list');
        const item: Json | undefined = at[Number(step)];
        if (item === undefined) return absent;
        at = item;
      } else if (isMap(at)) {
        const names = this.#namesOf(at);
        const wanted = folded(step);
        const isLast = i === steps.length - 1;
        if (names.hasOther(names.spellings, wanted, step) || (!isLast && names.hasOther(names.roots, wanted, step))) {
          return ambiguous('is spelled in another way');
        }
        if (!Object.hasOwn(at, step)) return absent;
        at = at[step]!;
      } else return ambiguous('is asked of a plain value');
    }
    return readPlain(at);
  }

  /** Attack: an object that Rails, or who reads what it has read, takes for a list. */
  hasTelltale(value: Json): boolean {
    return isMap(value) && telltales.some(name => this.#namesOf(value).spellings.has(name));
  }

  #namesOf(map: JsonMap): NamesOf {
    let names = this.#names.get(map);
    if (names === undefined) {
      names = new NamesOf(map);
      this.#names.set(map, names);
    }
    return names;
  }
}

/** The names of one object, by what servers take them for. */
class NamesOf {
  /** By every plain name; null: more than one name comes to it. */
  readonly spellings = new Map<string, string | null>();
  readonly roots = new Map<string, string | null>();

  constructor(map: JsonMap) {
    for (const name of Object.keys(map)) {
      for (const plain of plainNames(name)) this.spellings.set(plain, this.spellings.has(plain) ? null : name);
      const root = rootOf(name);
      this.roots.set(root, this.roots.has(root) ? null : name);
    }
  }

  /** Some name comes to this, and is not spelled so. */
  hasOther(of: ReadonlyMap<string, string | null>, plain: string, spelled: string): boolean {
    const name = of.get(plain);
    return name !== undefined && name !== spelled;
  }
}

function readPlain(value: Json): ParameterReading {
  switch (typeof value) {
    case 'string':
      return valued(value);
    case 'number':
    case 'boolean':
      return valued(JSON.stringify(value));
    default:
      return ambiguous('is no plain value');
  }
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

const isMap = (value: Json): value is JsonMap => typeof value === 'object' && value !== null && !isList(value);
