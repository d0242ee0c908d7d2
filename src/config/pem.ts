import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { Context } from './context.ts';

/** Certificates and keys: what is unusable is found when it is loaded, not at the first connection. */

const blocks = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

/** A certificate and its private key; null after a problem. */
export async function readPair(
  names: { readonly cert?: string | undefined; readonly key?: string | undefined },
  key: string,
  { files, problems, now }: Context,
): Promise<{ readonly cert: Buffer; readonly key: Buffer } | null> {
  if (names.cert === undefined || names.key === undefined) return null;
  const pem = {
    cert: await files.contents(names.cert, `${key}.cert`),
    key: await files.contents(names.key, `${key}.key`, true),
  };
  if (pem.cert === null || pem.key === null) return null;
  const certificates = readCertificates(pem.cert);
  if (certificates === null) {
    problems.add(
      `${key}.cert`,
      `${files.resolve(names.cert)} holds no certificate; allowed: a certificate chain in PEM`,
    );
    return null;
  }
  try {
    createSecureContext({ cert: pem.cert, key: pem.key });
  } catch {
    const message = `${files.resolve(names.key)} is not the key of the certificate; allowed: its private key in PEM`;
    problems.add(`${key}.key`, message);
    return null;
  }
  const [own] = certificates;
  if (own !== undefined && own.validToDate.getTime() <= now) problems.warn(`${key}.cert`, `expired on ${own.validTo}`);
  return { cert: pem.cert, key: pem.key };
}

/** Certificate authorities; null after a problem. */
export async function readAuthorities(name: string, key: string, { files, problems }: Context): Promise<Buffer | null> {
  const pem = await files.contents(name, key);
  if (pem === null || readCertificates(pem) !== null) return pem;
  problems.add(key, `${files.resolve(name)} holds no certificate; allowed: certificates in PEM`);
  return null;
}

/** The certificates of a PEM file, at least one; null when one of them cannot be read. */
function readCertificates(pem: Buffer): X509Certificate[] | null {
  const texts = pem.toString('latin1').match(blocks);
  try {
    return texts?.map(text => new X509Certificate(text)) ?? null;
  } catch {
    return null;
  }
}
