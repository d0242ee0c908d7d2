/** Bytes as they come. Room is doubled, so that megabytes that are looked at piece by piece are not copied with each. */
export class GrowingBuffer {
  #room: Buffer;
  length: number;

  constructor(first: Buffer = Buffer.alloc(0)) {
    this.#room = first;
    this.length = first.length;
  }

  /** All of them. What was given out stays as it is. */
  get bytes(): Buffer {
    return this.#room.subarray(0, this.length);
  }

  append(piece: Buffer): void {
    const length = this.length + piece.length;
    if (length > this.#room.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#room.length));
      this.bytes.copy(larger);
      this.#room = larger;
    }
    piece.copy(this.#room, this.length);
    this.length = length;
  }
}
