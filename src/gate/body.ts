import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import type { BodyFault, BodyFaultKind } from '../ports/exchange.ts';

export class RequestBodyFault extends Error implements BodyFault {
  readonly bodyFault: BodyFaultKind;
  constructor(kind: BodyFaultKind) {
    super(`request body: ${kind}`);
    this.name = 'RequestBodyFault';
    this.bodyFault = kind;
  }
}

/** Least that a client must send in one `body_timeout` while we wait for it; below that it is an attack on patience. */
const leastBytes = 1024;

/**
 * A request body on its way to the upstream: counts, bounds, times, and passes back-pressure on. It stands between
 * the message and undici, because undici destroys a body that it is done with, and a destroyed message takes the
 * client's connection along before the answer is out.
 */
export class BodyStream extends Readable {
  bytesRead = 0;
  readonly #message: IncomingMessage;
  readonly #limit: number;
  readonly #timeoutMs: number;
  #timer: NodeJS.Timeout | null = null;
  /** Bytes since the timer was started. */
  #progress = 0;
  #waiting = false;

  constructor(message: IncomingMessage, limit: number | null, timeoutMs: number) {
    super();
    this.#message = message;
    this.#limit = limit ?? Number.POSITIVE_INFINITY;
    this.#timeoutMs = timeoutMs;
    message.on('data', this.#onData);
    message.on('end', this.#onEnd);
    message.on('close', this.#onClose);
    message.on('error', this.#onClose);
    message.pause();
    // A fault is reported to whoever reads; where nobody does any more, it must not end the process.
    this.on('error', () => {});
  }

  override _read(): void {
    this.#wait(true);
    this.#message.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#release();
    // Listeners are gone, so the message would flow on into nothing: hold it until the answer decides what to drain.
    this.#message.pause();
    done(error);
  }

  /** Puts `bytes`, which were read from it, back in front of the rest. From here on nothing is read. */
  putBack(bytes: Uint8Array): void {
    this.pause();
    const rest = this.read() as Buffer | null;
    this.#release();
    this.#message.pause();
    this.#message.unshift(rest === null ? bytes : Buffer.concat([bytes, rest]));
    this.destroy();
  }

  readonly #onData = (chunk: Buffer): void => {
    this.bytesRead += chunk.length;
    this.#progress += chunk.length;
    if (this.bytesRead > this.#limit) {
      this.destroy(new RequestBodyFault('large'));
      return;
    }
    if (!this.push(chunk)) {
      this.#wait(false);
      this.#message.pause();
    }
  };

  readonly #onEnd = (): void => {
    this.#release();
    this.push(null);
  };

  readonly #onClose = (): void => {
    if (!this.#message.complete) this.destroy(new RequestBodyFault('gone'));
  };

  /** The clock runs only while we wait for the client, never while the upstream makes it wait. */
  #wait(waiting: boolean): void {
    if (waiting === this.#waiting) return;
    this.#waiting = waiting;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!waiting || this.#timeoutMs === 0) return;
    this.#progress = 0;
    this.#timer = setTimeout(this.#onTimeout, this.#timeoutMs);
    this.#timer.unref();
  }

  readonly #onTimeout = (): void => {
    if (this.#progress < leastBytes) {
      this.destroy(new RequestBodyFault('slow'));
      return;
    }
    this.#progress = 0;
    this.#timer?.refresh();
  };

  #release(): void {
    this.#wait(false);
    this.#message.off('data', this.#onData);
    this.#message.off('end', this.#onEnd);
    this.#message.off('close', this.#onClose);
    this.#message.off('error', this.#onClose);
  }
}

/** Bytes that are gathered at first; doubled as they come, so that nobody is given room for what is only announced. */
const firstRoom = 1024;

/**
 * Gathers a body; null when it is over `most` bytes, and then nothing of it is lost: all of it is still to be read. Attack: in pieces of one byte, kept as they come, 64 KiB would take a hundred times that; so they are
 * copied into one buffer, of at most twice what came.
 */
export function gather(body: BodyStream): Promise<Uint8Array>;
export function gather(body: BodyStream, most: number): Promise<Uint8Array | null>;
export function gather(body: BodyStream, most = Number.POSITIVE_INFINITY): Promise<Uint8Array | null> {
  let bytes = Buffer.alloc(0);
  let length = 0;
  return new Promise((resolve, reject) => {
    body.on('data', (piece: Buffer) => {
      if (length + piece.length > bytes.length) {
        const more = Buffer.allocUnsafeSlow(Math.max(firstRoom, 2 * bytes.length, length + piece.length));
        bytes.copy(more, 0, 0, length);
        bytes = more;
      }
      piece.copy(bytes, length);
      length += piece.length;
      if (length <= most) return;
      body.putBack(bytes.subarray(0, length));
      resolve(null);
    });
    body.once('end', () => resolve(bytes.subarray(0, length)));
    body.once('error', reject);
    body.once('close', () => reject(new RequestBodyFault('gone')));
  });
}

/**
 * The same bytes again, a moment after they are asked for: undici tries to read before it chooses the framing, and would
 * give a body that has ended by then a length instead of the client's chunks.
 */
export function replay(bytes: Uint8Array): Readable {
  let asked = false;
  const body = new Readable({
    read() {
      if (asked) return;
      asked = true;
      process.nextTick(() => {
        if (bytes.length > 0) body.push(bytes);
        body.push(null);
      });
    },
  });
  return body.on('error', () => {});
}
