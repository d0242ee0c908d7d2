import { readUtf8 } from '../core/body-text.ts';
import { type Denial, deny } from '../core/decision.ts';
import type { Form } from '../core/form.ts';
import { type Media, mediaOf } from '../core/media.ts';
import { type BodyReading, noBody } from '../core/parameters.ts';
import type { Route } from '../core/route.ts';
import { readStrictJson } from '../core/strict-json.ts';
import type { BodyFault } from '../ports/exchange.ts';
import type { Asked } from './judge.ts';

/** A body that rules may read, or why it cannot be. */
export type Inspection =
  | { readonly kind: 'read'; readonly body: BodyReading }
  | { readonly kind: 'refused'; readonly denial: Denial };

/** Most values in a JSON body, those within one another counted each: they take work and memory that bytes do not tell. */
export const mostValues = 10_000;

const read = (body: BodyReading): Inspection => ({ kind: 'read', body });
const refused = (denial: Denial): Inspection => ({ kind: 'refused', denial });
const unsupported = (detail: string): Inspection => refused(deny('unsupported_media', detail));

/**
 * Reads a body as far as the route takes it, and understands it strictly: what two readers could understand differently
 * is refused. It is forwarded as it came. What cannot be taken whatever it holds is refused before it is asked for.
 */
export async function inspect(asked: Asked, form: Form, { inspectBody, maxBody }: Route): Promise<Inspection> {
  const media = mediaOf(form);
  if (media === null)
    return unsupported(
      'The body has to be urlencoded or JSON, in UTF-8, with no parameter but a charset, and not encoded otherwise.',
    );
  const limit = Math.min(inspectBody ?? 0, maxBody ?? Number.POSITIVE_INFINITY);
  if (form.framing.kind === 'length' && form.framing.length > limit) return refused(tooLarge(limit));
  if (form.expectsContinue) asked.writeContinue();
  try {
    return understood(await asked.readBody(limit), media);
  } catch (error) {
    const denial = bodyDenial(error, limit);
    if (denial === null) throw error;
    return refused(denial);
  }
}

const tooLarge = (limit: number): Denial => deny('body_too_large', `The body is over ${limit} bytes.`);

/** What became of the body on its way; null when it is no fault of the client's. `limit`: where there is one to be told. */
export function bodyDenial(error: unknown, limit = 0): Denial | null {
  const kind = (error as Partial<BodyFault> | null)?.bodyFault;
  switch (kind) {
    case undefined:
      return null;
    case 'large':
      return tooLarge(limit);
    case 'slow':
      return deny('request_timeout', 'The body came too slowly.');
    // Nobody is left to be told, unless it is the log.
    case 'gone':
    case 'malformed':
      return deny('malformed_request', 'The body is not framed as its head says.');
  }
}

function understood(bytes: Uint8Array, media: Media): Inspection {
  if (bytes.length === 0) return read(noBody);
  const text = readUtf8(bytes);
  if (text === null) return unsupported('The body is not UTF-8.');
  if (text.startsWith('\ufeff')) return unsupported('The body begins with a byte order mark.');
  if (media === 'form') {
    // Attack: servers that look at the body rather than at its type would read JSON here, with other parameters.
    return /^\s*[[{"]/.test(text) ? unsupported('The body is not urlencoded.') : read({ kind: 'form', text });
  }
  const reading = readStrictJson(text, mostValues);
  if (!reading.ok) {
    const { why, line, column, tooMany } = reading;
    if (tooMany) return refused(deny('body_too_large', `The body has more than ${mostValues} values.`));
    return unsupported(`The body is not taken as JSON: line ${line}, column ${column}: ${why}.`);
  }
  const [first] = reading.refused;
  if (first !== undefined) return unsupported(`The body is not taken as JSON: a value in it ${first.detail}.`);
  return read({ kind: 'json', value: reading.value });
}
