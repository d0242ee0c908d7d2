import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** What the writing process says. */
export type Saying =
  | { readonly kind: 'open' }
  | { readonly kind: 'created' | 'revoked'; readonly id: string }
  | {
      readonly kind: 'failed';
      readonly name: string;
      readonly message: string;
      readonly sent: boolean | null;
      /** The store answered a look-up afterwards. */
      readonly reads: boolean;
    };

const script = fileURLToPath(new URL('./store-writer.ts', import.meta.url));

/** A process that writes into a store: see `store-writer.ts`. */
export class StoreChild {
  readonly said: Saying[] = [];
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown>;
  #rest = '';
  #hears: () => void = () => {};

  /** `prelude` is shell that runs before it, in the same process. */
  constructor(folder: string, run: string, prelude = ':') {
    const command = `${prelude}; exec "$0" "$@"`;
    this.#process = spawn('/bin/sh', ['-c', command, process.execPath, script, folder, run], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#exited = once(this.#process, 'close');
    this.#process.stdout!.setEncoding('utf8').on('data', (text: string) => this.#hear(text));
  }

  /** Resolves when it has said something of this kind; rejects when it ends without. */
  async says<K extends Saying['kind']>(kind: K): Promise<Saying & { readonly kind: K }> {
    const find = () => this.said.find((saying): saying is Saying & { readonly kind: K } => saying.kind === kind);
    for (let found = find(); ; found = find()) {
      if (found !== undefined) return found;
      const heard = new Promise<'heard'>(resolve => {
        this.#hears = () => resolve('heard');
      });
      const event = await Promise.race([heard, this.#exited.then(() => 'ended' as const)]);
      if (event === 'ended' && find() === undefined) throw new Error(`it ended without saying "${kind}"`);
    }
  }

  /** SIGKILL. Resolves when it is gone and everything it said was heard. */
  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exited;
  }

  async exited(): Promise<number | null> {
    await this.#exited;
    return this.#process.exitCode;
  }

  #hear(text: string): void {
    const lines = (this.#rest + text).split('\n');
    // The last piece is a line that was not written whole.
    this.#rest = lines.pop()!;
    for (const line of lines) this.said.push(JSON.parse(line) as Saying);
    this.#hears();
  }
}
