import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { GrowingBuffer } from './growing-buffer.ts';

/**
 * An upstream that records every byte and plays a script. It reads requests as strictly as can be: what two servers
 * could understand differently is a fault of whoever sent it, and bytes that belong to no request are kept, so that a
 * smuggled request shows as one request too many, or as such bytes.
 */
export interface RecordedRequest {
  readonly connection: number;
  /** The head as received, without the empty line. */
  readonly head: string;
  readonly method: string;
  readonly target: string;
  readonly fields: readonly [string, string][];
  readonly body: Buffer;
  /** The body is framed as the head says and has ended. */
  complete: boolean;
  /** The first value of a field, by name in any case. */
  get(name: string): string | undefined;
  all(name: string): string[];
}

export interface Scene {
  readonly socket: Socket;
  readonly request: RecordedRequest;
  /** Writes bytes as they are. */
  write(data: string | Uint8Array): void;
}

/** Called when a request is complete (or, with `early`, when its head is). */
export type Script = (scene: Scene) => void;

export const plain: Script = ({ write }) =>
  write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok');

/** A request whose body comes. */
interface Arriving extends RecordedRequest {
  readonly received: GrowingBuffer;
}

/** One connection, as far as it was understood. */
interface Line {
  readonly socket: Socket;
  /** Bytes that are not understood yet. */
  rest: Buffer;
  current: Arriving | null;
  /** Bytes behind a request for an upgrade; null before one. */
  tunnel: Buffer | null;
  ended: boolean;
}

/** Bytes are kept as far as a test could want to look at them; a gigabyte is not. */
const keptBytes = 1 << 20;

export class RecordingUpstream {
  readonly requests: RecordedRequest[] = [];
  /** Raw bytes by connection. */
  readonly connections: Buffer[] = [];
  readonly sockets = new Set<Socket>();
  /** What no careful client would send. */
  readonly faults: string[] = [];
  script: Script = plain;
  /** Answer as soon as the head is there. */
  early = false;
  /** Called with a new connection, before anything is read. */
  onConnect: ((socket: Socket) => void) | null = null;
  closedConnections = 0;
  #lines: Line[] = [];
  /** What came in, whether a handshake made a connection of it or not. */
  readonly #wires = new Set<Socket>();
  #server: Server | null = null;
  #tls = false;
  #host = '127.0.0.1';
  #waiters: (() => void)[] = [];
  port = 0;

