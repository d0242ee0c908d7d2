import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import type { Fields } from '../core/fields.ts';
import type { MessageHead } from '../core/form.ts';
import type { BodyFaultKind, Connection, Exchange, WholeAnswer } from '../ports/exchange.ts';
import { endSoon, headText, linger, reset } from '../wire/connection.ts';
import type { EarlyBytes } from '../wire/early-bytes.ts';
import { BodyStream, gather, RequestBodyFault, replay } from './body.ts';

/** Most of a refused request's body that is read so that the connection, or at least the answer, survives. */
const drainBytes = 64 * 1024;

/** Most bytes of a body that is copied so that it and its head are one write. */
const oneWriteBytes = 16 * 1024;

/** Milliseconds that a client has to take what was sent before a broken-off connection is cut. */
const abortGraceMs = 30_000;

export interface HttpExchangeParts {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly connection: Connection;
  readonly arrivedAt: number;
  readonly bodyTimeoutMs: number;
  /** What an upgrading client sends before it is answered; null for other requests. */
  readonly early: EarlyBytes | null;
}

/** An exchange on Node's HTTP server. One for requests, upgrades and CONNECT alike. */
export class HttpExchange implements Exchange {
  readonly head: MessageHead;
  readonly connection: Connection;
  readonly arrivedAt: number;
  bytesOut = 0;

  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #socket: Socket;
  readonly #bodyTimeoutMs: number;
  readonly #early: EarlyBytes | null;
  #body: BodyStream | null = null;
  /** The body, once it was read whole. */
  #whole: Uint8Array | null = null;
  /** What it is read from. */
  #reading: BodyStream | null = null;
  #continued = false;
  #bodyFault: BodyFaultKind | null = null;
  #answered = false;
  #flushed = false;
  /** `Content-Length` of a streamed answer. */
  #length: number | null = null;
  /** The whole of a short body, held until the answer ends, which is in the same turn. */
  #held: Buffer | null = null;
  /** The answer's end can be seen without the end of the connection. */
  #framed = true;
  #closed = false;
  #complete = false;
  #onClose: ((complete: boolean) => void) | null = null;

