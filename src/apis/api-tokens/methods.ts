import { permissionLimits } from '../../core/permissions.ts';
import type { Account } from '../../core/token.ts';
import { type Code, Refusal } from '../../errors.ts';
import type { Actor } from '../../manage/parts.ts';
import type { TokenRequest } from '../../manage/token-service.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Manager } from '../../ports/session-source.ts';
import type { ApiParts } from '../parts.ts';
import { Arguments, asFlag, asText, required } from './arguments.ts';
import { denied, done, Failure, type Outcome } from './envelope.ts';
import { list } from './list.ts';
import { readOptions } from './read-options.ts';
import { flagsOf, namesOf, rowOf } from './row.ts';
import type { Said, SaidObject } from './said.ts';
import { apiTokenForm, kind, readId } from './token-form.ts';

/** One call by somebody who is known. */
export interface Call {
  readonly parts: ApiParts;
  readonly manager: Manager;
  readonly actor: Actor;
  readonly values: readonly Said[];
}

type Method = (call: Call) => Promise<Outcome>;

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

const remove: Method = call =>
  change(call, new Arguments(call.values, 1, 1).at(0), async request => {
    await call.parts.tokens.revoke(request);
  });

const setEnabled: Method = async call => {
  const said = new Arguments(call.values, 2, 2);
  const enabled = said.flag(1);
  const { tokens } = call.parts;
  return change(call, said.at(0), async request => {
    await (enabled ? tokens.enable(request) : tokens.disable(request));
  });
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
  const { manager, parts } = call;
  return change(call, said.at(0), async (request, view) => {
    for (const name of Object.keys(permissions)) if (!manager.permissions.has(name)) throw notValid(name);
    if (how === 'update' && !isMergeable(view)) throw new Failure(400, 'Token permissions cannot be updated, set them');
    try {
      await (how === 'set'
        ? parts.tokens.replacePermissions(request, permissions)
        : parts.tokens.mergePermissions(request, { ...lost(view, manager), ...permissions }));
    } catch (error) {
      throw beyondAccount(error) ?? error;
    }
  });
}

/** Flags by name, which are all that this API makes. What was given elsewhere may be more than flags can say. */
const isMergeable = ({ permissions }: TokenView): boolean =>
  typeof permissions === 'object' && (!Array.isArray(permissions) || permissions.length === 0);

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
  if (!isRefusal(error, 'forbidden') && !isRefusal(error, 'validation_failed')) return null;
  // Nothing, or the map as a whole: it is no single one.
  const [, step] = error.problem.errors?.[0]?.pointer.split('/') ?? [];
  return step === undefined ? null : notValid(step.replaceAll('~1', '/').replaceAll('~0', '~'));
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

/** Changes a token of the caller's. One that was removed while that was under way is 404 as it would be a moment later. */
async function change(
  call: Call,
  said: Said | undefined,
  make: (request: TokenRequest, view: TokenView) => Promise<void>,
): Promise<Outcome> {
  const view = await find(call, said);
  try {
    await make({ actor: call.actor, id: view.id }, view);
  } catch (error) {
    if (isRefusal(error, 'conflict')) await find(call, said);
    throw error;
  }
  return done();
}

const isRefusal = (error: unknown, code: Code): error is Refusal =>
  error instanceof Refusal && error.problem.code === code;

/** Who manages is one account, which is looked up as itself. Refuses who has none any more. */
async function accountOf(parts: ApiParts, actor: Actor, id: string): Promise<Account> {
  try {
    return await parts.accounts.get({ ...actor, scope: null }, id);
  } catch (error) {
    throw isRefusal(error, 'not_found') ? denied() : error;
  }
}
