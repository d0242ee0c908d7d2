import { hash } from 'node:crypto';
import type { Fields } from '../core/fields.ts';

/** What every key is joined with (RFC 6455 1.3). */
const suffix = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** The fields of a 101 that takes a WebSocket handshake; `more` are those that are the protocol's own. */
export const acceptFields = (key: string, more: Fields): Fields => [
  'Upgrade',
  'websocket',
  'Connection',
  'Upgrade',
  'Sec-WebSocket-Accept',
  hash('sha1', key + suffix, 'base64'),
  ...more,
];
