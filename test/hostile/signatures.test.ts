import { describe, expect, test } from 'vitest';
import type { Proofs } from '../../src/core/constraint.ts';
import { Places, readCredential } from '../../src/core/credential.ts';
import { readForm } from '../../src/core/form.ts';
import { signedText, withExpiry } from '../../src/core/signature.ts';
import { compileSubject } from '../../src/core/token.ts';
import type { Log } from '../../src/ports/log.ts';
import { RequestProver } from '../../src/secrets/request-prover.ts';
import { Scrypt } from '../../src/secrets/scrypt.ts';
import { Vault } from '../../src/secrets/vault.ts';
import { aToken } from '../contract/harness.ts';
import { testKey } from '../support/managed.ts';
import { aHead } from '../support/request.ts';

/** Signed requests that somebody has changed on the way: whatever is changed, they are not what was signed. */

const now = Date.UTC(2030, 0, 1);
const key = 'the-key-of-the-token-0123456789abcdef';
const vault = new Vault(testKey, new Scrypt());
const silent = (): void => {};
const log: Log = { info: silent, warn: silent, error: silent, fault: silent };
const prover = new RequestProver({ vault, scrypt: new Scrypt(), log });
const stored = aToken('t1', { constraints: { signature: { sealed: vault.seal('t1', key) } } });
const subject = compileSubject(stored, null, [], stored.digest);
const places = new Places([
  { kind: 'header', name: 'x-api-key', scheme: null },
  { kind: 'query', name: 'auth_token' },
]);

/** What is proved; null where the request is malformed, or its token ambiguous. */
function proof(target: string, method = 'GET'): Proofs['signature'] {
  const reading = readForm(aHead({ target, method, fields: ['Host', 'a'] }));
  if (!reading.ok) return null;
  const credential = readCredential(reading.form, places);
  if (credential.kind === 'ambiguous') return null;
  const question = { subject, form: reading.form, reading: credential, now, network: 'n', heldBack: () => false };
  return (prover.prove(question) as Proofs).signature;
}

function signed(path: string, query: string | null, method = 'GET'): string {
  const expiring = withExpiry(query, now / 1000 + 60);
  return `${path}?${expiring}&postern_signature=${vault.sign(key, signedText(method, path, expiring))}`;
}

const good = signed('/api/db.get/%7Ea', 'cloudId=c1&x=%20+&&b=1');

test('unchanged, it is good', () => {
  expect(proof(good)).toBe('good');
  expect(proof(signed('/', null))).toBe('good');
  expect(proof(signed('/', ''))).toBe('good');
  expect(proof(signed('/', 'a&'))).toBe('good');
});

test('every byte counts: another one in its place, one less, one more', () => {
  for (let i = 0; i < good.length; i++) {
    const before = good.slice(0, i);
    const changed = [
      ...['a', 'B', '0', '/', '%', '&', '=', '+', '-', '_', '?', '.', ';'].map(
        other => before + other + good.slice(i + 1),
      ),
      ...['a', '&', '/', '?', '='].map(more => before + more + good.slice(i)),
      before + good.slice(i + 1),
      before,
    ];
    for (const target of changed) if (target !== good) expect(proof(target), target).not.toBe('good');
  }
});

describe('what means the same to some server is still another request', () => {
  const [path = '', query = ''] = good.split('?');
  const pairs = query.split('&');
  const variants: Record<string, string> = {
    'parameters in another order': `${path}?${[...pairs].reverse().join('&')}`,
    'two parameters swapped': `${path}?${[pairs[1], pairs[0], ...pairs.slice(2)].join('&')}`,
    'another case in the path': `${path.toUpperCase()}?${query}`,
    'an encoding spelled otherwise': good.replace('%7E', '%7e'),
    'an encoding decoded': good.replace('%7E', '~'),
    'a letter encoded': good.replace('/api', '/%61pi'),
    'a space as a plus sign': good.replace('%20', '+'),
    'the name of the signature encoded': good.replace('postern_signature', 'postern%5fsignature'),
    'the name of the expiry encoded': good.replace('postern_expires', 'postern%5Fexpires'),
    'a trailing slash': `${path}/?${query}`,
    'a doubled slash': `/${good}`,
    'an empty pair less': good.replace('&&', '&'),
    'a parameter more behind the signature': `${good}&admin=1`,
    'a parameter more before it': good.replace('?', '?admin=1&'),
    'the same parameter once more': `${good}&cloudId=c2`,
    'a second question mark': `${good}?x`,
    'the expiry raised': good.replace(/expires=(\d+)/, (_, at: string) => `expires=${Number(at) + 1}`),
    'the expiry twice': `${good}&${pairs.find(pair => pair.startsWith('postern_expires'))}`,
    'the signature twice': `${good}&${pairs.at(-1)}`,
    'the signature in capital letters': good.replace(/signature=.*/, text =>
      text.toUpperCase().replace('SIGNATURE', 'signature'),
    ),
    'the signature padded': `${good}=`,
    'a token that was not there, twice': `${good}&auth_token=a&auth_token=b`,
    'a token in brackets': `${good}&auth_token[]=a`,
  };
  test.each(Object.entries(variants))('%s', (_, target) => {
    expect(target).not.toBe(good);
    expect(proof(target)).not.toBe('good');
  });
  test.each(['HEAD', 'POST', 'get', 'OPTIONS'])('the method %s', method => {
    expect(proof(good, method)).toBe('wrong');
  });
});

test('the token is no part of what is signed, wherever in the query it stands, and nothing else is cut with it', () => {
  for (const target of [
    `${good}&auth_token=t`,
    good.replace('?', '?auth_token=t&'),
    good.replace('&x=', '&auth_token=t&x='),
  ]) {
    expect(proof(target), target).toBe('good');
  }
  for (const target of [`${good}&auth_token=t&`, `${good}&auth_token=t&y=1`, good.replace('?', '?auth_token=t&&')]) {
    expect(proof(target), target).not.toBe('good');
  }
});

test('a signature of one token is none of another', () => {
  const other = vault.sign(
    'another-key-of-another-token-0123456789',
    signedText('GET', '/x', withExpiry(null, now / 1000 + 60)),
  );
  expect(proof(`/x?postern_expires=${now / 1000 + 60}&postern_signature=${other}`)).toBe('wrong');
});
