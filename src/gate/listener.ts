import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type FormCode, headLimits, readForm } from '../core/form.ts';
import type { Clock } from '../ports/clock.ts';
import type { Connection, WholeAnswer } from '../ports/exchange.ts';
import { answerRaw, endSoon, plainAddress } from '../wire/connection.ts';
import { EarlyBytes } from '../wire/early-bytes.ts';
import { type ParserError, parserRefusal, type TlsMaterial, tlsSettings } from '../wire/server.ts';
import { HttpExchange, headOf } from './http-exchange.ts';

/**
 * The proxy listener: Node's HTTP server with everything that it would answer, repair or hide by itself taken away. It
 * makes exchanges, hands them on one at a time per connection, and maps what the parser refuses to codes of ours.
 */
export interface ListenerOptions {
  /** Undefined: every address family. */
  readonly host: string | undefined;
  readonly port: number;
  readonly tls: TlsMaterial | null;
  readonly headTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly keepAliveMs: number;
  readonly maxConnections: number;
  /** Other processes may listen at the same place; the system divides connections among them. */
  readonly reusePort: boolean;
}

export interface ListenerEvents {
  onExchange(exchange: HttpExchange): void;
  /** Something came in that never became a request. Returns the answer to write. */
  onUnparsed(code: FormCode, why: string, connection: Connection, arrivedAt: number): WholeAnswer & { body: string };
}

/** What we know of a socket beside what Node does. */
interface Line {
  readonly connection: Connection;
  /** Whose turn it is to be answered; null between two. */
  active: HttpExchange | null;
  /** The one whose turn came last. */
  latest: HttpExchange | null;
  /** The request that the parser gave last: when it gives up, the fault is in this one's body, or behind it. */
  parsed: http.IncomingMessage | null;
  /** A request whose body the parser gave up in before its turn came. */
  broken: http.IncomingMessage | null;
  /** Starts of exchanges that were pipelined behind the active one. */
  readonly waiting: (() => void)[];
  /** The parser gave up behind the exchanges under way: what to do once they are over. */
  afterwards: (() => void) | null;
}

/** What Node's server is told. What it makes of bytes under these settings is pinned by a test of its own. */
export const serverSettings = ({ headTimeoutMs, keepAliveMs }: ListenerOptions): http.ServerOptions => ({
  maxHeaderSize: headLimits.bytes,
  headersTimeout: headTimeoutMs,
  // The body has a clock of its own, which stands still while the upstream is the slow one.
  requestTimeout: 0,
  connectionsCheckingInterval: Math.max(50, Math.min(1000, Math.floor(headTimeoutMs / 4))),
  keepAliveTimeout: keepAliveMs,
  requireHostHeader: false,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: 60_000,
  insecureHTTPParser: false,
  optimizeEmptyRequests: true,
});

/** Zero is "no limit": beyond a limit of its own Node drops fields in silence, and they would never be judged. */
export const maxHeadersCount = 0;

export class ProxyListener {
  readonly #server: http.Server | https.Server;
  readonly #options: ListenerOptions;
  readonly #events: ListenerEvents;
  readonly #clock: Clock;
  readonly #lines = new WeakMap<Socket, Line>();
  /** Requests whose offer to upgrade is not taken. */
  readonly #declined = new WeakSet<http.IncomingMessage>();
  readonly #sockets = new Set<Socket>();
  #rejected = 0;
  #failedHandshakes = 0;

  constructor(options: ListenerOptions, events: ListenerEvents, clock: Clock) {
    this.#options = options;
    this.#events = events;
    this.#clock = clock;
    const settings: http.ServerOptions = {
      ...serverSettings(options),
      shouldUpgradeCallback: request => this.#takesUpgrade(request),
    };
    const { tls } = options;
    this.#server =
      tls === null
        ? http.createServer(settings)
        : https.createServer({ ...settings, ...tlsSettings(tls), handshakeTimeout: options.headTimeoutMs });
    this.#server.maxConnections = options.maxConnections;
    this.#server.maxHeadersCount = maxHeadersCount;
    this.#wire();
  }

