import { randomUUIDv7 } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Fields } from '../core/fields.ts';
import { type Form, type FormCode, headLimits, readForm } from '../core/form.ts';
import { codes } from '../errors.ts';
import type { Log } from '../ports/log.ts';
import type { Mount } from '../ports/mount.ts';
import { answerRaw, endSoon, headText, linger } from '../wire/connection.ts';
import { EarlyBytes } from '../wire/early-bytes.ts';
import { MountConnections } from '../wire/mount-connections.ts';
import { type ParserError, parserRefusal, type TlsMaterial, tlsSettings } from '../wire/server.ts';
import { type Answer, answerFields, answerTo, problemAnswer } from './answer.ts';
import { ClientGone, Incoming } from './incoming.ts';

/** Node's HTTP server for our small listeners: hardened, answering everything itself, each answer written whole. */
export interface ServerOptions {
  /** Undefined: every address family. */
  readonly host: string | undefined;
  readonly port: number;
  readonly tls: TlsMaterial | null;
  /** Longest time until a request's head is complete; 10 seconds by default. */
  readonly headTimeoutMs?: number;
  /** Longest time until a request is complete; 30 seconds by default. */
  readonly requestTimeoutMs?: number;
  /** Longest time that a client may take to read an answer; 30 seconds by default. */
  readonly writeTimeoutMs?: number;
}

export interface ServerEvents {
  /** Answers a request. What it rejects with is answered here. */
  onRequest(incoming: Incoming): Promise<Answer>;
  /** Whether an offer to switch protocols may be taken. By default it is declined by answering the request. */
  takesUpgrade?(form: Form): boolean;
  /** An answer was given; what never became a request is answered too. */
  onAnswered?(status: number): void;
}

/** A request under way. */
interface Exchange {
  readonly request: http.IncomingMessage;
  readonly response: http.ServerResponse;
  readonly requestId: string;
  incoming: Incoming | null;
  /** What a client that offers to switch protocols has sent already; null where that cannot be. */
  readonly early: EarlyBytes | null;
  /** What broke while it waited for its turn. */
  broken: FormCode | null;
  /** Nothing that follows on the connection can be understood. */
  last: boolean;
}

/** Most connections. For one more, the oldest that has nothing under way makes room: a probe always gets through. */
const mostConnections = 1000;

/** How long connections that are closing have to come to an end. */
const closeGraceMs = 5000;

/** Most of a body that nobody reads which is swallowed, so that the answer arrives. */
const swallowBytes = 64 * 1024;

export class Server {
  readonly #server: http.Server | https.Server;
  readonly #options: ServerOptions;
  readonly #events: ServerEvents;
  readonly #log: Log;
  readonly #sockets = new Set<Socket>();
  /** Requests of a connection that are not answered yet, oldest first. */
  readonly #open = new WeakMap<Socket, Exchange[]>();
  readonly #connections = new MountConnections();
  #closing = false;

  constructor(options: ServerOptions, events: ServerEvents, log: Log) {
    this.#options = options;
    this.#events = events;
    this.#log = log;
    const { tls, headTimeoutMs = 10_000, requestTimeoutMs = 30_000 } = options;
    const settings: http.ServerOptions = {
      maxHeaderSize: headLimits.bytes,
      headersTimeout: headTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: Math.max(50, Math.min(1000, Math.floor(headTimeoutMs / 4))),
      keepAliveTimeout: 60_000,
      requireHostHeader: false,
      insecureHTTPParser: false,
      noDelay: true,
      shouldUpgradeCallback: request => this.#takesUpgrade(request),
    };
    this.#server =
      tls === null
        ? http.createServer(settings)
        : https.createServer({ ...settings, ...tlsSettings(tls), handshakeTimeout: headTimeoutMs });
    // Beyond a limit of its own Node drops fields in silence: the form of a request counts them.
    this.#server.maxHeadersCount = 0;
    this.#wire();
  }

  /** Starts listening; resolves with the port. */
  listen(): Promise<number> {
    const { host, port } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host }, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Those of them that token APIs have taken over. */
  get mounted(): number {
    return this.#connections.size;
  }

