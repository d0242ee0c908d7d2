import { type JsonBody, readJsonBody as readJson } from '../core/body-text.ts';
import { single } from '../core/fields.ts';
import { Refusal } from '../errors.ts';
import type { Incoming } from './incoming.ts';

/** Most bytes of a body. */
export const bodyLimit = 1024 * 1024;

export const jsonType = 'application/json';
export const mergeType = 'application/merge-patch+json';

type ReadBody = Extract<JsonBody, { readonly ok: true }>;

/** Reads a body of one of these media types; null when the request has none. */
export async function readJsonBody(incoming: Incoming, types: readonly string[]): Promise<ReadBody | null> {
  if (!incoming.hasBody) return null;
  const { fields, names } = incoming.form;
  const type = single(fields, names, 'content-type');
  // Browsers send these types only after asking; what they send unasked (forms, text) is not looked at.
  if (type == null || !isType(type, types)) throw unsupported(`The body has to be ${types.join(' or ')}, in UTF-8.`);
  if (names.includes('content-encoding')) throw unsupported('The body must not be encoded.');
  const bytes = await incoming.body(bodyLimit);
  if (bytes.length === 0) return null;
  const read = readJson(bytes);
  if (!read.ok) throw new Refusal('invalid_body', read.why);
  return read;
}

const unsupported = (detail: string): Refusal => new Refusal('unsupported_media', detail);

function isType(field: string, types: readonly string[]): boolean {
  const [type = '', ...parameters] = field.split(';');
  if (!types.includes(type.trim().toLowerCase())) return false;
  return parameters.every(parameter => {
    const [name = '', value = ''] = parameter.trim().split('=');
    return name.trim().toLowerCase() !== 'charset' || /^"?utf-8"?$/i.test(value.trim());
  });
}
