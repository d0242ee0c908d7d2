import { Grants } from '../../core/grants.ts';
import { grantsOf, permissionLimits } from '../../core/permissions.ts';
import type { Json } from '../../core/token.ts';
import { Refusal } from '../../errors.ts';
import type { Actor } from '../../manage/parts.ts';
import { type ListPosition, listStart } from '../../manage/token-list.ts';
import type { TokenRequest } from '../../manage/token-service.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Manager } from '../../ports/session-source.ts';
import type { ApiParts } from '../parts.ts';
import { Arguments, asFlag, asText, required } from './arguments.ts';
import { done, Failure, type Outcome } from './envelope.ts';
import { type ListOptions, type Row, readOptions } from './read-options.ts';
import type { Said, SaidObject } from './said.ts';
import { apiTokenForm, readId } from './token-form.ts';

/** Kind of the tokens of this API. */
export const kind = 'api-tokens';

/** One call by somebody who is known. */
export interface Call {
  readonly parts: ApiParts;
  readonly manager: Manager;
  readonly actor: Actor;
  readonly values: readonly Said[];
}

type Method = (call: Call) => Promise<Outcome>;

/** Most tokens of one account that are gone through for a list. */
const mostListed = 10_000;

const create: Method = async ({ parts, manager, actor, values }) => {
  const name = new Arguments(values, 1, 1).text(0);
  const account = await accountOf(parts, actor, manager.account);
  const { token, secret } = await parts.tokens.create(actor, { kind, name, permissions: {}, form: apiTokenForm });
  return done({
    id: token.id,
    token: secret,
    userId: account.id,
    username: account.name || account.id,
    permissions: {},
  });
};

const read: Method = async call => {
  const said = new Arguments(call.values, 0, 1);
  const options = readOptions(said.at(0) == null ? {} : said.object(0));
  if (options.kind === 'list') return list(call, options);
  return done(rowOf(await find(call, options.id ?? undefined), call.manager));
};

async function list({ parts, manager, actor }: Call, { has, compare, limit, offset }: ListOptions): Promise<Outcome> {
  const found: Listed[] = [];
  let seen = 0;
  let position: ListPosition | null = listStart;
  while (position !== null) {
    const page: Awaited<ReturnType<typeof parts.tokens.list>> = await parts.tokens.list(
      actor,
      { kind },
      1000,
      position,
    );
    seen += page.tokens.length;
    if (seen > mostListed) throw new Failure(400, 'Too many tokens to list, read them by id');
    for (const view of page.tokens) {
      const row = { id: view.id, name: view.name, enabled: isEnabled(view), created: view.createdAt, view };
      if (has(row)) found.push(row);
    }
    position = page.next;
  }
  found.sort(compare);
  const rows = found.slice(offset, offset + limit).map(({ view }) => rowOf(view, manager));
  return done(rows, { total: found.length, rows: rows.length, summary: { total: found.length } });
}

interface Listed extends Row {
  readonly view: TokenView;
}

const remove: Method = async call => {
  const { id } = await find(call, new Arguments(call.values, 1, 1).at(0));
  await call.parts.tokens.revoke({ actor: call.actor, id });
  return done();
};

const setEnabled: Method = async call => {
  const said = new Arguments(call.values, 2, 2);
  const enabled = said.flag(1);
  const { id } = await find(call, said.at(0));
  const { tokens } = call.parts;
  const request: TokenRequest = { actor: call.actor, id };
  await (enabled ? tokens.enable(request) : tokens.disable(request));
  return done();
};

const getPermissions: Method = async call => {
  const view = await find(call, new Arguments(call.values, 1, 1).at(0));
  const flagOf = flagsOf(view);
  const rows = namesOf(view, call.manager).map(name => {
    const enabled = flagOf(name);
    return { id: name, name, description: '', ...(enabled !== null && { enabled }) };
  });
  return done(rows);
};

const setPermissions: Method = call => changePermissions(call, 'set');
const updatePermissions: Method = call => changePermissions(call, 'update');