  /** New certificates for connections to come. */
  renewTls(tls: TlsMaterial): void {
    if (this.#server instanceof https.Server) this.#server.setSecureContext(tlsSettings(tls));
  }

  /** Ends connections that token APIs have taken over, but for those whose mount is kept. */
  endConnections(kept: readonly Mount[]): void {
    this.#connections.close(kept);
  }

  /** Accepts nothing more, finishes what is under way within a bound, and resolves when every connection is gone. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#connections.close([]);
    for (const socket of this.#sockets) for (const { incoming } of this.#open.get(socket) ?? []) incoming?.endWait();
    const cut = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, closeGraceMs);
    await new Promise<void>(resolve => {
      if (!this.#server.listening) resolve();
      else this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
    clearTimeout(cut);
  }

  #wire(): void {
    const server = this.#server;
    const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void =>
      this.#arrive(request, response, null);
    server.on('request', onRequest);
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    const onReleased = (request: http.IncomingMessage, early: EarlyBytes | null): void => {
      const { socket } = request;
      // Node lets go of the socket here: an error that nobody hears would end the process.
      socket.on('error', () => {});
      const response = new http.ServerResponse(request);
      response.shouldKeepAlive = false;
      response.assignSocket(socket);
      response.once('finish', () => endSoon(socket));
      this.#arrive(request, response, early);
    };
    server.on('connect', (request: http.IncomingMessage) => onReleased(request, null));
    server.on('upgrade', (request: http.IncomingMessage, _socket, head) => {
      request.socket.setTimeout(0);
      onReleased(request, new EarlyBytes(request.socket, head));
    });
    server.on('clientError', (error: ParserError, socket) => this.#unparsed(error, socket as Socket));
    server.on('connection', (socket: Socket) => {
      if (this.#sockets.size >= mostConnections) this.#makeRoom(socket);
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
  }

  /** Only where nothing else is under way on the connection, as Node lets go of it. */
  #takesUpgrade({ method = '', url = '', httpVersion, rawHeaders, socket }: http.IncomingMessage): boolean {
    if (this.#events.takesUpgrade === undefined || (this.#open.get(socket)?.length ?? 0) > 0) return false;
    const reading = readForm({ method, target: url, version: httpVersion, fields: rawHeaders });
    return reading.ok && this.#events.takesUpgrade(reading.form);
  }

  #makeRoom(newest: Socket): void {
    for (const socket of this.#sockets) {
      if ((this.#open.get(socket)?.length ?? 0) > 0) continue;
      this.#sockets.delete(socket);
      socket.destroy();
      return;
    }
    newest.destroy();
  }

  /** Pipelined requests are answered in turn. No more is read meanwhile: many small ones must not make many answers. */
  #arrive(request: http.IncomingMessage, response: http.ServerResponse, early: EarlyBytes | null): void {
    const exchange: Exchange = {
      request,
      response,
      requestId: randomUUIDv7(),
      incoming: null,
      early,
      broken: null,
      last: false,
    };
    const { socket } = request;
    const open = this.#open.get(socket) ?? [];
    this.#open.set(socket, open);
    open.push(exchange);
    // Writing to a client that has gone is no fault of ours; without a listener it would end the process.
    response.on('error', () => {});
    request.on('error', () => {});
    response.once('close', () => {
      open.splice(open.indexOf(exchange), 1);
      if (exchange.last) endSoon(socket);
      else if (socket.writable && open[0] !== undefined) this.#begin(open[0], open);
    });
    if (open.length === 1) this.#begin(exchange, open);
    else socket.pause();
  }

  #begin(exchange: Exchange, open: readonly Exchange[]): void {
    const { socket } = exchange.request;
    // The body of the newest one may still be on its way. Where others wait, the end of the one before has made Node
    // read on: a request more for each answer would be without a bound.
    if (open.length === 1) socket.resume();
    else socket.pause();
    void this.#answer(exchange).then(answer => this.#send(exchange, answer));
  }

  async #answer(exchange: Exchange): Promise<Answer | null> {
    const { request, response, requestId, early } = exchange;
    const { method = '', url = '', httpVersion, rawHeaders } = request;
    if (exchange.broken !== null) {
      return problemAnswer({ code: exchange.broken, detail: `${codes[exchange.broken].title}.` }, requestId);
    }
    const reading = readForm({ method, target: url, version: httpVersion, fields: rawHeaders });
    if (!reading.ok) {
      const { code, why } = reading.fault;
      return problemAnswer({ code, detail: `${why.charAt(0).toUpperCase()}${why.slice(1)}.` }, requestId);
    }
    exchange.incoming = new Incoming(request, response, reading.form, { requestId, upgradable: early !== null });
    if (this.#closing) exchange.incoming.endWait();
    try {
      return await this.#events.onRequest(exchange.incoming);
    } catch (error) {
      if (error instanceof ClientGone) return null;
      const answer = answerTo(error, requestId, method !== 'GET' && method !== 'HEAD');
      if (answer !== null) return answer;
      this.#log.error({ request_id: requestId }, 'a request to a listener of ours failed', error);
      return problemAnswer({ code: 'internal_error', detail: 'The request could not be handled.' }, requestId);
    }
  }

