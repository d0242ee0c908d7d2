import { frameHead } from '../core/frames.ts';

/**
 * Follows one direction of a connection and tells where in a chunk the next WebSocket frame begins. Frames are read only as
 * far as that.
 */
export class FrameTracker {
  /** Bytes of the current frame that are still to come. */
  #left = 0;
  /** Head of a frame that was cut by a chunk's end. */
  #head: number[] = [];

  /** No frame is under way. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#head.length === 0;
  }

  /** Takes a chunk in. Returns the offset of the first frame that begins in it or right after it; -1 when none does. */
  push(chunk: Uint8Array): number {
    let first = this.atBoundary ? 0 : -1;
    let at = 0;
    while (at < chunk.length) {
      if (this.#left > 0) {
        const step = Math.min(this.#left, chunk.length - at);
        this.#left -= step;
        at += step;
      } else {
        this.#head.push(chunk[at++]!);
        const head = frameHead(this.#head);
        if (head === null) continue;
        this.#left = head.size - this.#head.length + head.length;
        this.#head = [];
      }
      if (first === -1 && this.atBoundary) first = at;
    }
    return first;
  }
}
