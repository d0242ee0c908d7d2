import { type BodyReading, Parameters } from '../../core/parameters.ts';

/**
 * Whether some server could take a request's `cmd` for one of this API. Attack: what goes on to the routes and is one for
 * the system behind them would make tokens there, by rules that are not ours. So a `cmd` that can be read in two ways is
 * kept here as well, and refused, if one of them could be ours.
 */
export function isOurs(query: string | null, body: BodyReading): boolean {
  const reading = new Parameters(query, body).read('cmd');
  switch (reading.kind) {
    case 'value':
      return readings(reading.value).some(text => beginning.test(text));
    case 'absent':
      return false;
    default: {
      const texts = body.kind === 'form' ? [query ?? '', body.text] : [query ?? ''];
      return texts.some(text => readings(text).some(decoded => anywhere.test(decoded)));
    }
  }
}

/** `access.` and what careless servers could make of it: other case, white space, other separators. */
const beginning = /^[\p{C}\p{Z}]*access(?![a-z0-9_-])/u;
const anywhere = /access(?![a-z0-9_-])/;

/** A text as it stands, decoded once, and once more: two servers behind one another do that. */
const readings = (text: string): readonly string[] => {
  const once = decodeLoosely(text);
  return [text, once, decodeLoosely(once)].map(each => each.normalize('NFKC').toLowerCase());
};

/** Percent-decoding that takes everything. */
const decodeLoosely = (text: string): string =>
  text
    .replaceAll('+', ' ')
    .replace(/(?:%[0-9a-f]{2})+/gi, bytes => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString('utf8'));