  #send(exchange: Exchange, answer: Answer | null): void {
    const { request, response, requestId } = exchange;
    if (answer === null || response.destroyed) {
      request.socket.destroy();
      return;
    }
    this.#events.onAnswered?.(answer.status);
    if (answer.connection !== undefined) {
      this.#switch(exchange, answer.fields, answer.connection);
      return;
    }
    const unread = !request.complete && hasBody(request);
    const close = answer.close === true || unread || exchange.last || exchange.early !== null || this.#closing;
    response.writeHead(answer.status, answerFields(answer, requestId, close));
    if (answer.stream !== undefined && request.method !== 'HEAD') {
      void this.#stream(exchange, answer.stream);
      return;
    }
    const cut = setTimeout(() => request.socket.destroy(), this.#options.writeTimeoutMs ?? 30_000).unref();
    response.once('close', () => clearTimeout(cut));
    const body = request.method === 'HEAD' ? null : answer.body;
    if (!unread) {
      response.end(body ?? undefined);
      return;
    }
    // A connection that is closed over unread bytes is reset, and the reset would overtake the answer.
    if (body === null) response.flushHeaders();
    else response.write(body);
    linger(request, exchange.last ? 0 : swallowBytes, () => response.end());
  }

  /** Hands the connection over. From here on it makes room for others like one that has nothing under way. */
  #switch(
    { request, response, requestId, early }: Exchange,
    fields: Fields,
    to: NonNullable<Answer['connection']>,
  ): void {
    const { socket } = request;
    if (early === null || this.#closing) {
      socket.destroy();
      return;
    }
    const head = early.take();
    response.detachSocket(socket);
    this.#open.delete(socket);
    socket.write(headText(101, 'Switching Protocols', [...fields, 'X-Request-Id', requestId]), 'latin1');
    this.#connections.run(to.mount, to.taken, socket, head).catch((error: unknown) => {
      this.#log.error({ request_id: requestId }, 'a connection of a token API failed', error);
    });
  }

  /** Piece by piece, no faster than the client reads. It must be able to tell a whole answer from one that broke. */
  async #stream({ request, response, requestId }: Exchange, pieces: AsyncIterable<string>): Promise<void> {
    try {
      for await (const piece of pieces) {
        if (!response.write(piece)) await this.#drained(response);
        if (response.destroyed) return;
      }
      response.end();
    } catch (error) {
      this.#log.error({ request_id: requestId }, 'an answer broke off', error);
      request.socket.destroy();
    }
  }

  /** Resolves when what was written has left, or the connection is gone: a client that reads nothing for long is cut. */
  #drained(response: http.ServerResponse): Promise<void> {
    // One that has gone already does not say so again.
    if (response.destroyed) return Promise.resolve();
    return new Promise(resolve => {
      const cut = setTimeout(() => response.destroy(), this.#options.writeTimeoutMs ?? 30_000);
      const done = (): void => {
        clearTimeout(cut);
        response.off('drain', done);
        response.off('close', done);
        resolve();
      };
      response.on('drain', done);
      response.on('close', done);
    });
  }

  /** The parser has given up, or waited for too long. */
  #unparsed(error: ParserError, socket: Socket): void {
    const [code] = parserRefusal(error) ?? [null];
    const silent = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
    if (code === null || silent || !socket.writable) {
      socket.destroy();
      return;
    }
    const newest = this.#open.get(socket)?.at(-1);
    if (newest === undefined) {
      const requestId = randomUUIDv7();
      const answer = problemAnswer({ code, detail: `${codes[code].title}.` }, requestId);
      this.#events.onAnswered?.(answer.status);
      answerRaw(socket, answer.status, answerFields(answer, requestId, true), answer.body ?? '');
      return;
    }
    // Behind whole requests, it ends the connection once they are answered. Within one, that one is refused.
    newest.last = true;
    if (newest.request.complete) return;
    if (newest.response.headersSent) endSoon(socket);
    else if (newest.incoming === null) newest.broken = code;
    else newest.incoming.breakOff(code, codes[code].title);
  }
}

const hasBody = ({ headers }: http.IncomingMessage): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
