import { frameHead, opcodes, wholeFrame } from '../../core/frames.ts';

/** WebSocket frames (RFC 6455 5), read as a server reads them: masked, and without extensions. */

export type Frame =
  | { readonly kind: 'message'; readonly binary: boolean; readonly data: Uint8Array }
  | { readonly kind: 'ping' | 'pong'; readonly data: Uint8Array }
  | { readonly kind: 'close' };

/** A client that breaks the rules, and the code that its connection is closed with. */
export class FrameFault extends Error {
  readonly code: number;
  constructor(code: number, why: string) {
    super(why);
    this.code = code;
  }
}

export interface FrameLimits {
  /** Most bytes of one message, whatever it is cut into. */
  readonly bytes: number;
  /** Most frames of one message: empty ones take no bytes. */
  readonly frames: number;
}

const { continuation, text, binary, close, ping, pong } = opcodes;

/**
 * Follows what a client sends. Only what has come is kept: room grows with it, never by what a head announces, and pieces
 * are copied into one buffer, so that a message in pieces of one byte takes no more than a whole one.
 */
export class FrameReader {
  readonly #limits: FrameLimits;
  /** Head of the frame under way, as far as it has come: at most 14 bytes. */
  readonly #head: number[] = [];
  #frame: { readonly opcode: number; readonly last: boolean; readonly mask: readonly number[]; left: number } | null =
    null;
  readonly #message: Room = new Room();
  readonly #control: Room = new Room();
  /** Opcode of the message under way; null between messages. */
  #opcode: number | null = null;
  #frames = 0;

  constructor(limits: FrameLimits) {
    this.#limits = limits;
  }

  /** The frames that end in a piece, one after the other. Throws `FrameFault`, after which nothing more is read. */
  *read(piece: Uint8Array): Generator<Frame> {
    let at = 0;
    while (at < piece.length || this.#frame?.left === 0) {
      if (this.#frame === null) {
        this.#head.push(piece[at++]!);
        this.#begin();
      } else {
        const step = Math.min(this.#frame.left, piece.length - at);
        const room = isControl(this.#frame.opcode) ? this.#control : this.#message;
        room.add(piece.subarray(at, at + step), this.#frame.mask);
        this.#frame.left -= step;
        at += step;
        if (this.#frame.left > 0) return;
        const { opcode, last } = this.#frame;
        this.#frame = null;
        const frame = this.#end(opcode, last);
        if (frame !== null) yield frame;
      }
    }
  }

  /** Reads the head when it is whole. What it says is refused before anything of the frame is kept. */
  #begin(): void {
    const head = this.#head;
    if (head.length < 2) return;
    const [first, second] = [head[0]!, head[1]!];
    const opcode = first & 0x0f;
    const last = (first & 0x80) !== 0;
    if (head.length === 2) this.#check(first, second);
    const read = frameHead(head);
    if (read === null) return;
    const { size, maskAt, length } = read;
    if (!read.shortest) throw new FrameFault(1002, 'a length that is not written in the shortest way');
    if (!isControl(opcode) && this.#message.length + length > this.#limits.bytes) {
      throw new FrameFault(1009, 'a message that is too long');
    }
    if (head.length < size) return;
    if (!isControl(opcode)) {
      if (++this.#frames > this.#limits.frames) throw new FrameFault(1009, 'a message in too many frames');
      if (opcode !== continuation) this.#opcode = opcode;
    }
    this.#frame = { opcode, last, mask: head.slice(maskAt), left: length };
    this.#head.length = 0;
  }

  #check(first: number, second: number): void {
    const opcode = first & 0x0f;
    if ((first & 0x70) !== 0) throw new FrameFault(1002, 'reserved bits');
    if ((second & 0x80) === 0) throw new FrameFault(1002, 'a frame without a mask');
    switch (opcode) {
      case continuation:
        if (this.#opcode === null) throw new FrameFault(1002, 'a continuation of nothing');
        return;
      case text:
      case binary:
        if (this.#opcode !== null) throw new FrameFault(1002, 'a message within another');
        return;
      case close:
      case ping:
      case pong:
        if ((first & 0x80) === 0) throw new FrameFault(1002, 'a control frame in pieces');
        if ((second & 0x7f) > 125) throw new FrameFault(1002, 'a control frame that is too long');
        return;
      default:
        throw new FrameFault(1002, 'an unknown opcode');
    }
  }

  #end(opcode: number, last: boolean): Frame | null {
    switch (opcode) {
      case close:
        return this.#closed(this.#control.take());
      case ping:
        return { kind: 'ping', data: this.#control.take() };
      case pong:
        return { kind: 'pong', data: this.#control.take() };
      default: {
        if (!last) return null;
        const isBinary = this.#opcode === binary;
        this.#opcode = null;
        this.#frames = 0;
        return { kind: 'message', binary: isBinary, data: this.#message.take() };
      }
    }
  }

  #closed(data: Uint8Array): Frame {
    if (data.length === 1) throw new FrameFault(1002, 'half a code');
    return { kind: 'close' };
  }
}

const isControl = (opcode: number): boolean => opcode >= close;

/** Bytes as they come, unmasked; in at most twice the room that they need. */
class Room {
  #bytes = new Uint8Array();
  #length = 0;
  /** Bytes of the frame under way, by which the mask goes on. */
  #masked = 0;
  #mask: readonly number[] | null = null;

  get length(): number {
    return this.#length;
  }

  add(piece: Uint8Array, mask: readonly number[]): void {
    if (mask !== this.#mask) {
      this.#mask = mask;
      this.#masked = 0;
    }
    const needed = this.#length + piece.length;
    if (needed > this.#bytes.length) {
      const more = new Uint8Array(Math.max(256, needed, 2 * this.#bytes.length));
      more.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = more;
    }
    for (let i = 0; i < piece.length; i++) {
      this.#bytes[this.#length++] = piece[i]! ^ mask[this.#masked++ & 3]!;
    }
  }

  take(): Uint8Array {
    const taken = this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array();
    this.#length = 0;
    return taken;
  }
}

/** Text frames carry text, binary ones bytes. */
export const messageFrame = (data: string | Uint8Array): Uint8Array =>
  typeof data === 'string' ? wholeFrame(text, Buffer.from(data)) : wholeFrame(binary, data);

export const pingFrame = (): Uint8Array => wholeFrame(ping, new Uint8Array());

export const pongFrame = (data: Uint8Array): Uint8Array => wholeFrame(pong, data);
