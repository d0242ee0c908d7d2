import { Failure } from './envelope.ts';
import { isObject, type Said, type SaidObject } from './said.ts';

/** Positional arguments of a call. What can be said as text and as a value is taken both ways. */
export class Arguments {
  readonly #values: readonly Said[];

  /** Refuses with 400 when there are fewer or more than the method takes. */
  constructor(values: readonly Said[], least: number, most: number) {
    if (values.length < least || values.length > most) throw new Failure(400);
    this.#values = values;
  }

  at(index: number): Said | undefined {
    return this.#values[index];
  }

  text(index: number): string {
    return required(asText(this.at(index)));
  }

  flag(index: number): boolean {
    return required(asFlag(this.at(index)));
  }

  object(index: number): SaidObject {
    const value = this.at(index);
    if (value === undefined || !isObject(value)) throw new Failure(400);
    return value;
  }
}

/** Refuses what is not of the kind that is meant. */
export function required<T>(value: T | null): T {
  if (value === null) throw new Failure(400);
  return value;
}

/** Text, or what has one writing as text; null otherwise. Bytes are no text. */
export function asText(said: Said | undefined): string | null {
  if (typeof said === 'string') return said.isWellFormed() ? said : null;
  if (typeof said === 'boolean' || typeof said === 'bigint') return String(said);
  return Number.isSafeInteger(said) ? String(said) : null;
}

export function asFlag(said: Said | undefined): boolean | null {
  if (said === true || said === 'true' || said === 1 || said === '1') return true;
  if (said === false || said === 'false' || said === 0 || said === '0') return false;
  return null;
}

/** A whole number from 0. */
export function asCount(said: Said | undefined): number | null {
  if (typeof said === 'string') return /^(?:0|[1-9][0-9]{0,14})$/.test(said) ? Number(said) : null;
  return typeof said === 'number' && Number.isSafeInteger(said) && said >= 0 ? said : null;
}
