import type { Socket } from 'node:net';

/**
 * Most that a client may send after an upgrade request before it is answered. It should send nothing (RFC 6455 4.1); who
 * sends more is cut off, because a connection that is not read does not show that its client has gone.
 */
const earlyLimit = 64 * 1024;

/**
 * What an upgrading client sends before it is answered. It is kept, and never reaches an upstream that did not switch;
 * reading it meanwhile is what shows that the client has gone.
 */
export class EarlyBytes {
  readonly #socket: Socket;
  #pieces: Buffer[];
  #length: number;

  constructor(socket: Socket, head: Buffer) {
    this.#socket = socket;
    this.#pieces = head.length > 0 ? [head] : [];
    this.#length = head.length;
    socket.on('data', this.#onData);
    socket.on('end', this.#onEnd);
    socket.resume();
  }

  readonly #onData = (piece: Buffer): void => {
    this.#pieces.push(piece);
    this.#length += piece.length;
    if (this.#length > earlyLimit) this.#socket.destroy();
  };

  readonly #onEnd = (): void => {
    this.#socket.destroy();
  };

  /** Hands over what came, and stops listening. */
  take(): Buffer {
    this.#socket.pause();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [];
    return all;
  }
}
