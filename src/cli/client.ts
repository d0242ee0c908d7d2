import type { Config } from '../config/config.ts';
import { type Call, Failed } from './command.ts';
import { ask } from './request.ts';
import { findTarget, type Target } from './target.ts';
import { certificateFault } from './trust.ts';

export interface ApiAnswer {
  readonly status: number;
  readonly body: Record<string, unknown>;
  readonly etag: string | undefined;
}

/** Milliseconds; the longest wait for a revocation, 30 s, fits into it. */
const timeoutMs = 45_000;

/** Speaks to the admin API. */
export class AdminClient {
  readonly #target: Target;

  private constructor(target: Target) {
    this.#target = target;
  }

  static async of(call: Pick<Call, 'options' | 'io'>): Promise<AdminClient> {
    return new AdminClient(await findTarget(call));
  }

  /** The configuration of the instance that is asked; null where it is not known. */
  get config(): Config | null {
    return this.#target.config;
  }

  /** Fails with the API's own words when the answer is a problem. */
  async call(method: string, target: string, body?: unknown, headers: Record<string, string> = {}): Promise<ApiAnswer> {
    const { url, key, tls } = this.#target;
    const { status, etag, text } = await ask(new URL(target, url), {
      method,
      headers: {
        Authorization: `Bearer ${key}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      timeoutMs,
      tls,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    }).catch((error: NodeJS.ErrnoException) => {
      throw new Failed(`no answer from ${url}: ${certificateFault(error.code) ?? error.code ?? error.message}`);
    });
    const parsed = parse(text);
    if (parsed === null) throw new Failed(`${url} answered ${status}, and not as the admin API does`);
    if (status >= 200 && status <= 299) return { status, body: parsed, etag };
    throw new Failed(problemText(status, parsed));
  }

  /**
   * A list, page after page to its end, or to the `most`th thing. `next` is the API's cursor for what is left; null
   * when nothing is.
   */
  async list(
    path: string,
    member: string,
    filters: URLSearchParams = new URLSearchParams(),
    most = Number.POSITIVE_INFINITY,
  ): Promise<{ readonly items: Record<string, unknown>[]; readonly next: string | null }> {
    const items: Record<string, unknown>[] = [];
    let next: string | null = null;
    do {
      const query = new URLSearchParams(filters);
      query.set('limit', String(Math.min(1000, most - items.length)));
      if (next !== null) query.set('cursor', next);
      const { body } = await this.call('GET', `${path}?${query}`);
      items.push(...(body[member] as Record<string, unknown>[]));
      next = body['next_cursor'] as string | null;
    } while (next !== null && items.length < most);
    return { items, next };
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
