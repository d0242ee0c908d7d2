import { carriesBody, type Form } from '../../core/form.ts';
import { decodeParameter, queryPairs } from '../../core/target.ts';
import type { Mount, MountAnswer, MountRequest } from '../../ports/mount.ts';
import type { ApiParts } from '../parts.ts';
import { callMethod, outcomeOf } from './call.ts';
import { identify, presentedBy, refused } from './caller.ts';
import { type Codec, codecOf, json, typeField } from './codec.ts';
import { connector } from './connect.ts';
import { type EnvelopeName, envelopes, Failure, type Outcome } from './envelope.ts';
import { methods } from './methods.ts';
import { isList, type Said } from './said.ts';
import { kind } from './token-form.ts';

export interface Options {
  /** The path that it stands under, such as `/rpc`; empty at the root. */
  readonly path: string;
  readonly envelope: EnvelopeName;
}

/** Most bytes of a body. */
const bodyLimit = 1024 * 1024;

/** `{path}/v1/api-tokens/<method>`, and WebSockets at the path itself. */
export function mount(parts: ApiParts, { path, envelope }: Options): Mount {
  const depth = path === '' ? 0 : path.split('/').length - 1;
  const prefix = path.slice(1);

  /** Segments behind the path; null when the request is not under it. */
  const behind = ({ target: { segments } }: Form): readonly string[] | null =>
    segments.slice(0, depth).join('/') === prefix && segments.length >= depth ? segments.slice(depth) : null;

  /** The method that is called; null when none is. One slash more than one is accepted, directly behind the path. */
  const methodOf = (form: Form): string | null => {
    const segments = behind(form);
    if (segments === null) return null;
    const [version, api, method, ...others] = segments[0] === '' ? segments.slice(1) : segments;
    return version === 'v1' && api === 'api-tokens' && others.length === 0 && method ? method : null;
  };

  const isSocket = (form: Form): boolean => {
    const [first = '', ...others] = behind(form) ?? ['elsewhere'];
    return first === '' && others.length === 0;
  };

  const reply = (codec: Codec, outcome: Outcome, status = 200): MountAnswer => ({
    status,
    fields: typeField(codec),
    body: codec.write(envelopes[envelope](outcome)),
    ...(outcome.guessed === true && { guessed: true }),
  });

  return {
    api: kind,
    path,
    claims(form) {
      // By any method that could do something: a server behind the gate may know the same paths.
      if (methodOf(form) !== null && form.method !== 'OPTIONS') return 'yes';
      return form.websocket && isSocket(form) ? 'yes' : 'no';
    },
    claimsForm: () => false,

    async answer(request) {
      let codec = json;
      const outcome = await outcomeOf(parts, async () => {
        codec = codecOf(request.form);
        return answerCall(parts, request, codec, methodOf(request.form) ?? '');
      });
      return reply(codec, outcome);
    },

    connect: connector({ parts, envelope, isHere: isSocket }, (outcome, status) => reply(json, outcome, status)),
  };
}

/** Who is asked first, then what: nobody has to be read a body who may not call. */
async function answerCall(parts: ApiParts, request: MountRequest, codec: Codec, name: string): Promise<Outcome> {
  if (request.form.method !== 'POST' && request.form.method !== 'GET') throw new Failure(405);
  if (!methods.has(name)) throw new Failure(404);
  const presented = presentedBy(request);
  const identified = await identify(parts, presented);
  if (identified.kind === 'unavailable') throw new Failure(503);
  if (identified.kind === 'nobody') return refused(presented);
  const values = await valuesOf(request, codec);
  return callMethod(parts, identified.manager, request.client, name, values);
}

/** An array is the arguments, any other value is one, and an empty body is none; a query is one object. */
async function valuesOf({ form, body }: MountRequest, codec: Codec): Promise<readonly Said[]> {
  const bytes = carriesBody(form.framing) ? await body(bodyLimit) : new Uint8Array();
  if (bytes === 'too_large') throw new Failure(413);
  if (form.method === 'GET') {
    if (bytes.length > 0) throw new Failure(400);
    return queryValues(form.target.query ?? '');
  }
  if (bytes.length === 0) return [];
  const said = codec.read(bytes);
  return isList(said) ? said : [said];
}

/** Clients add it to every URL. It is no argument. */
const localeParameter = 'locale';

function queryValues(query: string): readonly Said[] {
  const members = new Map<string, string>();
  for (const pair of queryPairs(query)) {
    const name = decodeParameter(pair.name);
    const value = decodeParameter(pair.value);
    // Servers differ in which of two they take, and in what brackets mean.
    if (name === null || value === null || name === '' || name === '__proto__' || members.has(name)) {
      throw new Failure(400);
    }
    members.set(name, value);
  }
  members.delete(localeParameter);
  return members.size === 0 ? [] : [Object.fromEntries(members)];
}
