import { Pool } from 'undici';
import type { Portion } from './portion.ts';

/** What came of asking: the body of a good answer, nobody by its status, or why there is nothing to go by. */
export type Reply =
  | { readonly kind: 'body'; readonly bytes: Uint8Array }
  | { readonly kind: 'nobody'; readonly status: number }
  | { readonly kind: 'failed'; readonly why: string };

/** Most bytes of an answer, connections to the system, and times that a question is asked. */
const most = { bytes: 64 * 1024, connections: 16, attempts: 2 } as const;

const nobodyBy: ReadonlySet<number> = new Set([401, 403, 404]);

/** Asks the other system over HTTP/1.1. Redirects are answers that say nothing. */
export class SessionClient {
  readonly #pool: Pool;
  readonly #path: string;

  constructor(url: string) {
    const { origin, pathname, search } = new URL(url);
    this.#path = pathname + search;
    this.#pool = new Pool(origin, {
      connections: most.connections,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: 16 * 1024,
    });
  }

  /** Never rejects. `why` is a word of ours or the code of an error, and nothing that was sent or received. */
  async ask({ headers, query }: Portion, deadlineMs: number): Promise<Reply> {
    const separator = this.#path.includes('?') ? '&' : '?';
    const path = query === null ? this.#path : this.#path + separator + query;
    const signal = AbortSignal.timeout(deadlineMs);
    for (let attempt = 1; ; attempt++) {
      try {
        const asked = await this.#pool.request({
          method: 'GET',
          path,
          headers: { accept: 'application/json', ...headers },
          signal,
        });
        return await read(asked);
      } catch (error) {
        if (signal.aborted) return { kind: 'failed', why: 'too slow' };
        const why = codeOf(error);
        // A connection that was kept may have ended just now.
        if (attempt < most.attempts && (why === 'UND_ERR_SOCKET' || why === 'ECONNRESET')) continue;
        return { kind: 'failed', why };
      }
    }
  }

  /** What is under way is answered. */
  close(): void {
    this.#pool.close().catch(() => {});
  }
}

async function read({ statusCode, body }: Awaited<ReturnType<Pool['request']>>): Promise<Reply> {
  if (statusCode !== 200) {
    // What it says does not matter, but the connection does.
    body.dump({ limit: most.bytes }).catch(() => {});
    return nobodyBy.has(statusCode)
      ? { kind: 'nobody', status: statusCode }
      : { kind: 'failed', why: `status ${statusCode}` };
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    length += piece.length;
    // Leaving the loop ends the connection.
    if (length > most.bytes) return { kind: 'failed', why: 'too large' };
    pieces.push(piece);
  }
  return { kind: 'body', bytes: Buffer.concat(pieces) };
}

const codeOf = (error: unknown): string => {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return typeof code === 'string' && /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'failed';
};
