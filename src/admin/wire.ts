import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Fields } from '../core/fields.ts';
import type { Code } from '../errors.ts';
import type { Answer } from './answer.ts';

/** Bytes beneath our small listeners: fields of an answer, answers past the parser, and ends of connections. */

/** Fields that every answer has. */
export function answerFields({ status, fields, body }: Answer, requestId: string, close: boolean): string[] {
  const list = [...fields, 'Cache-Control', 'no-store', 'X-Request-Id', requestId, 'X-Content-Type-Options', 'nosniff'];
  if (body !== null) list.push('Content-Length', String(Buffer.byteLength(body)));
  else if (status !== 204 && status !== 304) list.push('Content-Length', '0');
  if (close) list.push('Connection', 'close');
  return list;
}

/** Writes an answer to a connection whose parser has given up, and ends it. */
export function answerRaw(socket: Socket, status: number, fields: Fields, body: string): void {
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Error'}\r\n`;
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`;
  socket.write(`${head}\r\n${body}`);
  endSoon(socket);
}

/** Our end first, the rest a moment later: the reset that unread bytes cause must not overtake the answer. */
export function endSoon(socket: Socket): void {
  socket.end();
  setTimeout(() => socket.destroy(), 500).unref();
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
  const timer = setTimeout(finish, bytes > 0 ? 2000 : 200).unref();
  message.on('data', onData);
  message.once('end', finish);
  message.once('close', finish);
  message.resume();
}

type ParserCode = Extract<Code, 'malformed_request' | 'head_too_large' | 'request_timeout' | 'version_not_supported'>;

/** The code for what the parser gave up on; null when the client has gone and there is nobody to answer. */
export function refusalFor(error: NodeJS.ErrnoException & { reason?: string }): ParserCode | null {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return 'head_too_large';
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return 'request_timeout';
    case 'HPE_PAUSED_H2_UPGRADE':
      return 'version_not_supported';
    case 'HPE_INVALID_VERSION':
      return error.reason === 'Expected CRLF after version' ? 'malformed_request' : 'version_not_supported';
    case 'HPE_INVALID_EOF_STATE':
      return null;
    default:
      return error.code?.startsWith('HPE_') ? 'malformed_request' : null;
  }
}
