import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Program, type ProgramOptions } from './program.ts';

export interface ServedOptions {
  /** YAML of everything but `listen`, which takes free ports. */
  readonly config: string;
  /** A folder of an earlier run, to start on its store. */
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly main?: string;
  /** A program that runs it, with arguments of its own. */
  readonly under?: readonly string[];
  /** Addresses to listen on, where they matter. */
  readonly listen?: string;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Record<string, unknown>;
}

const anyPort = '{ proxy: "127.0.0.1:0", admin: "127.0.0.1:0", telemetry: "127.0.0.1:0" }';

/** `postern serve` in a process of its own, with a configuration and store in a folder of its own. */
export class Served {
  readonly program: Program;
  readonly folder: string;
  readonly file: string;
  ports = { proxy: 0, admin: 0, telemetry: 0 };
  adminKey = '';
  #marks = 0;

  private constructor(folder: string, file: string, options: ProgramOptions) {
    this.folder = folder;
    this.file = file;
    this.program = Program.postern(['serve', '--config', file], options);
  }

  static async start(options: ServedOptions): Promise<Served> {
    const folder = options.folder ?? (await mkdtemp(path.join(tmpdir(), 'postern-e2e-')));
    const file = path.join(folder, 'postern.yaml');
    await writeFile(file, configText(options));
    const served = new Served(folder, file, {
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(options.main === undefined ? {} : { main: options.main }),
      ...(options.under === undefined ? {} : { under: options.under }),
    });
    const line = await served.said('listening');
    served.ports = {
      proxy: Number(line['proxy']),
      admin: Number(line['admin']),
      telemetry: Number(line['telemetry']),
    };
    served.adminKey = (await readFile(path.join(folder, 'data/admin.key'), 'utf8').catch(() => '')).trimEnd();
    return served;
  }

  /** Waits for the `count`th line of the log with this message. */
  async said(message: string, count = 1): Promise<Record<string, unknown>> {
    const found = (): Record<string, unknown> | undefined =>
      this.program.lines.filter(line => line['msg'] === message)[count - 1];
    await this.program.until(() => found() !== undefined, `the ${count}. line "${message}"`);
    return found()!;
  }

  get proxy(): string {
    return `http://127.0.0.1:${this.ports.proxy}`;
  }

  get telemetry(): string {
    return `http://127.0.0.1:${this.ports.telemetry}`;
  }

  /** Calls the admin API. */
  async admin(method: string, target: string, body?: unknown): Promise<ApiAnswer> {
    const response = await fetch(`http://127.0.0.1:${this.ports.admin}${target}`, {
      method,
      headers: {
        Authorization: `Bearer ${this.adminKey}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      text,
      body: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>),
    };
  }

  async mint(spec: Record<string, unknown> = {}): Promise<{ readonly id: string; readonly secret: string }> {
    const answer = await this.admin('POST', '/v1/tokens', spec);
    if (answer.status !== 201) throw new Error(`no token: ${answer.text}`);
    return { id: (answer.body['token'] as { id: string }).id, secret: answer.body['secret'] as string };
  }

  /** Status of one request through the proxy. */
  async status(target: string, secret: string | null, init: RequestInit = {}): Promise<number> {
    const response = await fetch(`${this.proxy}${target}`, {
      ...init,
      headers: { ...init.headers, ...(secret === null ? {} : { Authorization: `Bearer ${secret}` }) },
    });
    await response.arrayBuffer();
    return response.status;
  }

  /** Everything that was logged so far has been written: a request of our own stands behind it. */
  async logged(): Promise<void> {
    const mark = `/mark-${++this.#marks}`;
    await this.status(mark, null);
    await this.program.until(({ stdout }) => stdout.includes(`"path":"${mark}"`), `a line of ${mark}`);
  }

  async metrics(): Promise<string> {
    return (await fetch(`${this.telemetry}/metrics`)).text();
  }

  /** The value of one sample, by its name and labels as they stand in a scrape; 0 when it is not there. */
  async metric(sample: string): Promise<number> {
    const line = (await this.metrics()).split('\n').find(text => text.startsWith(`${sample} `));
    return line === undefined ? 0 : Number(line.slice(sample.length + 1));
  }

  /** Ends it in order; the folder stays for another run when asked. */
  async stop(options: { readonly keep?: boolean } = {}): Promise<number | null> {
    if (this.program.ended === null) this.program.signal('SIGINT');
    const { code } = await this.program.exited();
    if (options.keep !== true) await this.remove();
    return code;
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

export function configText({ config, listen = anyPort }: ServedOptions): string {
  return `listen: ${listen}\n${config.includes('shutdown:') ? '' : 'shutdown: { delay: 0s, grace: 2s }\n'}${config}`;
}
