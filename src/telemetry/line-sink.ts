import { write, writeSync } from 'node:fs';

/**
 * Lines for a file descriptor, written in large pieces off the event loop: a write for each line would cost more than
 * the request that it tells of. Nothing waits here longer than a second.
 *
 * pino's own destination is not used: at the end of the process it tries for ever when a disk is full or a reader has
 * gone, and it waits 100 ms whenever a pipe is full for a moment.
 */
const pieceLength = 64 * 1024;
const longestWaitMs = 1000;
/** Held for a reader that does not keep up; beyond it lines are dropped and counted, because memory is not for logs. */
const longestBacklog = 16 * 1024 * 1024;
/** Until a pipe that was full, and does not block, is tried again. */
const retryMs = 5;
/** What a dying process waits for such a pipe, all in all. */
const lastWaitMs = 2000;

export class LineSink {
  readonly #fd: number;
  #text = '';
  #timer: NodeJS.Timeout | null = null;
  /** Pieces on their way. While `#busy`, another thread writes the first. */
  readonly #queue: Buffer[] = [];
  #queued = 0;
  #busy = false;
  #dropped = 0;
  #reported = 0;
  /** The reader has gone, or was stuck when the process ended. */
  #gone = false;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** Lines that were dropped because they could not be written in time. */
  get dropped(): number {
    return this.#dropped;
  }

  write(line: string): void {
    this.#text += line;
    if (this.#text.length >= pieceLength) this.flush();
    else this.#timer ??= setTimeout(() => this.#onTime(), longestWaitMs).unref();
  }

  /** Hands over what was collected; it is written soon. */
  flush(): void {
    this.#enqueue();
    this.#resume();
  }

  /**
   * Writes what is left before it returns, for the end of the process. A piece that another thread is writing cannot
   * be waited for from here: Node does that when it exits. It gets a moment to be the first.
   */
  flushSync(): void {
    if (this.#busy) sleep(10);
    this.#enqueue();
    const left = this.#queue.splice(this.#busy ? 1 : 0);
    const until = Date.now() + lastWaitMs;
    for (const piece of left) {
      this.#queued -= piece.length;
      if (!this.#gone && !writeWhole(this.#fd, piece, until)) this.#gone = true;
    }
  }

  #onTime(): void {
    this.#timer = null;
    this.flush();
  }

  #enqueue(): void {
    const text = this.#text;
    this.#text = '';
    if (text === '' || this.#gone) return;
    if (this.#queued + text.length > longestBacklog) {
      this.#dropped += linesOf(text);
      return;
    }
    const piece = Buffer.from(this.#dropped === this.#reported ? text : text + this.#notice());
    this.#queue.push(piece);
    this.#queued += piece.length;
  }

  #writeNext(): void {
    const piece = this.#queue[0];
    if (piece === undefined) return;
    this.#busy = true;
    write(this.#fd, piece, (error, written) => {
      this.#busy = false;
      if (error === null) this.#advance(piece, written);
      else if (error.code === 'EAGAIN') setTimeout(() => this.#resume(), retryMs).unref();
      else this.#fail(piece, error);
    });
  }

  #resume(): void {
    if (!this.#busy) this.#writeNext();
  }

  #advance(piece: Buffer, written: number): void {
    this.#queued -= written;
    if (written < piece.length) this.#queue[0] = piece.subarray(written);
    else this.#queue.shift();
    this.#writeNext();
  }

  /** A full disk or a closed pipe takes the log away, never the service. The next piece is tried with the next flush. */
  #fail(piece: Buffer, error: NodeJS.ErrnoException): void {
    this.#queue.shift();
    this.#queued -= piece.length;
    this.#dropped += linesOf(piece.toString());
    if (error.code !== 'EPIPE' && error.code !== 'EBADF') return;
    this.#gone = true;
    this.#queue.length = 0;
    this.#queued = 0;
  }

  #notice(): string {
    this.#reported = this.#dropped;
    const time = new Date().toISOString();
    return `{"level":"warn","time":"${time}","lines":${this.#dropped},"msg":"log lines were dropped: they could not be written in time"}\n`;
  }
}

const linesOf = (text: string): number => text.split('\n').length - 1;

/** False when it could not be written by then, or at all. */
function writeWhole(fd: number, piece: Buffer, until: number): boolean {
  let rest = piece;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN' || Date.now() > until) return false;
      sleep(retryMs);
    }
  }
  return true;
}

const cell = new Int32Array(new SharedArrayBuffer(4));
const sleep = (ms: number): void => void Atomics.wait(cell, 0, 0, ms);
