/** WebSocket frames (RFC 6455 5.2) as bytes: where heads end, and what we send. */

export const opcodes = { continuation: 0x0, text: 0x1, binary: 0x2, close: 0x8, ping: 0x9, pong: 0xa } as const;

/** What the head of a frame says, its first two bytes aside. */
export interface FrameHead {
  /** Bytes of the head, a mask included. */
  readonly size: number;
  /** Where the mask begins, if there is one. */
  readonly maskAt: number;
  /** Bytes that follow the head. */
  readonly length: number;
  /** The length is written in the shortest way. */
  readonly shortest: boolean;
}

/** The head that bytes begin with, as soon as its length can be read; null before. The mask may still be missing then. */
export function frameHead(bytes: readonly number[]): FrameHead | null {
  if (bytes.length < 2) return null;
  const short = bytes[1]! & 0x7f;
  const maskAt = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < maskAt) return null;
  let length = short;
  if (maskAt > 2) {
    length = 0;
    for (let i = 2; i < maskAt; i++) length = length * 256 + bytes[i]!;
  }
  const shortest = maskAt === 2 || length >= (maskAt === 4 ? 126 : 0x1_0000);
  const size = (bytes[1]! & 0x80) === 0 ? maskAt : maskAt + 4;
  return { size, maskAt, length, shortest };
}

/** A whole frame. From a client it must be masked: the mask is all zero, for what is no secret. */
export function wholeFrame(opcode: number, data: Uint8Array, masked = false): Uint8Array {
  const { length } = data;
  const extended = length > 0xffff ? 8 : length > 125 ? 2 : 0;
  const size = 2 + extended + (masked ? 4 : 0);
  const bytes = new Uint8Array(size + length);
  bytes[0] = 0x80 | opcode;
  bytes[1] = (masked ? 0x80 : 0) | (extended === 8 ? 127 : extended === 2 ? 126 : length);
  for (let i = 0, left = length; i < extended; i++, left = Math.floor(left / 256)) bytes[1 + extended - i] = left % 256;
  bytes.set(data, size);
  return bytes;
}

const utf8 = new TextEncoder();

/** A Close frame. `reason`: at most 123 bytes. */
export const closeFrame = (code: number, { reason = '', masked = false } = {}): Uint8Array =>
  wholeFrame(opcodes.close, Uint8Array.of(code >> 8, code & 0xff, ...utf8.encode(reason)), masked);
