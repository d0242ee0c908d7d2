import { readUtf8 } from '../../core/body-text.ts';
import { canonicalName } from '../../core/fields.ts';
import { carriesBody, type Form } from '../../core/form.ts';
import { mediaOf } from '../../core/media.ts';
import { type BodyReading, noBody, Parameters } from '../../core/parameters.ts';
import { longestSecret } from '../../core/secret-form.ts';
import type { Actor } from '../../manage/parts.ts';
import type { Mount, MountAnswer, MountRequest } from '../../ports/mount.ts';
import { isBodyFault } from '../body-fault.ts';
import type { ApiParts } from '../parts.ts';
import { Turns } from '../turns.ts';
import { required } from './arguments.ts';
import { isOurs } from './command.ts';
import { commandOf, kind } from './commands.ts';
import { Failure, failure, messageOf, success } from './envelope.ts';

export interface AccessApiOptions {
  readonly path: string;
}

/** `extra` may have 64 KiB, each byte of which takes three where it is percent-encoded. */
const bodyLimit = 256 * 1024;

/** Webforce's "Access API": `{path}?cmd=access.…`, in a query or an urlencoded body. */
export const mount = (parts: ApiParts, { path }: AccessApiOptions): Mount => new AccessApi(parts, path);

class AccessApi implements Mount {
  readonly api = kind;
  readonly path: string;
  readonly connect = null;
  readonly #parts: ApiParts;
  readonly #turns = new Turns();
  readonly #segments: readonly string[];

  constructor(parts: ApiParts, path: string) {
    this.#parts = parts;
    this.path = path;
    this.#segments = path.slice(1).split('/');
  }

  /**
   * The path is this one alone: with a slash at its end it is another. It is compared decoded, as routes are, so that no
   * spelling of it leads past. A body is looked into behind any command: servers differ in whether theirs is in the query.
   */
  claims(form: Form): 'yes' | 'no' | 'form' {
    const { segments, query } = form.target;
    if (segments.length !== this.#segments.length || segments.some((text, i) => text !== this.#segments[i]))
      return 'no';
    if (isOurs(query, noBody)) return 'yes';
    return carriesBody(form.framing) && couldBeForm(form) ? 'form' : 'no';
  }

  claimsForm({ target }: Form, text: string): boolean {
    return isOurs(target.query, { kind: 'form', text });
  }

  async answer(request: MountRequest): Promise<MountAnswer> {
    try {
      const parameters = new Parameters(request.form.target.query, await bodyOf(request));
      const command = commandOf(parameters);
      const { tokens, recovery } = this.#parts;
      const actor = await this.#manager(parameters, request);
      return success(await command({ tokens, recovery, turns: this.#turns, actor, parameters }));
    } catch (error) {
      if (isBodyFault(error)) throw error;
      const message = messageOf(error);
      if (message === null) this.#parts.log.fault(error, 'a call of a token API failed');
      const answer = failure(message ?? 'Something went wrong here.');
      return error instanceof Failure && error.guessed ? { ...answer, guessed: true } : answer;
    }
  }

  /**
   * Who manages: a session, and never an issued token. It is taken from `auth_token` alone. Attack: a page of another site
   * sends a form here; what the browser adds by itself (cookies) says nothing, and `auth_token` that page does not know.
   */
  async #manager(parameters: Parameters, { client: address, asker }: MountRequest): Promise<Actor> {
    const parameter = required(parameters, 'auth_token');
    if (parameter.length > longestSecret) throw noSession();
    const presented = { asker, cookie: null, cookieValue: null, authorization: null, bearer: null, parameter };
    const identified = await this.#parts.identities.identify(presented, { tokenKind: null });
    if (identified.kind === 'unavailable') throw new Failure('Sessions cannot be checked at the moment. Try again.');
    if (identified.kind === 'nobody' || identified.manager.by !== 'session') throw noSession();
    const { account } = identified.manager;
    return { name: `${kind}:${account}`, address, scope: { account } };
  }
}

const noSession = (): Failure => new Failure('auth_token is not a session.', true);

async function bodyOf(request: MountRequest): Promise<BodyReading> {
  const { form } = request;
  const { method, framing } = form;
  if (method !== 'GET' && method !== 'POST') throw new Failure('It has to be GET or POST.');
  if (!carriesBody(framing)) return noBody;
  if (method === 'GET') throw new Failure('A GET has no body.');
  if (mediaOf(form) !== 'form') {
    throw new Failure('The body has to be urlencoded, in UTF-8, and not encoded otherwise.');
  }
  const bytes = await request.body(bodyLimit);
  if (bytes === 'too_large') throw new Failure(`The body is over ${bodyLimit} bytes.`);
  const text = readUtf8(bytes);
  // Attack: servers that look at the body rather than at its type would read JSON here, with other parameters.
  if (text === null || text.startsWith('\ufeff') || /^\s*[[{"]/.test(text))
    throw new Failure('The body is not urlencoded.');
  return { kind: 'form', text };
}

/** Some server could take the body for an urlencoded one. */
function couldBeForm({ fields, names }: Form): boolean {
  return names.some(
    (name, i) => canonicalName(name) === 'content-type' && /x-www-form-urlencoded/i.test(fields[2 * i + 1]!),
  );
}
