import { single } from './fields.ts';
import type { Form } from './form.ts';

/** The key of an opening handshake that we answer ourselves (RFC 6455 4.2.1); null when it cannot be answered. */
export function handshakeKey({ fields, names }: Form): string | null {
  const key = single(fields, names, 'sec-websocket-key') ?? '';
  const isKey = /^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key);
  return isKey && single(fields, names, 'sec-websocket-version') === '13' ? key : null;
}
