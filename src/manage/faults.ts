import { Refusal } from '../errors.ts';

/** Most problems that are listed: an answer is not a multiple of what was asked. */
const mostListed = 100;
/** Most characters of where one stands. */
const longestPointer = 1000;

/** What is wrong with a request's members. Collected, so that everything is said at once. */
export class Faults {
  readonly #list: { readonly pointer: string; readonly detail: string }[] = [];
  #count = 0;
  #unsupported = false;

  /** `pointer`: the member as a JSON pointer; empty for the body as a whole. */
  add(pointer: string, detail: string): void {
    if (++this.#count <= mostListed) this.#list.push({ pointer: pointer.slice(0, longestPointer), detail });
  }

  /** A member that means something, but that nothing enforces yet: never stored and ignored. */
  addUnsupported(pointer: string): void {
    this.#unsupported = true;
    this.add(pointer, 'is not supported yet');
  }

  get any(): boolean {
    return this.#count > 0;
  }

  /** Refuses when there is something to refuse. */
  throwIfAny(): void {
    const first = this.#list[0];
    if (first === undefined) return;
    const more = this.#count === 1 ? '' : `, and ${this.#count - 1} more`;
    const detail = `${first.pointer === '' ? 'The body' : first.pointer} ${first.detail}${more}.`;
    throw new Refusal(this.#unsupported ? 'unsupported_member' : 'validation_failed', detail, { errors: this.#list });
  }
}