  async listen(port = 0, tls?: TlsOptions, host = '127.0.0.1'): Promise<this> {
    this.#host = host;
    this.#tls = tls !== undefined;
    this.#server = tls
      ? createTlsServer({ ...tls, allowHalfOpen: true } as TlsOptions, socket => this.#accept(socket))
      : createServer({ allowHalfOpen: true }, socket => this.#accept(socket));
    this.#server.on('connection', (socket: Socket) => {
      this.#wires.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => this.#wires.delete(socket));
    });
    await new Promise<void>(resolve => this.#server!.listen(port, host, resolve));
    this.port = (this.#server.address() as { port: number }).port;
    return this;
  }

  get url(): string {
    return this.#tls ? `https://localhost:${this.port}` : `http://${this.#host}:${this.port}`;
  }

  /** Every byte that ever came. */
  get bytes(): string {
    return this.connections.map(bytes => bytes.toString('latin1')).join('');
  }

  /** Bytes that came behind requests for an upgrade. */
  get tunnelled(): string {
    return this.#lines.map(line => line.tunnel?.toString('latin1') ?? '').join('');
  }

  /** Bytes that belong to no request. */
  get stray(): string {
    return this.#lines.map(line => (line.current === null ? line.rest.toString('latin1') : '')).join('');
  }

  /** Requests that were not sent whole, on connections that are still open: somebody waits for the rest. */
  get unfinished(): readonly RecordedRequest[] {
    return this.#lines.flatMap(line => (line.current === null || line.ended ? [] : [line.current]));
  }

  /** The only request, or else an error. */
  get only(): RecordedRequest {
    if (this.requests.length !== 1) throw new Error(`the upstream saw ${this.requests.length} requests`);
    return this.requests[0]!;
  }

  reset(): void {
    for (const socket of this.sockets) socket.destroy();
    this.forget();
    this.connections.length = 0;
    this.#lines = [];
  }

  /** Starts anew, on the connections that are open. */
  forget(): void {
    this.requests.length = 0;
    this.faults.length = 0;
    this.script = plain;
    this.early = false;
    this.onConnect = null;
    for (const [i] of this.connections.entries()) this.connections[i] = Buffer.alloc(0);
    for (const line of this.#lines) if (line.tunnel !== null) line.tunnel = Buffer.alloc(0);
  }

  async close(): Promise<void> {
    for (const socket of this.#wires) socket.destroy();
    await new Promise<void>(resolve => this.#server?.close(() => resolve()) ?? resolve());
  }

  async until(condition: (upstream: RecordingUpstream) => boolean, what = 'request', ms = 10_000): Promise<void> {
    const late = Date.now() + ms;
    while (!condition(this)) {
      const left = late - Date.now();
      if (left <= 0) throw new Error(`upstream saw no ${what} in ${ms} ms`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #accept(socket: Socket | TLSSocket): void {
    const number = this.connections.push(Buffer.alloc(0)) - 1;
    const line: Line = { socket, rest: Buffer.alloc(0), current: null, tunnel: null, ended: false };
    this.#lines.push(line);
    this.sockets.add(socket);
    // What a script writes leaves at once, so that a test knows what comes before what.
    socket.setNoDelay(true);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.sockets.delete(socket);
      line.ended = true;
      this.closedConnections++;
      this.#wake();
    });
    socket.on('end', () => {
      line.ended = true;
      socket.end();
    });
    this.onConnect?.(socket);
    socket.on('data', (piece: Buffer) => {
      const known = this.connections[number];
      if (known !== undefined && known.length < keptBytes) this.connections[number] = Buffer.concat([known, piece]);
      line.rest = Buffer.concat([line.rest, piece]);
      this.#read(line, number);
      this.#wake();
    });
  }

  #read(line: Line, number: number): void {
    for (;;) {
      if (line.tunnel !== null) {
        if (line.tunnel.length < keptBytes) line.tunnel = Buffer.concat([line.tunnel, line.rest]);
        line.rest = Buffer.alloc(0);
        return;
      }
      if (line.current === null) {
        const end = line.rest.indexOf('\r\n\r\n');
        if (end === -1) return;
        line.current = readHead(number, line.rest.subarray(0, end).toString('latin1'));
        line.rest = line.rest.subarray(end + 4);
        this.faults.push(...headFaults(line.current));
        this.requests.push(line.current);
        if (this.early) this.#play(line.socket, line.current);
      }
      const { taken, fault } = takeBody(line.current, line.rest);
      if (fault !== null) {
        this.faults.push(fault);
        line.socket.destroy();
      }
      line.rest = line.rest.subarray(taken);
      const request = line.current;
      if (!request.complete) return;
      line.current = null;
      if (request.get('upgrade') !== undefined) line.tunnel = Buffer.alloc(0);
      if (!this.early) this.#play(line.socket, request);
    }
  }

  #play(socket: Socket, request: RecordedRequest): void {
    this.script({
      socket,
      request,
      write: data => {
        if (typeof data === 'string') socket.write(data, 'latin1');
        else socket.write(data);
      },
    });
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

function readHead(connection: number, head: string): Arriving {
  const [requestLine = '', ...lines] = head.split('\r\n');
  const [method = '', target = ''] = requestLine.split(' ');
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')];
  });
  const all = (name: string) =>
    fields.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  const received = new GrowingBuffer();
  return {
    connection,
    head,
    method,
    target,
    fields,
    received,
    get body() {
      return received.bytes;
    },
    complete: false,
    get: name => all(name)[0],
    all,
  };
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const requestLineForm = new RegExp(`^${token} /[\\x21-\\x7e]* HTTP/1\\.1$`);
const fieldLineForm = new RegExp(
  `^${token}: (?:[\\x21-\\x7e\\x80-\\xff](?:[\\t\\x20-\\x7e\\x80-\\xff]*[\\x21-\\x7e\\x80-\\xff])?)?$`,
);

/** What is wrong with a head, read as narrowly as RFC 9110 and 9112 can be. */
function headFaults(request: RecordedRequest): string[] {
  const faults: string[] = [];
  const [requestLine = '', ...lines] = request.head.split('\r\n');
  if (!requestLineForm.test(requestLine)) faults.push(`request line ${JSON.stringify(requestLine)}`);
  for (const line of lines) if (!fieldLineForm.test(line)) faults.push(`field line ${JSON.stringify(line)}`);
  const [hosts, lengths, encodings] = ['host', 'content-length', 'transfer-encoding'].map(name => request.all(name));
  if (hosts!.length !== 1) faults.push(`${hosts!.length} Host fields`);
  if (lengths!.length + encodings!.length > 1) faults.push('more than one framing');
  if (lengths!.some(value => !/^[0-9]+$/.test(value))) faults.push(`Content-Length ${lengths}`);
  if (encodings!.some(value => value !== 'chunked')) faults.push(`Transfer-Encoding ${encodings}`);
  const upgrade = request.get('upgrade');
  if (upgrade !== undefined && upgrade !== 'websocket') faults.push(`Upgrade ${upgrade}`);
  const connection = request.all('connection');
  const options = upgrade === undefined ? ['keep-alive', 'close'] : ['upgrade'];
  if (connection.length !== 1 || !options.includes(connection[0]!)) faults.push(`Connection ${connection}`);
  for (const name of ['expect', 'te', 'trailer', 'keep-alive', 'proxy-connection', 'proxy-authorization']) {
    if (request.get(name) !== undefined) faults.push(`${name} was forwarded`);
  }
  return faults;
}

/** Moves what belongs to the body out of the buffer; says how many bytes that were. */
function takeBody(request: Arriving, buffer: Buffer): { taken: number; fault: string | null } {
  if (request.get('transfer-encoding') === undefined) {
    const length = Number(request.get('content-length') ?? 0);
    const piece = buffer.subarray(0, length - request.received.length);
    request.received.append(piece);
    request.complete = request.received.length >= length;
    return { taken: piece.length, fault: null };
  }
  let at = 0;
  for (;;) {
    const line = buffer.indexOf('\r\n', at);
    if (line === -1) return { taken: at, fault: null };
    const text = buffer.subarray(at, line).toString('latin1');
    if (!/^[0-9a-f]+$/i.test(text)) return { taken: at, fault: `chunk size ${JSON.stringify(text)}` };
    const end = line + 2 + Number.parseInt(text, 16);
    if (buffer.length < end + 2) return { taken: at, fault: null };
    if (buffer.toString('latin1', end, end + 2) !== '\r\n') return { taken: at, fault: 'a chunk without its end' };
    request.received.append(buffer.subarray(line + 2, end));
    at = end + 2;
    if (end === line + 2) {
      request.complete = true;
      return { taken: at, fault: null };
    }
  }
}
