import { readUtf8 } from '../../core/body-text.ts';
import type { Json } from '../../core/token.ts';
import { deepest, type Said, SaidFault } from './said.ts';

/**
 * MessagePack, read as strictly as JSON is: what two readers could understand differently is refused. Nothing is made in
 * the size that a head announces, only of what has come; the library that clients have makes arrays as long as they are
 * announced, at any depth, and takes doubled keys and text that is not UTF-8.
 */

/** Most values in one message: an empty array is one byte there, and many in memory. */
const mostValues = 20_000;

export function readMsgpack(bytes: Uint8Array): Said {
  const reader = new Reader(bytes);
  const value = reader.value(0);
  if (!reader.atEnd) throw new SaidFault('something follows the value');
  return value;
}

class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #values = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  value(depth: number): Said {
    if (++this.#values > mostValues) throw new SaidFault(`more than ${mostValues} values`);
    const head = this.#bytes[this.#take(1)]!;
    if (head <= 0x7f) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head <= 0x8f) return this.#map(head & 0x0f, depth);
    if (head <= 0x9f) return this.#array(head & 0x0f, depth);
    if (head <= 0xbf) return this.#text(head & 0x1f);
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#binary(this.#length(head - 0xc4));
      case 0xca:
        return this.#view.getFloat32(this.#take(4));
      case 0xcb:
        return this.#view.getFloat64(this.#take(8));
      case 0xcc:
      case 0xcd:
      case 0xce:
        return this.#length(head - 0xcc);
      case 0xcf:
        return exact(this.#view.getBigUint64(this.#take(8)));
      case 0xd0:
        return this.#view.getInt8(this.#take(1));
      case 0xd1:
        return this.#view.getInt16(this.#take(2));
      case 0xd2:
        return this.#view.getInt32(this.#take(4));
      case 0xd3:
        return exact(this.#view.getBigInt64(this.#take(8)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#text(this.#length(head - 0xd9));
      case 0xdc:
      case 0xdd:
        return this.#array(this.#length(head - 0xdb), depth);
      case 0xde:
      case 0xdf:
        return this.#map(this.#length(head - 0xdd), depth);
      default:
        throw new SaidFault('an extension, or a byte that means nothing');
    }
  }

  /** An unsigned number of 1, 2 or 4 bytes. */
  #length(size: number): number {
    if (size === 0) return this.#view.getUint8(this.#take(1));
    return size === 1 ? this.#view.getUint16(this.#take(2)) : this.#view.getUint32(this.#take(4));
  }

  #array(length: number, depth: number): Said {
    this.#enter(length, depth);
    const values: Said[] = [];
    for (let i = 0; i < length; i++) values.push(this.value(depth + 1));
    return values;
  }

  #map(length: number, depth: number): Said {
    this.#enter(2 * length, depth);
    const members = new Map<string, Said>();
    for (let i = 0; i < length; i++) {
      const name = this.value(depth + 1);
      if (typeof name !== 'string') throw new SaidFault('a key that is no text');
      if (name === '__proto__') throw new SaidFault('a key named __proto__');
      if (members.has(name)) throw new SaidFault('a key that stands twice');
      members.set(name, this.value(depth + 1));
    }
    return Object.fromEntries(members);
  }

  /** Every value that is announced takes a byte at least. */
  #enter(values: number, depth: number): void {
    if (depth >= deepest) throw new SaidFault(`more than ${deepest} levels`);
    if (values > this.#bytes.length - this.#at) throw new SaidFault('the end is missing');
  }

  #text(length: number): string {
    const from = this.#take(length);
    const text = readUtf8(this.#bytes.subarray(from, from + length));
    if (text === null) throw new SaidFault('text that is not UTF-8');
    return text;
  }

  #binary(length: number): Uint8Array {
    const from = this.#take(length);
    return this.#bytes.subarray(from, from + length);
  }

  #take(length: number): number {
    const from = this.#at;
    if (length > this.#bytes.length - from) throw new SaidFault('the end is missing');
    this.#at += length;
    return from;
  }
}

const exact = (value: bigint): number | bigint => {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
};

/** Writes what JSON can say; members that are undefined are left out. */
export function writeMsgpack(value: Json): Uint8Array {
  const parts: Uint8Array[] = [];
  write(value, parts);
  return Buffer.concat(parts);
}

function write(value: Json, parts: Uint8Array[]): void {
  if (value === null) parts.push(Uint8Array.of(0xc0));
  else if (typeof value === 'boolean') parts.push(Uint8Array.of(value ? 0xc3 : 0xc2));
  else if (typeof value === 'number') parts.push(numberBytes(value));
  else if (typeof value === 'string') {
    const bytes = Buffer.from(value);
    parts.push(headBytes(bytes.length, { few: 32, fix: 0xa0, long: [0xd9, 0xda, 0xdb] }), bytes);
  } else if (isList(value)) {
    parts.push(headBytes(value.length, { few: 16, fix: 0x90, long: [null, 0xdc, 0xdd] }));
    for (const each of value) write(each, parts);
  } else {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    parts.push(headBytes(members.length, { few: 16, fix: 0x80, long: [null, 0xde, 0xdf] }));
    for (const [name, member] of members) {
      write(name, parts);
      write(member, parts);
    }
  }
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value);

interface Heads {
  /** Lengths below this stand in the head itself. */
  readonly few: number;
  readonly fix: number;
  /** With 1, 2 and 4 bytes of length. */
  readonly long: readonly [number | null, number, number];
}

function headBytes(length: number, { few, fix, long: [one, two, four] }: Heads): Uint8Array {
  if (length < few) return Uint8Array.of(fix | length);
  if (length < 0x100 && one !== null) return Uint8Array.of(one, length);
  if (length < 0x1_0000) return Uint8Array.of(two, length >> 8, length & 0xff);
  const head = Buffer.alloc(5, four);
  head.writeUInt32BE(length, 1);
  return head;
}

function numberBytes(value: number): Uint8Array {
  if (Number.isInteger(value) && !Object.is(value, -0)) {
    if (value >= 0 && value < 0x80) return Uint8Array.of(value);
    if (value < 0 && value >= -0x20) return Uint8Array.of(value + 0x100);
    if (value >= 0 && value <= 0xffff_ffff) {
      return headBytes(value, { few: 0, fix: 0, long: [0xcc, 0xcd, 0xce] });
    }
  }
  const bytes = Buffer.alloc(9, 0xcb);
  bytes.writeDoubleBE(value, 1);
  return bytes;
}
