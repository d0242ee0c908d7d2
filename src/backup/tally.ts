import { hash } from 'node:crypto';
import type { StoreRecord } from '../ports/store-transfer.ts';

/**
 * Counts and a digest of everything that a store keeps, whatever order it comes in: the sum of the digests of all
 * records. What has been replaced is taken off again.
 */
export class Tally {
  /** Four parts of 64 bits: sums of 256 bits without ever waiting for big numbers. */
  readonly #sum = new BigUint64Array(4);
  readonly #counts = new Map<StoreRecord['kind'], number>();

  add(records: readonly StoreRecord[]): void {
    for (const record of records) this.#count(record, 1);
  }

  remove(records: readonly StoreRecord[]): void {
    for (const record of records) this.#count(record, -1);
  }

  /** How many things of each kind there are. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].filter(([, count]) => count !== 0));
  }

  equals(other: Tally): boolean {
    const kinds = new Set([...this.#counts.keys(), ...other.#counts.keys()]);
    const same = [...kinds].every(kind => (this.#counts.get(kind) ?? 0) === (other.#counts.get(kind) ?? 0));
    return same && this.#sum.every((part, i) => part === other.#sum[i]);
  }

  #count(record: StoreRecord, sign: 1 | -1): void {
    // Where the feed stood is no part of what is kept, and creations end at any moment.
    if (record.kind === 'position' || record.kind === 'creation') return;
    this.#counts.set(record.kind, (this.#counts.get(record.kind) ?? 0) + sign);
    const digest = hash('sha256', canonical(record), 'buffer');
    for (let i = 0; i < 4; i++) {
      const part = digest.readBigUInt64BE(8 * i);
      this.#sum[i] = sign === 1 ? this.#sum[i]! + part : this.#sum[i]! - part;
    }
  }
}

/** JSON with members in order, and without counts of zero, which stores need not keep. */
function canonical(value: unknown, name = ''): string {
  if (Array.isArray(value)) return `[${value.map(item => canonical(item)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined && !(countsOnly.has(name) && member === 0))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member, key)}`);
  return `{${members.join(',')}}`;
}

const countsOnly = new Set(['refused', 'status']);
