/** Names that HTTP defines, and what Postern does with them. */

const tokenForm = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** A token of RFC 9110 5.6.2: methods, schemes, names of fields and cookies. */
export const isToken = (text: string): boolean => tokenForm.test(text);

/** Methods that reach no route: they are for proxies, and answered with 405. */
const refusedMethods = ['CONNECT', 'TRACE'];

export function methodFault(text: string): string | null {
  if (!isToken(text)) return 'is no method';
  if (refusedMethods.includes(text.toUpperCase())) return 'is never forwarded';
  return text === text.toUpperCase() ? null : 'is not in upper case';
}

/** Fields that frame or route a message, or that Postern sets itself. Lower case; a final `-` is a beginning. */
const ownFields = [
  'host',
  'content-length',
  'transfer-encoding',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'upgrade',
  'expect',
  'proxy-',
  'forwarded',
  'x-forwarded-',
  'x-real-ip',
  'x-request-id',
  'via',
  'traceparent',
  'tracestate',
];

/** Fields with a meaning that is no credential. */
const otherFields = [
  'accept',
  'accept-',
  'access-control-',
  'cache-control',
  'content-',
  'date',
  'if-',
  'origin',
  'range',
  'referer',
  'sec-',
  'set-cookie',
  'user-agent',
];

const isListed = (name: string, list: readonly string[]): boolean =>
  list.some(entry => (entry.endsWith('-') ? name.startsWith(entry) : name === entry));

/** What is wrong with a header as the place of a token. */
export function credentialFieldFault(text: string): string | null {
  const name = text.toLowerCase();
  if (!isToken(name)) return 'is no field name';
  if (name === 'cookie') return 'is written as { cookie: NAME }';
  if (name === 'sec-websocket-protocol') return 'is written as { websocket_protocol: PREFIX }';
  return isListed(name, ownFields) || isListed(name, otherFields) ? 'is a field with a meaning of its own' : null;
}

/** What is wrong with a client's field that is to be forwarded although it would be dropped. */
export function forwardFieldFault(text: string): string | null {
  if (text.includes('*')) return 'has a *, which is no wildcard here';
  if (!isToken(text)) return 'is no field name';
  return isListed(text.toLowerCase(), ownFields) ? 'is never taken over from a client' : null;
}

/** What is wrong with the beginning of the names of identity fields: all that begin so are cut from requests. */
export function identityPrefixFault(text: string): string | null {
  const prefix = text.toLowerCase();
  if (!/^[a-z][a-z0-9-]{0,38}[a-z0-9]-$/.test(prefix)) return 'is no beginning of a field name';
  const known = [...ownFields, ...otherFields, 'authorization', 'cookie', 'x-http-method-override'];
  return known.some(name => name.startsWith(prefix) || (name.endsWith('-') && prefix.startsWith(name)))
    ? 'is how fields with a meaning of their own begin'
    : null;
}
