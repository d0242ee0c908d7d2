import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { loadConfig } from '../config/load.ts';
import { type Call, Failed, UsageError } from './command.ts';
import { urlOf } from './probes.ts';
import { findSource } from './source.ts';

/** Options of every command that speaks to the admin API. */
export const clientOptions = { config: { type: 'string' }, 'key-file': { type: 'string' } } as const;

export const clientUsage = '[--json]';

export interface ApiAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

/** Speaks to the admin API: `POSTERN_ADMIN_URL` and `POSTERN_ADMIN_KEY`, or what the configuration says. */
export class AdminClient {
  readonly #url: string;
  readonly #key: string;

  private constructor(url: string, key: string) {
    this.#url = url;
    this.#key = key;
  }

  static async of({ options, io }: Call): Promise<AdminClient> {
    const configured = await settings({ options, io });
    const url = io.env['POSTERN_ADMIN_URL'] ?? configured.url;
    if (!URL.canParse(url)) throw new UsageError(`POSTERN_ADMIN_URL is no URL: ${url}`);
    const named = options.text('key-file');
    const given = named === undefined ? io.env['POSTERN_ADMIN_KEY'] : undefined;
    const key = given === undefined ? await keyFrom(named ?? configured.keyFile) : usable(given, 'POSTERN_ADMIN_KEY');
    return new AdminClient(url, key);
  }

  /** Fails with the API's own words when the answer is a problem. */
  async call(method: string, target: string, body?: unknown, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    let response: Response;
    try {
      response = await fetch(new URL(target, this.#url), {
        method,
        headers: {
          Authorization: `Bearer ${this.#key}`,
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
          ...headers,
        },
        redirect: 'error',
        signal: AbortSignal.timeout(30_000),
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    } catch (error) {
      const { cause, message } = error as Error & { cause?: Error & { code?: string } };
      throw new Failed(`no answer from ${this.#url}: ${cause?.code ?? cause?.message ?? message}`);
    }
    const text = await response.text();
    const parsed = parse(text);
    if (response.ok && parsed !== null) return { status: response.status, body: parsed };
    if (parsed === null) throw new Failed(`${this.#url} answered ${response.status}, and not as the admin API does`);
    throw new Failed(problemText(response.status, parsed));
  }
}

function parse(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

function problemText(status: number, { code, detail, errors }: Record<string, unknown>): string {
  const lines = Array.isArray(errors)
    ? (errors as { pointer?: string; detail?: string }[]).map(({ pointer, detail: why }) => `\n  ${pointer}: ${why}`)
    : [];
  return `${String(code)} (${status}): ${String(detail)}${lines.join('')}`;
}

/** What the configuration says, if there is one that can be read; else where things are by default. */
async function settings({ options, io }: Pick<Call, 'options' | 'io'>): Promise<{ url: string; keyFile: string }> {
  const source = findSource(options, io);
  const loaded = source === null ? null : await loadConfig(source);
  if (loaded?.ok) {
    const { listen, store } = loaded.config;
    return { url: urlOf(listen.admin.address, listen.admin.tls !== null), keyFile: path.join(store.path, 'admin.key') };
  }
  const folder = io.env['POSTERN_STORE_URL'] ?? './data';
  const url = urlOf(io.env['POSTERN_LISTEN_ADMIN'] ?? '127.0.0.1:8081', false);
  return { url, keyFile: path.join(folder, 'admin.key') };
}

/** A key that a field can carry; one that cannot would be told in the words of whoever fails to write it. */
function usable(key: string, where: string): string {
  if (/^[!-~]+$/.test(key)) return key;
  throw new UsageError(`${where} holds no admin key: one is a line of visible ASCII characters`);
}

async function keyFrom(file: string): Promise<string> {
  try {
    return usable((await readFile(file, 'utf8')).replace(/\r?\n$/, ''), file);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : (error as Error).message;
    throw new UsageError(`no admin key: set POSTERN_ADMIN_KEY, or name a file with --key-file (${file} ${why})`);
  }
}
