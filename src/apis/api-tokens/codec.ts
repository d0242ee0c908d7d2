import { type Fields, single } from '../../core/fields.ts';
import type { Form } from '../../core/form.ts';
import type { Json } from '../../core/token.ts';
import { Failure } from './envelope.ts';
import { readMsgpack, writeMsgpack } from './msgpack.ts';
import { readJson, type Said, writeJson } from './said.ts';

/** How values are written. An answer is written as its request is. */
export interface Codec {
  readonly type: string;
  read(bytes: Uint8Array): Said;
  write(value: Json): string | Uint8Array;
}

export const json: Codec = { type: 'application/json', read: readJson, write: writeJson };
export const msgpack: Codec = { type: 'application/msgpack', read: readMsgpack, write: writeMsgpack };

/** The codec of a request, by its type; JSON where there is none. Refuses others with 415, and bodies that are encoded. */
export function codecOf({ fields, names }: Form): Codec {
  if (single(fields, names, 'content-encoding') !== undefined) throw new Failure(415);
  const said = single(fields, names, 'content-type');
  if (said === undefined) return json;
  const [type = '', ...parameters] = (said ?? '').split(';').map(part => part.trim().toLowerCase());
  const isPlain = parameters.every(parameter => parameter === '' || /^charset="?utf-8"?$/.test(parameter));
  const codec = [json, msgpack].find(each => each.type === type);
  if (codec === undefined || !isPlain) throw new Failure(415);
  return codec;
}

/** Named exactly: clients compare it as text. */
export const typeField = (codec: Codec): Fields => ['Content-Type', codec.type];
