import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Fields } from '../core/fields.ts';

/** Bytes on a connection beside or behind Node's HTTP server: answers past its parser, and orderly ends. */

const forbidden = /[\0\r\n]/;

/** Status line and fields, ready to be written as latin1. Throws on a field that would break out of its line. */
export function headText(status: number, reason: string, fields: Fields): string {
  let text = `HTTP/1.1 ${status} ${reason}\r\n`;
  for (let i = 0; i < fields.length; i += 2) {
    if (forbidden.test(fields[i]!) || forbidden.test(fields[i + 1]!)) throw new Error('a field has CR, LF or NUL');
    text += `${fields[i]}: ${fields[i + 1]}\r\n`;
  }
  return `${text}\r\n`;
}

/** Writes an answer to a connection whose parser has given up, and ends it. `fields` say how long the body is. */
export function answerRaw(socket: Socket, status: number, fields: Fields, body: string | Uint8Array): void {
  socket.write(headText(status, STATUS_CODES[status] ?? 'Error', fields), 'latin1');
  socket.write(body);
  endSoon(socket);
}

/**
 * Ends a connection that may hold bytes we shall never read: first our end, and the rest a moment later, so that the
 * reset that unread bytes cause does not overtake the answer.
 */
export function endSoon(socket: Socket): void {
  socket.end();
  setTimeout(() => socket.destroy(), 500).unref();
}

/** Ends a connection with a reset. Under TLS only the connection beneath can be: Node keeps it as `_parent`. */
export function reset(socket: Socket): void {
  const { _parent: beneath } = socket as Socket & { readonly _parent?: Socket | null };
  (beneath ?? socket).resetAndDestroy();
}

/** Swallows the rest of a message, up to `bytes` and two seconds, then calls `done` once. */
export function linger(message: IncomingMessage, bytes: number, done: () => void): void {
  let left = bytes;
  const finish = (): void => {
    clearTimeout(timer);
    message.off('data', onData);
    message.off('end', finish);
    message.off('close', finish);
    done();
  };
  const onData = (piece: Buffer): void => {
    left -= piece.length;
    if (left < 0) finish();
  };
  // With nothing to swallow there is nothing to wait for but the answer's arrival.
  const timer = setTimeout(finish, bytes > 0 ? 2000 : 200).unref();
  message.on('data', onData);
  message.once('end', finish);
  message.once('close', finish);
  message.resume();
}

/** IPv4-mapped IPv6 is written as IPv4, so that one address has one spelling. */
export const plainAddress = (address = ''): string => (address.startsWith('::ffff:') ? address.slice(7) : address);
