/** Bytes of an answer from which it counts, and most that may wait to be taken, of one network and in all. */
export const untakenLimits = { from: 64 * 1024, network: 16 * 1024 * 1024, all: 64 * 1024 * 1024 } as const;

/**
 * Large answers of token APIs that their clients have not taken yet. Attack: a short request asks for megabytes, which are
 * held until they are read or time runs out, and a client that does not read asks again on the next connection.
 */
export class Untaken {
  #all = 0;
  readonly #byNetwork = new Map<string, number>();

  /** Null: there is no room for so many. Else to be called once, when the answer is taken or given up. */
  hold(network: string, bytes: number): (() => void) | null {
    if (bytes < untakenLimits.from) return () => {};
    const held = this.#byNetwork.get(network) ?? 0;
    // One alone always has room: it was bounded by whoever made it.
    if (held > 0 && held + bytes > untakenLimits.network) return null;
    if (this.#all > 0 && this.#all + bytes > untakenLimits.all) return null;
    this.#all += bytes;
    this.#byNetwork.set(network, held + bytes);
    return () => {
      this.#all -= bytes;
      const left = (this.#byNetwork.get(network) ?? 0) - bytes;
      if (left > 0) this.#byNetwork.set(network, left);
      else this.#byNetwork.delete(network);
    };
  }
}
