import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { checkServerIdentity, createSecureContext } from 'node:tls';
import type { Listener } from '../config/config.ts';
import { isLoopback, reaches } from '../config/network.ts';
import { UsageError } from './command.ts';
import type { Trust } from './request.ts';

/** Whom the client believes to be Postern. */

/** Authorities of a file, instead of those of the system. */
export async function trustOf(file: string): Promise<Trust> {
  let ca: Buffer;
  try {
    ca = await readFile(file);
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : (error as Error).message;
    throw new UsageError(`--ca ${file} ${why}`);
  }
  try {
    // A context takes text without any certificate, and then trusts nobody.
    new X509Certificate(ca);
    createSecureContext({ ca });
  } catch {
    throw new UsageError(`--ca ${file} holds no certificate in PEM`);
  }
  return { ca };
}

/**
 * The listener's own certificate, where the URL leads to it on this machine: whoever shows that one is it, whatever
 * names stand in it and whoever signed it. Null where the URL leads elsewhere.
 */
export function trustOfOwn(url: URL, { tls, host, port }: Listener): Trust | null {
  const hostname = url.hostname.replace(/^\[|\]$/g, '');
  const isOwn = isLoopback(hostname) && reaches(hostname, Number(url.port || 443), { host: host ?? null, port });
  if (tls === null || url.protocol !== 'https:' || !isOwn) return null;
  const own = new X509Certificate(tls.cert);
  return {
    ca: tls.cert,
    // It need not sign itself.
    allowPartialTrustChain: true,
    checkServerIdentity: (name, peer) => (peer.raw.equals(own.raw) ? undefined : checkServerIdentity(name, peer)),
  };
}

const unknownSigner = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** What is said of a certificate that is not believed; null when the fault is another one. */
export function certificateFault(code: string | undefined): string | null {
  if (code === undefined) return null;
  if (unknownSigner.has(code)) {
    return `its certificate is signed by nobody that is trusted here (${code}); name the authority's file with --ca`;
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `its certificate is for other names (${code}); use one of them in --url`;
  return null;
}