async function changePermissions(call: Call, how: 'set' | 'update'): Promise<Outcome> {
  const said = new Arguments(call.values, 2, 2);
  const permissions = readPermissions(said.object(1));
  const view = await find(call, said.at(0));
  for (const name of Object.keys(permissions)) {
    if (!call.manager.permissions.has(name)) throw notValid(name);
  }
  const { tokens } = call.parts;
  const request: TokenRequest = { actor: call.actor, id: view.id };
  try {
    await (how === 'set'
      ? tokens.replacePermissions(request, permissions)
      : tokens.mergePermissions(request, { ...lost(view, call.manager), ...permissions }));
  } catch (error) {
    throw beyondAccount(error) ?? error;
  }
  return done();
}

/** Flags that say nothing any more, because the user has lost them: nobody could grant them again. */
function lost({ permissions }: TokenView, manager: Manager): Record<string, null> {
  if (typeof permissions !== 'object' || Array.isArray(permissions)) return {};
  const names = Object.keys(permissions).filter(name => !manager.permissions.has(name));
  return Object.fromEntries(names.map(name => [name, null]));
}

/** A map of flags by name, as it was said. */
function readPermissions(said: SaidObject): Record<string, boolean> {
  const entries = Object.entries(said);
  if (entries.length > permissionLimits.entries) throw new Failure(400);
  return Object.fromEntries(entries.map(([name, flag]) => [name, required(asFlag(flag))]));
}

/** Names come from the client, and are not said again at any length. */
const notValid = (name: string): Failure =>
  new Failure(400, `Token permission "${name.slice(0, permissionLimits.name)}" is not valid`);

/** The services look closer: at patterns, and at an account that has changed meanwhile. They name the first entry. */
function beyondAccount(error: unknown): Failure | null {
  if (!(error instanceof Refusal)) return null;
  const { code, errors } = error.problem;
  if ((code !== 'forbidden' && code !== 'validation_failed') || errors?.[0] === undefined) return null;
  const [, step = ''] = errors[0].pointer.split('/');
  return notValid(step.replaceAll('~1', '/').replaceAll('~0', '~'));
}

/** The methods by their names, which are all that there are. */
export const methods: ReadonlyMap<string, Method> = new Map([
  ['create', create],
  ['read', read],
  ['delete', remove],
  ['set-enabled', setEnabled],
  ['get-permissions', getPermissions],
  ['set-permissions', setPermissions],
  ['update-permissions', updatePermissions],
]);

/** A token of the caller's that was made here and is not removed; anything else is 404, whatever the id looks like. */
async function find({ parts, actor }: Call, said: Said | undefined): Promise<TokenView> {
  const id = readId(asText(said) ?? '');
  if (id === null) throw new Failure(404);
  const view = await parts.tokens.get(actor, id);
  if (view.kind !== kind || view.state === 'revoked') throw new Failure(404);
  return view;
}

/** Who manages is one account, which is looked up as itself. */
const accountOf = (parts: ApiParts, actor: Actor, id: string) => parts.accounts.get({ ...actor, scope: null }, id);

const isEnabled = ({ state }: TokenView): boolean => state === 'enabled';

function rowOf(view: TokenView, manager: Manager): { readonly [name: string]: Json } {
  const flagOf = flagsOf(view);
  const granted = namesOf(view, manager)
    .filter(name => flagOf(name) === true)
    .map(name => [name, true] as const);
  return {
    id: view.id,
    user_id: view.owner,
    name: view.name,
    enabled: isEnabled(view),
    created: new Date(view.createdAt).toISOString(),
    permissions: Object.fromEntries(granted),
  };
}

/** The user's permissions that can be named: a pattern of its grants permits more, of which the token may name some. */
function namesOf({ permissions }: TokenView, { permissions: users }: Manager): readonly string[] {
  const own = permissions === 'inherit' ? [] : grantsOf(permissions).flatMap(({ actions }) => Object.keys(actions));
  return [...new Set([...users.names, ...own.filter(name => users.has(name))])];
}

/** What the token itself says of a permission; null: nothing. One that inherits has what the user has. */
function flagsOf({ permissions }: TokenView): (name: string) => boolean | null {
  if (permissions === 'inherit') return () => true;
  const grants = new Grants(grantsOf(permissions));
  return name => grants.ruling(name, null, null)?.allow ?? null;
}
