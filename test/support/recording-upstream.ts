import { createServer, type Server, type Socket } from 'node:net';

/**
 * An upstream that records every byte and plays a script. It knows where connections begin and end, and where the
 * requests on them do, so that a smuggled request shows as one request too many.
 */
export interface RecordedRequest {
  readonly connection: number;
  /** The head as received, without the empty line. */
  readonly head: string;
  readonly method: string;
  readonly target: string;
  readonly fields: readonly [string, string][];
  body: Buffer;
  /** The body is framed as the head says and has ended. */
  complete: boolean;
  get(name: string): string | undefined;
}

export interface Scene {
  readonly socket: Socket;
  readonly request: RecordedRequest;
  /** Writes bytes as they are. */
  write(data: string | Uint8Array): void;
}

/** Called when a request is complete (or, with `early`, when its head is). */
export type Script = (scene: Scene) => void;

const plain: Script = ({ write }) =>
  write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok');

export class RecordingUpstream {
  readonly requests: RecordedRequest[] = [];
  /** Raw bytes by connection. */
  readonly connections: Buffer[] = [];
  readonly sockets = new Set<Socket>();
  script: Script = plain;
  /** Answer as soon as the head is there. */
  early = false;
  /** Called with a new connection, before anything is read. */
  onConnect: ((socket: Socket) => void) | null = null;
  closedConnections = 0;
  #server: Server | null = null;
  #waiters: (() => void)[] = [];
  port = 0;

  async listen(port = 0): Promise<this> {
    this.#server = createServer({ allowHalfOpen: true }, socket => this.#accept(socket));
    await new Promise<void>(resolve => this.#server!.listen(port, '127.0.0.1', resolve));
    this.port = (this.#server.address() as { port: number }).port;
    return this;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Every byte that ever came. */
  get bytes(): string {
    return this.connections.map(bytes => bytes.toString('latin1')).join('');
  }

  reset(): void {
    this.requests.length = 0;
    this.connections.length = 0;
    this.script = plain;
    this.early = false;
    this.onConnect = null;
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
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

  #accept(socket: Socket): void {
    const connection = this.connections.push(Buffer.alloc(0)) - 1;
    this.sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => {
      this.sockets.delete(socket);
      this.closedConnections++;
      this.#wake();
    });
    socket.on('end', () => socket.end());
    this.onConnect?.(socket);
    let buffer = Buffer.alloc(0);
    let current: RecordedRequest | null = null;
    let upgraded = false;
    socket.on('data', (piece: Buffer) => {
      const known = this.connections[connection];
      // Bytes are kept as far as a test could want to look at them; a gigabyte is not.
      if (known !== undefined && known.length < 1 << 20) this.connections[connection] = Buffer.concat([known, piece]);
      if (upgraded) {
        this.#wake();
        return;
      }
      buffer = Buffer.concat([buffer, piece]);
      for (;;) {
        if (current === null) {
          const end = buffer.indexOf('\r\n\r\n');
          if (end === -1) break;
          current = readHead(connection, buffer.subarray(0, end).toString('latin1'));
          buffer = buffer.subarray(end + 4);
          this.requests.push(current);
          if (this.early) this.#play(socket, current);
        }
        const taken = takeBody(current, buffer);
        buffer = buffer.subarray(taken);
        if (!current.complete) break;
        if (!this.early) this.#play(socket, current);
        upgraded = current.get('upgrade') !== undefined;
        current = null;
        if (upgraded) break;
      }
      this.#wake();
    });
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

function readHead(connection: number, head: string): RecordedRequest {
  const [requestLine = '', ...lines] = head.split('\r\n');
  const [method = '', target = ''] = requestLine.split(' ');
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return {
    connection,
    head,
    method,
    target,
    fields,
    body: Buffer.alloc(0),
    complete: false,
    get: name => fields.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1],
  };
}

/** Moves what belongs to the body out of the buffer; returns how many bytes that were. */
function takeBody(request: RecordedRequest & { chunkAt?: number }, buffer: Buffer): number {
  const length = request.get('content-length');
  if (request.get('transfer-encoding') === undefined) {
    const want = Number(length ?? 0) - request.body.length;
    const piece = buffer.subarray(0, want);
    request.body = Buffer.concat([request.body, piece]);
    request.complete = request.body.length >= Number(length ?? 0);
    return piece.length;
  }
  let at = 0;
  for (;;) {
    const line = buffer.indexOf('\r\n', at);
    if (line === -1) return at;
    const size = Number.parseInt(buffer.subarray(at, line).toString('latin1'), 16);
    if (size === 0) {
      if (buffer.length < line + 4) return at;
      request.complete = true;
      return line + 4;
    }
    if (buffer.length < line + 2 + size + 2) return at;
    request.body = Buffer.concat([request.body, buffer.subarray(line + 2, line + 2 + size)]);
    at = line + 2 + size + 2;
  }
}