  /** Starts listening; resolves with the port. */
  listen(): Promise<number> {
    const { host, port, reusePort } = this.#options;
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen({ port, host, reusePort, backlog: 4096 }, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  /** New certificates for connections to come. */
  renewTls(tls: TlsMaterial): void {
    if (this.#server instanceof https.Server) this.#server.setSecureContext(tlsSettings(tls));
  }

  get connections(): number {
    return this.#sockets.size;
  }

  /** Connections turned away, by reason. */
  get rejected(): { readonly limit: number; readonly tls: number } {
    return { limit: this.#rejected, tls: this.#failedHandshakes };
  }

  get listening(): boolean {
    return this.#server.listening;
  }

  /** Accepts nothing more, ends idle connections; resolves when the last connection is gone. */
  close(): Promise<void> {
    return new Promise(resolve => {
      if (!this.#server.listening) resolve();
      else this.#server.close(() => resolve());
      this.#server.closeIdleConnections();
    });
  }

  /** Cuts every connection that is left, upgraded ones included. */
  destroyConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #wire(): void {
    const server = this.#server;
    const onRequest = (request: http.IncomingMessage, response: http.ServerResponse): void =>
      this.#arrive(request, () => this.#begin(request, response, null));
    server.on('request', onRequest);
    server.on('checkContinue', onRequest);
    server.on('checkExpectation', onRequest);
    const onUpgrade = (request: http.IncomingMessage, _socket: unknown, head: Buffer): void => {
      const { socket } = request;
      // Node lets go of the socket here. An error that nobody hears would end the process.
      socket.on('error', () => {});
      socket.setTimeout(0);
      const early = new EarlyBytes(socket, head);
      this.#arrive(request, () => {
        const response = new http.ServerResponse(request);
        response.shouldKeepAlive = false;
        response.assignSocket(socket);
        response.once('finish', () => endSoon(socket));
        this.#begin(request, response, early);
      });
    };
    server.on('upgrade', onUpgrade);
    server.on('connect', onUpgrade);
    server.on('clientError', (error: ParserError, socket) => this.#unparsed(error, socket as Socket));
    server.on('tlsClientError', () => this.#failedHandshakes++);
    server.on('drop', () => this.#rejected++);
    server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
    });
    // Under TLS the connection that carries requests is another one than the one that came in.
    server.on(this.#options.tls === null ? 'connection' : 'secureConnection', (socket: Socket) => {
      socket.on('end', () => this.#lines.get(socket)?.active?.clientEnded());
    });
  }

  /**
   * Only WebSocket, and only when nothing else is under way on the connection: Node lets go of the socket with the
   * upgrade, and an earlier answer would be left without its events.
   */
  #takesUpgrade(request: http.IncomingMessage): boolean {
    const reading = readForm(headOf(request));
    if (reading.ok && reading.form.websocket && this.#line(request.socket).active === null) return true;
    this.#declined.add(request);
    return false;
  }

  #line(socket: Socket): Line {
    let line = this.#lines.get(socket);
    if (line === undefined) {
      const connection = connectionOf(socket);
      line = { connection, active: null, latest: null, parsed: null, broken: null, waiting: [], afterwards: null };
      this.#lines.set(socket, line);
    }
    return line;
  }

  /**
   * Pipelined requests are handled in turn, so that what one causes cannot overtake the one before it. No more is read
   * meanwhile, so that a flood of small requests stays in the client's send buffer.
   */
  #arrive(request: http.IncomingMessage, begin: () => void): void {
    const { socket } = request;
    const line = this.#line(socket);
    line.parsed = request;
    if (line.active === null) {
      begin();
      return;
    }
    if (line.waiting.push(begin) === 1) socket.pause();
  }

  #begin(request: http.IncomingMessage, response: http.ServerResponse, early: EarlyBytes | null): void {
    const { socket } = request;
    const line = this.#line(socket);
    const exchange = new HttpExchange({
      request,
      response,
      connection: line.connection,
      arrivedAt: this.#clock.monotonic(),
      bodyTimeoutMs: this.#options.bodyTimeoutMs,
      early,
    });
    if (request === line.broken) exchange.breakRequest();
    // Node drops what came in the same packet behind an upgrade that was not taken: nothing is in step after it.
    if (this.#declined.has(request)) response.shouldKeepAlive = false;
    line.active = exchange;
    line.latest = exchange;
    response.once('close', () => {
      line.active = null;
      // What was pipelined behind an answer that ends the connection is as good as never read.
      if (socket.writable) this.#next(line, socket);
    });
    this.#events.onExchange(exchange);
  }

  #next(line: Line, socket: Socket): void {
    const begin = line.waiting.shift();
    if (begin !== undefined) {
      // The end of the one before has made Node read on, whoever waits: a request more for each answer would be without
      // a bound.
      if (line.waiting.length === 0 && line.afterwards === null) socket.resume();
      else socket.pause();
      begin();
    } else line.afterwards?.();
  }

  #unparsed(error: ParserError, socket: Socket): void {
    const refusal = parserRefusal(error);
    const silent = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && socket.bytesRead === 0;
    if (refusal === null || silent || !socket.writable) {
      socket.destroy();
      return;
    }
    const line = this.#line(socket);
    const answer = (): void => {
      if (!socket.writable) return;
      const { status, fields, body } = this.#events.onUnparsed(...refusal, line.connection, this.#clock.monotonic());
      const length = String(Buffer.byteLength(body));
      answerRaw(socket, status, [...fields, 'Content-Length', length, 'Connection', 'close'], body);
    };
    socket.pause();
    const { active, parsed } = line;
    // The fault is in a body: what the upstream gets of it must not look whole, and its request gets one answer.
    if (parsed?.complete === false) {
      if (line.waiting.length === 0) line.latest?.breakRequest();
      else line.broken = parsed;
    } else if (active === null) answer();
    // It lies behind whole requests. They get their answers; an answer that has begun is followed by nothing.
    else line.afterwards = active.answered ? () => endSoon(socket) : answer;
  }
}

function connectionOf(socket: Socket): Connection {
  return {
    peer: plainAddress(socket.remoteAddress),
    port: socket.remotePort ?? 0,
    localPort: socket.localPort ?? 0,
    tls: (socket as TLSSocket).encrypted === true,
  };
}