  constructor({ request, response, connection, arrivedAt, bodyTimeoutMs, early }: HttpExchangeParts) {
    this.#request = request;
    this.#response = response;
    this.#socket = request.socket;
    this.#bodyTimeoutMs = bodyTimeoutMs;
    this.#early = early;
    this.connection = connection;
    this.arrivedAt = arrivedAt;
    this.head = headOf(request);
    response.on('close', () => this.#close(response.writableFinished));
    // A write to a client that has gone is reported by 'close'; without a listener it would end the process.
    response.on('error', () => {});
  }

  get answered(): boolean {
    return this.#answered || this.#closed;
  }

  get upgradable(): boolean {
    return this.#early !== null;
  }

  get bytesIn(): number {
    return this.#body?.bytesRead ?? 0;
  }

  /** The request's framing broke after its head: no more of it can be read. */
  breakRequest(): void {
    this.#bodyFault = 'malformed';
    if (this.#closed) endSoon(this.#socket);
    else if (this.#answered) this.abort();
    else this.#body?.destroy(new RequestBodyFault('malformed'));
  }

  /**
   * The client has closed its side. An answer that is on its way whole may still arrive; anything else is broken off
   * now: Node would wait until what was relayed so far is taken, which a client that does not read never does.
   */
  clientEnded(): void {
    if (this.upgradable) return;
    if (!this.#response.writableEnded) this.#socket.destroy();
    else setTimeout(() => this.#socket.destroy(), abortGraceMs).unref();
  }

  async readBody(limit: number): Promise<Uint8Array> {
    if (this.#whole !== null) {
      if (this.#whole.length > limit) throw new RequestBodyFault('large');
      return this.#whole;
    }
    // The client may have gone while its token was looked up: no event will say so any more.
    if (this.answered) throw new RequestBodyFault('gone');
    this.#reading = this.#stream(limit);
    this.#whole = await gather(this.#reading);
    return this.#whole;
  }

  async readShortBody(most: number): Promise<Uint8Array | null> {
    if (this.#whole !== null) return this.#whole.length > most ? null : this.#whole;
    if (this.answered) throw new RequestBodyFault('gone');
    this.#reading = this.#stream(null);
    this.#whole = await gather(this.#reading, most);
    return this.#whole;
  }

  body(limit: number | null): Readable {
    if (this.#whole === null) return this.#stream(limit);
    const again = replay(this.#whole);
    // It was read under another bound than the one that holds now.
    return limit !== null && this.#whole.length > limit ? again.destroy(new RequestBodyFault('large')) : again;
  }

  #stream(limit: number | null): BodyStream {
    this.#body = new BodyStream(this.#request, limit, this.#bodyTimeoutMs);
    if (this.#bodyFault !== null) this.#body.destroy(new RequestBodyFault(this.#bodyFault));
    return this.#body;
  }

  writeContinue(): void {
    if (this.answered || this.#continued) return;
    this.#continued = true;
    this.#response.writeContinue();
  }

  writeInformation(status: number, fields: Fields): void {
    if (!this.answered) this.#response.writeInformation(status, [...fields]);
  }

  answer({ status, fields, body, close }: WholeAnswer): void {
    if (this.answered) return;
    this.#answered = true;
    const response = this.#response;
    const unread = this.#unread();
    // A short body is read to its end, and the connection goes on. Anything else is not waited for.
    const shut = close || this.upgradable || (unread && !this.#isShort());
    // Bytes: with text Node would write the head in the text's encoding, and fields may hold others than ASCII.
    const bytes = typeof body === 'string' ? Buffer.from(body) : body;
    const { length } = bytes;
    const list = status === 204 ? [...fields] : [...fields, 'Content-Length', String(length)];
    if (shut) list.push('Connection', 'close');
    response.writeHead(status, list);
    const silent = this.#request.method === 'HEAD' || length === 0;
    if (!silent) this.bytesOut = length;
    // Whoever read the body reads no more of it.
    this.#body?.destroy();
    if (!unread || !shut) {
      response.end(bytes);
      if (unread) this.#request.resume();
      if (this.#socket.writableLength > 0) this.#boundFlush();
      return;
    }
    // The whole answer goes out first; then what the client is still sending is swallowed for a moment, because a
    // connection closed over unread bytes is reset, and the reset would overtake the answer.
    if (silent) response.flushHeaders();
    else response.write(bytes);
    linger(this.#request, this.#bodyFault === null ? drainBytes : 0, () => response.end());
  }

  /** A client that takes none of our answers must not hold its connection with that. */
  #boundFlush(): void {
    const timer = setTimeout(() => this.#socket.destroy(), this.#bodyTimeoutMs || abortGraceMs).unref();
    this.#response.once('close', () => clearTimeout(timer));
  }

  start(status: number, reason: string, fields: Fields, close: boolean): void {
    const list = close || this.upgradable ? [...fields, 'Connection', 'close'] : (fields as string[]);
    this.#response.writeHead(status, reason, list);
    this.#answered = true;
    this.#length = lengthOf(fields);
    this.#framed = this.head.version !== '1.0' || this.#length !== null;
    // The first piece of the body mostly comes in the same turn, and shares a packet with the head; if not, the head
    // goes alone, because the client may wait for it.
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    if (this.#flushed || this.#closed) return;
    this.#flushed = true;
    if (this.#held === null) this.#response.flushHeaders();
    else this.#response.write(this.#held);
    this.#held = null;
  };

  write(chunk: Uint8Array): boolean {
    if (this.#closed) return true;
    this.bytesOut += chunk.length;
    if (!this.#flushed && chunk.length === this.#length && chunk.length <= oneWriteBytes) {
      this.#held = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
      return true;
    }
    this.#flushed = true;
    return this.#response.write(chunk);
  }

  /** The response has no such event once Node has let go of the connection, as with an upgrade. */
  onDrain(resume: () => void): void {
    this.#socket.once('drain', resume);
  }

  end(): void {
    if (this.#closed) return;
    this.#flushed = true;
    // As text in the head's own encoding, which keeps every byte, Node joins the two.
    if (this.#held === null) this.#response.end();
    else this.#response.end(this.#held.toString('latin1'), 'latin1');
    this.#held = null;
    // An answer that came before the request was whole: the rest is read within a bound, or the connection ends.
    if (this.#unread()) {
      this.#body?.destroy();
      linger(this.#request, drainBytes, () => {
        if (!this.#request.complete) endSoon(this.#socket);
      });
    }
  }

  abort(now = false): void {
    if (this.#closed) return;
    if (this.#held !== null) this.#flush();
    this.#answered = true;
    const socket = this.#socket;
    if (now) {
      reset(socket);
      return;
    }
    // What was relayed still goes out. Where only the end of the connection tells the end of the message, an orderly
    // end would make the broken message look whole: reset instead.
    if (this.#framed) socket.destroySoon();
    else if (socket.writableLength === 0) reset(socket);
    else socket.once('drain', () => reset(socket));
    setTimeout(() => socket.destroy(), abortGraceMs).unref();
  }

  switchProtocols(fields: Fields): { socket: Duplex; head: Uint8Array } {
    if (this.#early === null) throw new Error('this connection cannot be switched');
    const text = headText(101, 'Switching Protocols', fields);
    this.#answered = true;
    const head = this.#early.take();
    this.#response.detachSocket(this.#socket);
    this.#socket.write(text, 'latin1');
    return { socket: this.#socket, head };
  }

  onClose(listener: (complete: boolean) => void): void {
    if (this.#closed) listener(this.#complete);
    else this.#onClose = listener;
  }

  #close(complete: boolean): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#complete = complete;
    this.#reading?.destroy(new RequestBodyFault('gone'));
    this.#onClose?.(complete);
  }

  /** Some of the request is still to come, or to be read. */
  #unread(): boolean {
    const { headers, complete } = this.#request;
    if (complete || this.upgradable) return false;
    return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
  }

  #isShort(): boolean {
    const { headers } = this.#request;
    if (this.#bodyFault !== null || headers.expect !== undefined) return false;
    return headers['content-length'] !== undefined && Number(headers['content-length']) <= drainBytes;
  }
}

export const headOf = (request: IncomingMessage): MessageHead => ({
  method: request.method ?? '',
  target: request.url ?? '',
  version: request.httpVersion,
  fields: request.rawHeaders,
});

function lengthOf(fields: Fields): number | null {
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i]!.length === 14 && fields[i]!.toLowerCase() === 'content-length') return Number(fields[i + 1]);
  }
  return null;
}
