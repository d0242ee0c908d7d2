import type { ServerOptions } from 'node:https';
import type { FormCode } from '../core/form.ts';

/** What our listeners have in common: TLS, and the names of what Node's parser refuses. */

export interface TlsMaterial {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** When set, clients must present a certificate that it signed. */
  readonly clientCa: string | Buffer | null;
}

export const tlsSettings = ({ cert, key, clientCa }: TlsMaterial): ServerOptions => ({
  cert,
  key,
  minVersion: 'TLSv1.2',
  ALPNProtocols: ['http/1.1'],
  ...(clientCa === null ? {} : { ca: clientCa, requestCert: true, rejectUnauthorized: true }),
});

export type ParserError = NodeJS.ErrnoException & { readonly reason?: string };

/** The code for what the parser gave up on, and why; null when the client has gone and there is nobody to answer. */
export function parserRefusal(error: ParserError): readonly [code: FormCode, why: string] | null {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return ['head_too_large', 'the head is over 16 KiB'];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return ['request_timeout', 'the request came too slowly'];
    case 'HPE_PAUSED_H2_UPGRADE':
      return ['version_not_supported', 'HTTP/2 is not spoken'];
    case 'HPE_INVALID_VERSION':
      if (error.reason !== 'Expected CRLF after version') return ['version_not_supported', 'unknown HTTP version'];
      break;
    case 'HPE_INVALID_EOF_STATE':
      return null;
  }
  return error.code?.startsWith('HPE_') ? ['malformed_request', 'the request is not HTTP/1.1'] : null;
}
