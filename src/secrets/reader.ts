import { hasPrefix, longestSecret, secretForm } from '../core/secret-form.ts';
import type { PresentedSecret, SecretReader } from '../ports/token-lookup.ts';
import { type Peppers, sha256Hex } from './peppers.ts';

export interface SecretShapes {
  /** Of our own secrets. */
  readonly prefix: string;
  /** Other strings that may be looked up at all. */
  readonly shapes: readonly RegExp[];
  /** SHA-256 (hex) of secrets declared in the configuration, whatever their form. */
  readonly declared: ReadonlySet<string>;
}

/** What a token may be written with. Fields are bytes, and other characters would be read differently elsewhere. */
const visible = /^[ -~]+$/;

/**
 * Reads presented strings. What has our prefix must have our checksum; what has not must have a configured shape or
 * be declared. Nothing else reaches the cache, let alone the store.
 */
export class Reader implements SecretReader {
  readonly #peppers: Peppers;
  readonly #shapes: SecretShapes;

  constructor(peppers: Peppers, shapes: SecretShapes) {
    this.#peppers = peppers;
    this.#shapes = shapes;
  }

  read(presented: string): PresentedSecret | null {
    if (presented.length > longestSecret || !visible.test(presented)) return null;
    const { prefix, shapes, declared } = this.#shapes;
    const form = secretForm(presented, prefix);
    const possible = form === 'ours' || (form === 'foreign' && shapes.some(shape => shape.test(presented)));
    if (!possible && declared.size === 0) return null;
    const key = sha256Hex(presented);
    if (declared.has(key)) return { key, digests: () => this.#peppers.digests(key) };
    if (!possible) return null;
    return {
      key,
      // The checksum is only computed when the cache does not know the secret: a hit has proved it before.
      digests: () => (form === 'foreign' || this.#peppers.verifies(presented) ? this.#peppers.digests(key) : null),
    };
  }

  isOurs(presented: string): boolean {
    return hasPrefix(presented, this.#shapes.prefix);
  }
}
