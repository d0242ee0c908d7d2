import * as z from 'zod';
import type { Fields } from '../core/fields.ts';
import { decodeParameter, queryPairs } from '../core/target.ts';
import { type Code, Refusal } from '../errors.ts';
import type { AccountService } from '../manage/account-service.ts';
import { Faults } from '../manage/faults.ts';
import type { Actor } from '../manage/parts.ts';
import type { Precondition } from '../manage/precondition.ts';
import type { RoleService } from '../manage/role-service.ts';
import type { SessionService } from '../manage/session-service.ts';
import type { TokenService } from '../manage/token-service.ts';
import type { Watchers } from '../manage/watchers.ts';
import type { Decider } from '../ports/decider.ts';
import { type Answer, Rejection } from './answer.ts';
import { jsonType, mergeType, readJsonBody } from './body.ts';
import { readPrecondition } from './conditional.ts';
import type { Incoming } from './incoming.ts';
import type { LeastRole, Role } from './keys.ts';
import { type RefusedMembers, readMembers, readValue, type Said, type Shape } from './members.ts';

/** One call of the API: everything that the router, the document and the tests know about it. */
export interface Operation {
  readonly method: Method;
  /** Segments in braces are ids. */
  readonly path: string;
  /** The least role that may call it, keys of accounts' owners aside. */
  readonly role: LeastRole;
  /** Keys of an account's owner may call it, too. Only what the services hold to that account's tokens. */
  readonly ownerKeys: boolean;
  /** Its name in the document. */
  readonly name: string;
  readonly summary: string;
  readonly description: string | null;
  readonly query: Shape;
  readonly body: DocumentedBody | null;
  /** Takes If-Match and If-None-Match; a GET takes the latter. */
  readonly conditional: boolean;
  /** Header fields that it takes beside those. */
  readonly takes: Readonly<Record<string, string>>;
  /** Answers by status. Null: there is no body. */
  readonly answers: Readonly<Record<number, DocumentedAnswer>>;
  /** Codes of problems that it answers with, beside those of every call. */
  readonly problems: readonly Code[];
  run(incoming: Incoming, context: Context): Promise<Answer>;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface DocumentedBody {
  readonly schema: z.ZodType;
  readonly types: readonly string[];
  readonly required: boolean;
}

export interface DocumentedAnswer {
  readonly description: string;
  readonly schema: z.ZodType | null;
  /** The media type of its body; JSON by default. */
  readonly type?: string;
  /** Header fields beside those of every answer. */
  readonly fields?: readonly string[];
}

/** What a call works with, once it is known who asks for what. */
export interface Context {
  readonly actor: Actor;
  /** Of the key. */
  readonly role: Role;
  /** Milliseconds for which the key may go on with this call: 0 once it is gone, and infinite where there is no end. */
  readonly keyLeftMs: () => number;
  readonly services: Services;
  /** Segments of the path that stand in braces in the template, by their names. */
  readonly params: Readonly<Record<string, string>>;
}

export interface Services {
  readonly tokens: TokenService;
  readonly accounts: AccountService;
  readonly roles: RoleService;
  readonly sessions: SessionService;
  /** A backup of the store, as text, piece by piece. */
  readonly backup: () => AsyncIterable<string>;
  readonly watchers: Watchers;
  readonly decider: Decider;
  /** The document of the API, as JSON. */
  readonly document: () => string;
}

/** A call with everything read from it. */
export interface Call<Q extends Shape, B> extends Context {
  readonly fields: Fields;
  /** The path's `{id}`. */
  readonly id: string;
  readonly query: Said<Q>;
  readonly body: B;
  /** What is wrong with the body's members. Who goes on with it must refuse what is in here. */
  readonly faults: Faults;
  readonly precondition: Precondition | null;
  /** Aborted when it should be answered without waiting any longer. */
  readonly over: AbortSignal;
  /** What the call is and what its key is held to, without its cursor and limit: cursors are bound to it. */
  readonly scope: string;
}

/** How a body is read. `read` adds to the faults what is wrong. */
export interface Body<B> extends DocumentedBody {
  read(value: unknown, faults: Faults): B;
}

/** A body that is an object, read member by member. An action's may be left out. */
export function membersBody<S extends Shape>(
  schema: z.ZodObject<S>,
  refused: RefusedMembers,
  options: { readonly merge?: boolean; readonly optional?: boolean } = {},
): Body<Said<S>> {
  const { merge = false, optional = false } = options;
  const { shape } = schema;
  const required = merge ? [] : Object.keys(shape).filter(name => !(shape[name] instanceof z.ZodOptional));
  return {
    schema,
    types: merge ? [mergeType, jsonType] : [jsonType],
    required: !optional,
    read: (value, faults) => readMembers(shape, refused, required, value as never, faults),
  };
}

/** A body that is one value. Undefined when it is not good. */
export const valueBody = <T extends z.ZodType>(schema: T, merge = false): Body<z.output<T> | undefined> => ({
  schema,
  types: merge ? [mergeType, jsonType] : [jsonType],
  required: true,
  read: (value, faults) => readValue(schema, value, '', faults),
});

type Documented = Pick<Operation, 'method' | 'path' | 'role' | 'name' | 'summary' | 'answers'> &
  Partial<Pick<Operation, 'ownerKeys' | 'description' | 'conditional' | 'takes' | 'problems'>>;

/** An operation from its facts and what it does. Everything is read, and judged, before `handle` is called. */
export function operation<Q extends Shape, B>(
  facts: Documented & {
    readonly query?: Q;
    readonly body?: Body<B>;
    handle(call: Call<Q, B>): Promise<Answer> | Answer;
  },
): Operation {
  const { query = {} as Q, body = null, conditional = false, method, path } = facts;
  return {
    ownerKeys: false,
    description: null,
    takes: {},
    problems: [],
    ...facts,
    query,
    body,
    conditional,
    async run(incoming, context) {
      const { fields, target } = incoming.form;
      const said = readQuery(query, target.query);
      const precondition = conditional && method !== 'GET' ? readPrecondition(fields) : null;
      const faults = new Faults();
      const read = body === null ? (undefined as B) : await readBody(body, incoming, faults);
      const { limit: _limit, cursor: _cursor, ...filters } = said as Record<string, unknown>;
      const of = context.actor.scope === null ? '' : ` of ${context.actor.scope.account}`;
      const scope = `${method} ${path} ${JSON.stringify([context.params, Object.entries(filters).sort()])}${of}`;
      const id = context.params['id'] ?? '';
      const { over } = incoming;
      return facts.handle({ ...context, fields, id, query: said, body: read, faults, precondition, over, scope });
    },
  };
}

async function readBody<B>(body: Body<B>, incoming: Incoming, faults: Faults): Promise<B> {
  const json = await readJsonBody(incoming, body.types);
  if (json === null) {
    if (body.required) throw new Refusal('invalid_body', 'This call needs a body.');
    return body.read({}, faults);
  }
  for (const { pointer, detail } of json.refused) faults.add(pointer, detail);
  return body.read(json.value, faults);
}

/** Parameters are taken by their exact names, once each. */
function readQuery<Q extends Shape>(shape: Q, query: string | null): Said<Q> {
  const faults = new Faults();
  const said = new Map<string, unknown>();
  const seen = new Set<string>();
  for (const pair of query === null ? [] : queryPairs(query)) {
    const name = decodeParameter(pair.name);
    const value = decodeParameter(pair.value);
    if (name === null || value === null) throw new Rejection('malformed_request', 'The query is not UTF-8.');
    const pointer = `?${name}`;
    const schema = Object.hasOwn(shape, name) ? shape[name] : undefined;
    if (schema === undefined) faults.add(pointer, 'is not a parameter of this call');
    else if (seen.has(name)) faults.add(pointer, 'stands twice');
    else said.set(name, readValue(schema, value, pointer, faults));
    seen.add(name);
  }
  faults.throwIfAny();
  return Object.fromEntries(said) as Said<Q>;
}
