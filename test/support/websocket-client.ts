import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A frame of a client, masked, written independently of the code that reads frames. `first`: its first byte. */
export function maskedFrame(first: number, data: Uint8Array | string, mask: readonly number[] = [1, 2, 3, 4]): Buffer {
  const bytes = Buffer.from(data as string);
  const { length } = bytes;
  const size =
    length < 126
      ? [0x80 | length]
      : length < 65_536
        ? [0x80 | 126, length >> 8, length & 255]
        : [0x80 | 127, 0, 0, 0, 0, (length >>> 24) & 255, (length >> 16) & 255, (length >> 8) & 255, length & 255];
  return Buffer.concat([Buffer.of(first, ...size, ...mask), bytes.map((byte, i) => byte ^ mask[i & 3]!)]);
}

export interface ServerFrame {
  /** What stands before the data. */
  readonly head: Buffer;
  readonly opcode: number;
  readonly data: Buffer;
}

/** The client's end of an upgraded connection, which says and hears what it likes. */
export class WebSocketClient {
  readonly #socket: Socket;
  readonly #waiting: (() => void)[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #over = false;

  constructor(socket: Socket, early: Uint8Array = new Uint8Array()) {
    this.#socket = socket;
    this.#bytes = Buffer.from(early);
    const wake = () => {
      for (const each of this.#waiting.splice(0)) each();
    };
    socket.on('data', (piece: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, piece]);
      wake();
    });
    socket.on('close', () => {
      this.#over = true;
      wake();
    });
    socket.on('error', () => {});
  }

  /** A connection of its own, upgraded: the handshake is accepted, with the first of the protocols. */
  static async open(port: number, target: string, protocols: string): Promise<WebSocketClient> {
    const socket = connect(port, '127.0.0.1');
    socket.write(
      [
        `GET ${target} HTTP/1.1`,
        'Host: app.example',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
        `Sec-WebSocket-Protocol: ${protocols}`,
        '\r\n',
      ].join('\r\n'),
    );
    let head = Buffer.alloc(0);
    while (!head.includes('\r\n\r\n')) head = Buffer.concat([head, (await once(socket, 'data'))[0]]);
    const end = head.indexOf('\r\n\r\n') + 4;
    const text = head.toString('latin1', 0, end).toLowerCase();
    const [protocol] = protocols.split(',');
    // RFC 6455 1.3.
    const accepted = 'sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=\r\n';
    const isOpen = text.startsWith('http/1.1 101 ') && text.includes(accepted);
    if (!isOpen || !text.includes(`sec-websocket-protocol: ${protocol}\r\n`)) throw new Error(`no WebSocket: ${text}`);
    return new WebSocketClient(socket, head.subarray(end));
  }

  write(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  say(message: unknown): void {
    this.write(maskedFrame(0x81, typeof message === 'string' ? message : JSON.stringify(message)));
  }

  sayBytes(bytes: Uint8Array): void {
    this.write(maskedFrame(0x82, bytes));
  }

  /** The next frame; null when the connection is over. */
  async frame(): Promise<ServerFrame | null> {
    for (;;) {
      const found = this.#take();
      if (found !== null || this.#over) return found;
      await new Promise<void>(resolve => this.#waiting.push(resolve));
    }
  }

  /** The next text message, as JSON. */
  async message(): Promise<ReturnType<typeof JSON.parse>> {
    const frame = await this.frame();
    if (frame?.opcode !== 1) throw new Error(`no text but ${frame?.opcode}: ${frame?.data.toString('hex')}`);
    return JSON.parse(frame.data.toString());
  }

  /** Skips to the end: the code of the close frame, null when there was none, once the connection is over. */
  async end(): Promise<number | null> {
    let code: number | null = null;
    for (;;) {
      const frame = await this.frame();
      if (frame === null) return code;
      if (frame.opcode === 8) code = frame.data.readUInt16BE(0);
    }
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(): ServerFrame | null {
    const bytes = this.#bytes;
    if (bytes.length < 2) return null;
    const short = bytes[1]!;
    const extended = short === 127 ? 8 : short === 126 ? 2 : 0;
    if (bytes.length < 2 + extended) return null;
    const length = extended === 8 ? Number(bytes.readBigUInt64BE(2)) : extended === 2 ? bytes.readUInt16BE(2) : short;
    if (bytes.length < 2 + extended + length) return null;
    this.#bytes = bytes.subarray(2 + extended + length);
    const head = bytes.subarray(0, 2 + extended);
    return { head, opcode: bytes[0]! & 0x0f, data: bytes.subarray(2 + extended, 2 + extended + length) };
  }
}
