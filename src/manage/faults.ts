import { Refusal } from '../errors.ts';

export interface Fault {
  /** The member as a JSON pointer; empty for the body as a whole. */
  readonly pointer: string;
  readonly detail: string;
}

/** Most problems that are listed: an answer is not a multiple of what was asked. */
const mostListed = 100;
/** Most characters of where one stands. */
const longestPointer = 1000;

/** What is wrong with a request's members. Collected, so that everything is said at once. */
export class Faults {
  readonly #list: Fault[] = [];
  #count = 0;
  /** The first that makes the refusal one of its own kind. */
  #unsupported: Fault | null = null;

  add(pointer: string, detail: string): void {
    this.#add({ pointer: pointer.slice(0, longestPointer), detail });
  }

  /** A member that means something, but that nothing enforces yet: never stored and ignored. */
  addUnsupported(pointer: string): void {
    const fault = { pointer: pointer.slice(0, longestPointer), detail: 'is not supported yet' };
    this.#unsupported ??= fault;
    this.#add(fault);
  }

  #add(fault: Fault): void {
    if (++this.#count <= mostListed) this.#list.push(fault);
  }

  get any(): boolean {
    return this.#count > 0;
  }

  /** Refuses when there is something to refuse. The detail speaks of what the code stands for. */
  throwIfAny(): void {
    const first = this.#unsupported ?? this.#list[0];
    if (first === undefined) return;
    const more = this.#count === 1 ? '' : `, and ${this.#count - 1} more`;
    const detail = `${first.pointer === '' ? 'The body' : first.pointer} ${first.detail}${more}.`;
    throw new Refusal(this.#unsupported === null ? 'validation_failed' : 'unsupported_member', detail, {
      errors: this.#list,
    });
  }
}
