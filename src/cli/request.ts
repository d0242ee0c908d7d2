import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { ConnectionOptions } from 'node:tls';

export interface Asked {
  readonly method: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
  /** For https: whom to trust. */
  readonly tls?: Trust;
}

export type Trust = Pick<
  ConnectionOptions,
  'ca' | 'allowPartialTrustChain' | 'checkServerIdentity' | 'rejectUnauthorized'
>;

export interface Answered {
  readonly status: number;
  readonly etag: string | undefined;
  readonly text: string;
}

/** One request on a connection of its own. `fetch` cannot be told whom to trust; redirects are answers here. */
export function ask(url: URL, { method, headers, body, timeoutMs, tls }: Asked): Promise<Answered> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers: { ...headers }, agent: false, ...tls }, answer => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () => {
        const text = Buffer.concat(pieces).toString('utf8');
        resolve({ status: answer.statusCode ?? 0, etag: answer.headers.etag, text });
      });
    });
    const late = setTimeout(() => outgoing.destroy(new Error(`no answer in ${timeoutMs / 1000} s`)), timeoutMs);
    outgoing.on('close', () => clearTimeout(late));
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

/** As `ask`, with the body to be read as it comes. `timeoutMs` is the longest silence. */
export function askStream(
  url: URL,
  { method, headers, timeoutMs, tls }: Asked,
): Promise<{ readonly status: number; readonly body: IncomingMessage }> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers: { ...headers }, agent: false, ...tls }, body =>
      resolve({ status: body.statusCode ?? 0, body }),
    );
    outgoing.setTimeout(timeoutMs, () => outgoing.destroy(new Error(`nothing for ${timeoutMs / 1000} s`)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
