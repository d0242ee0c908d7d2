import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../src/cli/run.ts';
import { patience } from './tiers.ts';

/** The checkout that is tested. */
export const root: string = fileURLToPath(new URL('../../', import.meta.url));
export const mainFile: string = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Starts of the program share what the first one has compiled: a third of the time of each. */
const compileCache = path.join(tmpdir(), 'postern-compile-cache');

/** Milliseconds in which a program says what it has to. Hours of tests have minutes in which a machine is busy. */
const longest = Math.min(patience(20_000), 120_000);

export interface ProgramOptions {
  readonly cwd?: string;
  /** Beside the tests' own environment, of which nothing that begins with POSTERN_ is passed on. */
  readonly env?: Readonly<Record<string, string>>;
  /** Another entry than `src/main.ts`. */
  readonly main?: string;
  /** A program that runs it, with arguments of its own. */
  readonly under?: readonly string[];
  readonly input?: string;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program in a process of its own: what it says, how it ends, what it takes. */
export class Program {
  static readonly #running = new Set<Program>();
  stdout = '';
  stderr = '';
  ended: Ended | null = null;
  readonly #process: ChildProcess;
  readonly #closed: Promise<unknown>;
  #waiters: (() => void)[] = [];

  constructor(command: string, args: readonly string[], options: ProgramOptions = {}) {
    const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('POSTERN_'));
    this.#process = spawn(command, args, {
      cwd: options.cwd,
      env: { NODE_COMPILE_CACHE: compileCache, ...Object.fromEntries(inherited), ...options.env },
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    Program.#running.add(this);
    this.#closed = once(this.#process, 'close').then(([code, signal]) => {
      this.ended = { code, signal };
      Program.#running.delete(this);
      this.#wake();
    });
    this.#process.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      this.#wake();
    });
    this.#process.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      this.#wake();
    });
    if (options.input !== undefined) this.#process.stdin!.end(options.input);
  }

  /** Postern, as `node src/main.ts …`. */
  static postern(args: readonly string[], options: ProgramOptions = {}): Program {
    const [command, ...rest] = [...(options.under ?? []), process.execPath, options.main ?? mainFile, ...args];
    return new Program(command!, rest, options);
  }

  /** Ends whatever a failed test has left running. */
  static async killAll(): Promise<void> {
    await Promise.all([...Program.#running].map(program => program.kill()));
  }

  get pid(): number {
    return this.#process.pid!;
  }

  /** Waits until it has said something; rejects when it ends without. */
  async until(condition: (program: Program) => boolean, what: string, ms: number = longest): Promise<void> {
    const late = Date.now() + ms;
    while (!condition(this)) {
      const left = late - Date.now();
      if (this.ended !== null || left <= 0) {
        const why = this.ended === null ? `${ms} ms passed` : `it ended with ${JSON.stringify(this.ended)}`;
        throw new Error(`${why} without ${what}\n${this.stdout.slice(-2000)}\n${this.stderr.slice(-2000)}`);
      }
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, left);
        this.#waiters.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  /** Lines of JSON that it has written whole. */
  get lines(): Record<string, unknown>[] {
    return this.stdout
      .slice(0, this.stdout.lastIndexOf('\n') + 1)
      .split('\n')
      .filter(line => line.startsWith('{'))
      .map(line => JSON.parse(line) as Record<string, unknown>);
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  async exited(ms = 20_000): Promise<Ended> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(
        () => reject(new Error(`it still runs after ${ms} ms\n${this.stdout.slice(-2000)}\n${this.stderr}`)),
        ms,
      );
    });
    try {
      await Promise.race([this.#closed, late]);
    } finally {
      clearTimeout(timer);
    }
    return this.ended!;
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#closed;
  }

  /** Bytes of memory that the process has in use now, and the most that it ever had. */
  get memory(): { readonly now: number; readonly peak: number } {
    const status = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const kibibytes = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]);
    return { now: kibibytes('VmRSS') * 1024, peak: kibibytes('VmHWM') * 1024 };
  }

  #wake(): void {
    for (const wake of this.#waiters.splice(0)) wake();
  }
}

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command line of Postern to its end, in this process: what stands behind `main.ts` is one function. */
export async function command(
  args: readonly string[],
  options: Pick<ProgramOptions, 'env' | 'input'> = {},
): Promise<Ran> {
  const said = { stdout: '', stderr: '' };
  const code = await run(args, {
    env: options.env ?? {},
    out: text => {
      said.stdout += `${text}\n`;
    },
    write: async bytes => {
      said.stdout += Buffer.from(bytes).toString('utf8');
    },
    err: text => {
      said.stderr += `${text}\n`;
    },
    read: () => Promise.resolve(options.input ?? ''),
  });
  return { code, ...said };
}

/** Runs one command line of Postern to its end, in a process of its own. */
export async function postern(args: readonly string[], options: ProgramOptions = {}): Promise<Ran> {
  const program = Program.postern(args, options);
  const { code } = await program.exited();
  return { code, stdout: program.stdout, stderr: program.stderr };
}
