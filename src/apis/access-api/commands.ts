import type { Parameters } from '../../core/parameters.ts';
import { idPattern } from '../../core/token.ts';
import { Refusal } from '../../errors.ts';
import type { Actor } from '../../manage/parts.ts';
import { listStart } from '../../manage/token-list.ts';
import type { TokenService } from '../../manage/token-service.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Recovery } from '../parts.ts';
import { Busy, type Turns } from '../turns.ts';
import { optional, required, saidForNew, saidInMeta } from './arguments.ts';
import { type Data, Failure, noData, noSuchToken } from './envelope.ts';
import { laterHashes, type TokenHash, tokenHash } from './token-hash.ts';

/** The API's name, and the kind of its tokens. */
export const kind = 'access-api';

/** One call of a manager: the services hold the actor to its account. */
export interface Call {
  readonly tokens: TokenService;
  readonly recovery: Recovery | null;
  readonly turns: Turns;
  readonly actor: Actor;
  readonly parameters: Parameters;
}

type Command = (call: Call) => Promise<Data>;

/** Tokens that are read at a time, and most characters of a list: it is answered whole or not at all. */
const listLimits = { page: 100, text: 4 * 1024 * 1024 } as const;

async function add({ tokens, recovery, actor, parameters }: Call): Promise<Data> {
  const said = saidForNew(parameters);
  const sealed = (id: string, secret: string) => recovery?.seal(secret, id) ?? null;
  const { token, secret } = await tokens.create(actor, { kind, ...said, sealed });
  // Null only for one that was asked for before, which cannot be asked for here.
  return tokenHash(token, secret ?? '…');
}

const get: Command = async call => later(await find(call), call);

async function getAll(call: Call): Promise<Data> {
  try {
    return await call.turns.take(call.actor.scope?.account ?? '', () => gatherAll(call));
  } catch (error) {
    if (error instanceof Busy) throw new Failure('Too many lists are asked for at a time. Try again.');
    throw error;
  }
}

async function gatherAll({ tokens, recovery, actor }: Call): Promise<Data> {
  const hashes: TokenHash[] = [];
  let text = 0;
  for (let at: typeof listStart | null = listStart; at !== null; ) {
    const page: Awaited<ReturnType<TokenService['list']>> = await tokens.list(actor, { kind }, listLimits.page, at);
    for (const hash of await laterHashes(page.tokens, actor, tokens, recovery)) {
      hashes.push(hash);
      text += JSON.stringify(hash).length;
    }
    if (text > listLimits.text) throw new Failure('There are too many tokens for one list.');
    at = page.next;
  }
  return hashes;
}

async function update(call: Call): Promise<Data> {
  const said = saidInMeta(call.parameters);
  const { id } = await find(call);
  try {
    return await later(await call.tokens.amend({ actor: call.actor, id }, said), call);
  } catch (error) {
    // Somebody else may have removed it in between.
    if (error instanceof Refusal) await find(call);
    throw error;
  }
}

async function remove(call: Call): Promise<Data> {
  const { id } = await find(call);
  await call.tokens.revoke({ actor: call.actor, id });
  return noData;
}

async function later(token: TokenView, { tokens, recovery, actor }: Call): Promise<TokenHash> {
  const [hash] = await laterHashes([token], actor, tokens, recovery);
  return hash!;
}

/** The token that is meant. One of another owner, of another API, or removed is not there. */
async function find({ tokens, actor, parameters }: Call): Promise<TokenView> {
  const id = required(parameters, 'token_id');
  if (!idPattern.test(id)) throw noSuchToken();
  const token = await tokens.get(actor, id);
  if (token.kind !== kind || token.state === 'revoked') throw noSuchToken();
  return token;
}

/** By name; never an object's members, which it inherits some of. */
export const commands: ReadonlyMap<string, Command> = new Map([
  ['access.add', add],
  ['access.get', get],
  ['access.get_all', getAll],
  ['access.update', update],
  ['access.remove', remove],
]);

export const commandOf = (parameters: Parameters): Command => {
  const command = commands.get(optional(parameters, 'cmd') ?? '');
  if (command === undefined) throw new Failure('There is no such command.');
  return command;
};
