import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { GrowingBuffer } from './growing-buffer.ts';

/** A client that writes bytes and sees bytes: no HTTP library between the test and the wire. */
export class RawClient {
  static readonly #connected = new Set<RawClient>();
  readonly socket: Socket;
  /** The TCP connection, under TLS too. */
  readonly #wire: Socket;
  #received = new GrowingBuffer();
  #waiters: (() => void)[] = [];
  closed = false;
  /** The peer's end was orderly (FIN), before any reset. */
  ended = false;
  error: NodeJS.ErrnoException | null = null;

  private constructor(socket: Socket, wire: Socket) {
    this.socket = socket;
    this.#wire = wire;
    socket.on('data', (piece: Buffer) => {
      this.#received.append(piece);
      this.#wake();
    });
    socket.on('end', () => {
      this.ended = true;
      this.#wake();
    });
    socket.on('error', error => {
      this.error = error;
      this.#wake();
    });
    RawClient.#connected.add(this);
    socket.on('close', () => {
      RawClient.#connected.delete(this);
      this.closed = true;
      this.#wake();
    });
  }

  /** Clients whose connection is not closed yet. */
  static get connected(): number {
    return RawClient.#connected.size;
  }

  /** Cuts every connection; resolves when all are closed. */
  static async closeAll(): Promise<void> {
    await Promise.all(
      [...RawClient.#connected].map(client => {
        client.destroy();
        return client.until(({ closed }) => closed, 'end of the connection');
      }),
    );
  }

  static async open(port: number, options: { host?: string; tls?: { ca: string; servername?: string } } = {}) {
    const host = options.host ?? '127.0.0.1';
    const wire = connect({ port, host, allowHalfOpen: true });
    const socket = options.tls
      ? connectTls({ socket: wire, ca: options.tls.ca, servername: options.tls.servername ?? 'localhost' })
      : wire;
    const client = new RawClient(socket, wire);
    await new Promise<void>((resolve, reject) => {
      socket.once(options.tls ? 'secureConnect' : 'connect', resolve);
      socket.once('error', reject);
    });
    socket.setNoDelay(true);
    return client;
  }

  /** Text is latin1: one character, one byte. */
  write(data: string | Uint8Array): boolean {
    return typeof data === 'string' ? this.socket.write(data, 'latin1') : this.socket.write(data);
  }

  get bytes(): Buffer {
    return this.#received.bytes;
  }

  get text(): string {
    return this.bytes.toString('latin1');
  }

  get length(): number {
    return this.#received.length;
  }

  /** Waits until `condition` holds of what has come so far. */
  async until(condition: (client: RawClient) => boolean, what = 'bytes', ms = 10_000): Promise<void> {
    const late = Date.now() + ms;
    while (!condition(this)) {
      const left = late - Date.now();
      if (left <= 0) throw new Error(`no ${what} in ${ms} ms; received ${JSON.stringify(this.text.slice(0, 500))}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  untilClosed(ms?: number): Promise<void> {
    return this.until(client => client.ended || client.closed, 'end of the connection', ms);
  }

  /** The next whole answer, taken off what was received. */
  async answer(options: { head?: boolean; ms?: number } = {}): Promise<Answer> {
    let parsed: { answer: Answer; rest: Buffer } | null = null;
    await this.until(
      client => {
        parsed = parseAnswer(client.bytes, options.head ?? false, client.ended || client.closed);
        return parsed !== null;
      },
      'whole answer',
      options.ms,
    );
    const { answer, rest } = parsed!;
    this.#received = new GrowingBuffer(rest);
    return answer;
  }

  end(): void {
    this.socket.end();
  }

  reset(): void {
    this.#wire.resetAndDestroy();
  }

  destroy(): void {
    this.socket.destroy();
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

export interface Answer {
  readonly version: string;
  readonly status: number;
  readonly reason: string;
  /** As received, in order. */
  readonly fields: readonly [string, string][];
  readonly body: Buffer;
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  /** The first value of a field, by name in any case. */
  get(name: string): string | undefined;
  all(name: string): string[];
  json(): Record<string, unknown>;
}

/** Reads one answer off the front of the bytes; null while it is not whole. */
export function parseAnswer(bytes: Buffer, toHead: boolean, ended: boolean): { answer: Answer; rest: Buffer } | null {
  const headEnd = bytes.indexOf('\r\n\r\n');
  if (headEnd === -1) return null;
  const [statusLine = '', ...lines] = bytes.subarray(0, headEnd).toString('latin1').split('\r\n');
  const match = /^HTTP\/(\d\.\d) (\d{3}) ?(.*)$/.exec(statusLine);
  if (match === null) throw new Error(`not a status line: ${JSON.stringify(statusLine)}`);
  const fields = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')];
  });
  const all = (name: string) =>
    fields.filter(([known]) => known.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  const status = Number(match[2]);
  const after = bytes.subarray(headEnd + 4);
  const make = (framing: Answer['framing'], body: Buffer, rest: Buffer) => ({
    answer: {
      version: match[1]!,
      status,
      reason: match[3]!,
      fields,
      body,
      framing,
      get: (name: string) => all(name)[0],
      all,
      json: () => JSON.parse(body.toString('utf8')) as Record<string, unknown>,
    },
    rest,
  });
  if (toHead || status === 204 || status === 304 || status < 200) return make('none', Buffer.alloc(0), after);
  const length = all('content-length')[0];
  if (all('transfer-encoding')[0]?.toLowerCase() === 'chunked') {
    const body = readChunks(after);
    return body === null ? null : make('chunked', body.body, body.rest);
  }
  if (length !== undefined) {
    const size = Number(length);
    return after.length < size ? null : make('length', after.subarray(0, size), after.subarray(size));
  }
  return ended ? make('close', after, Buffer.alloc(0)) : null;
}

function readChunks(bytes: Buffer): { body: Buffer; rest: Buffer } | null {
  const pieces: Buffer[] = [];
  let at = 0;
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line === -1) return null;
    const size = Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16);
    at = line + 2;
    if (size === 0) {
      if (bytes.length < at + 2) return null;
      return { body: Buffer.concat(pieces), rest: bytes.subarray(at + 2) };
    }
    if (bytes.length < at + size + 2) return null;
    pieces.push(bytes.subarray(at, at + size));
    at += size + 2;
  }
}
