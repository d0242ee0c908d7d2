/** WebSocket frames (RFC 6455 5.2), read only as far as to know where one ends. */

/** Follows one direction of a connection and tells where in a chunk the next frame begins. */
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
        const length = frameLength(this.#head);
        if (length === null) continue;
        this.#head = [];
        this.#left = length;
      }
      if (first === -1 && this.atBoundary) first = at;
    }
    return first;
  }
}

/** Bytes that follow a frame's head; null while the head is not whole. */
function frameLength(head: readonly number[]): number | null {
  if (head.length < 2) return null;
  const short = head[1]! & 0x7f;
  const extended = short === 127 ? 8 : short === 126 ? 2 : 0;
  const mask = (head[1]! & 0x80) === 0 ? 0 : 4;
  if (head.length < 2 + extended) return null;
  let length = short;
  if (extended > 0) {
    length = 0;
    for (let i = 2; i < 2 + extended; i++) length = length * 256 + head[i]!;
  }
  return length + mask;
}

/** A Close frame. From a client it must be masked; the mask is all zero, because the payload is no secret. */
export function closeFrame(code: number, masked: boolean): Uint8Array {
  const payload = [code >> 8, code & 0xff];
  return Uint8Array.from(masked ? [0x88, 0x82, 0, 0, 0, 0, ...payload] : [0x88, 0x02, ...payload]);
}
