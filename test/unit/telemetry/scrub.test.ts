import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { base62 } from '../../../src/core/secret-form.ts';
import { errorFields } from '../../../src/telemetry/error-fields.ts';
import { scrub } from '../../../src/telemetry/scrub.ts';
import { cut, quote, visible } from '../../../src/telemetry/text.ts';

const letters = (length: number): string => Array.from(randomBytes(length), byte => base62[byte % 62]!).join('');

const freshToken = (): string => `pst_${letters(38)}`;

/** Forms in which a secret turns up in text. */
const forms = (secret: string): string[] => [
  secret,
  encodeURIComponent(secret),
  secret.replace('_', '%5F'),
  Buffer.from(secret).toString('base64'),
  Buffer.from(secret).toString('base64url'),
  encodeURIComponent(Buffer.from(secret).toString('base64')),
  Buffer.from(secret).toString('hex'),
  Buffer.from(secret).toString('hex').toUpperCase(),
];

/** Sentences in which libraries quote what they were given. */
const sentences: ((secret: string) => string)[] = [
  s => s,
  s => `connect failed for ${s}.`,
  s => `ERR unknown command 'SET', with args beginning with: 'k:${s}' 'EX' '60'`,
  s => `{"headers":{"x-api-key":"${s}"}}`,
  s => `invalid header authorization: Bearer ${s}`,
  s => `bearer   ${s}, retry`,
  s => `Authorization=Basic ${Buffer.from(`user:${s}`).toString('base64')}`,
  s => `GET http://127.0.0.1:3000/path?auth_token=${s}&x=1 failed`,
  s => `redis://default:${s}@10.0.0.7:6379/0 refused`,
  s => `Cookie: a=b; api_token=${s}; c=d`,
  s => `line one\n\tat ${s} (file:///app/src/main.ts:1:2)`,
];

const leaks = (shown: string, secret: string): boolean => forms(secret).some(form => shown.includes(form));

/** No piece of a secret that would be of use to a guesser. */
const leaksPiece = (shown: string, secret: string): boolean => {
  for (let i = 0; i + 12 <= secret.length; i++) if (shown.includes(secret.slice(i, i + 12))) return true;
  return false;
};

describe('errorFields', () => {
  it('no planted secret survives errorFields, in any form, whatever quotes it and wherever it stands', () => {
    const leaking: string[] = [];
    for (let round = 0; round < 200; round++) {
      const secret = freshToken();
      for (const form of forms(secret)) {
        for (const sentence of sentences) {
          const cause = Object.assign(new Error(sentence(form)), { code: form });
          const error = Object.assign(new Error(sentence(form), { cause }), {
            name: form,
            code: form,
            command: { name: 'auth', args: [secret] },
            options: { headers: { authorization: `Bearer ${secret}` } },
          });
          const shown = JSON.stringify(errorFields(error, { stack: true }));
          if (leaks(shown, secret) || leaksPiece(shown, secret.slice(4))) leaking.push(shown);
        }
      }
    }
    expect(leaking).toEqual([]);
  });

  it('no random key survives: base64, base64url, hex and base62 of 24 bytes and more', () => {
    const leaking: string[] = [];
    for (let round = 0; round < 5000; round++) {
      const bytes = randomBytes(24 + (round % 24));
      for (const key of [bytes.toString('base64'), bytes.toString('base64url'), bytes.toString('hex'), letters(32)]) {
        const shown = JSON.stringify(errorFields(new Error(`the key ${key} was refused`)));
        if (shown.includes(key.slice(0, 16))) leaking.push(shown);
      }
    }
    expect(leaking).toEqual([]);
  });

  it('no password survives in a URL, whatever characters it is made of', () => {
    for (const password of ['hunter2', 'p@ss/word', 'a:b@c', 'x?y=z', '#1']) {
      const { error_message: shown } = errorFields(new Error(`connect rediss://app:${password}@store:6379/0 failed`));
      expect(shown).toBe('connect rediss://[redacted]@store:6379/0 failed');
    }
  });

  it('no half of a secret survives at the place where a long message is cut', () => {
    const secret = freshToken();
    for (let before = 900; before < 1100; before++) {
      const shown = JSON.stringify(errorFields(new Error(`${'x '.repeat(before / 2)}${secret}`)));
      expect(leaksPiece(shown, secret.slice(4)), shown).toBe(false);
    }
    for (let before = 8100; before < 8200; before++) {
      const shown = scrub(`${'? '.repeat(before / 2)}${secret}`, 10_000);
      expect(leaksPiece(shown, secret.slice(4)), String(before)).toBe(false);
    }
  });

  it('says what a person needs: name, code, message, and the code of the cause', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6379'), { code: 'ECONNREFUSED' });
    const error = Object.assign(new TypeError('the store did not answer', { cause }), { code: 'E_STORE' });
    expect(errorFields(error)).toEqual({
      error_name: 'TypeError',
      error_code: 'E_STORE',
      error_message: 'the store did not answer',
      error_cause: 'ECONNREFUSED',
      error_stack: undefined,
    });
    expect(errorFields(error, { stack: true }).error_stack).toMatch(/^TypeError: the store did not answer\\x0a {4}at /);
  });

  it('never throws, and shows no members of what is not an error', () => {
    const hostile = Object.defineProperty(new Error('x'), 'message', {
      get: () => {
        throw new Error('gotcha');
      },
    });
    expect(errorFields(hostile)).toEqual({ error_name: 'unreadable' });
    expect(errorFields({ password: 'hunter2' })).toEqual({ error_name: 'object', error_message: 'not an error' });
    expect(errorFields('Bearer abc')).toEqual({ error_name: 'string', error_message: 'Bearer [redacted]' });
    for (const value of [null, 7, Symbol('s'), () => 1, Object.create(null)])
      expect(() => errorFields(value)).not.toThrow();
  });
});

describe('scrub', () => {
  it('leaves what people need to read: words, paths, addresses, request ids and token ids', () => {
    for (const text of [
      "ENOENT: no such file or directory, open '/etc/postern/certificates/tls.crt'",
      'connect ECONNREFUSED 127.0.0.1:6379',
      'getaddrinfo ENOTFOUND token-store.production.svc.cluster.local',
      'the request 018f3c2e-7b1a-7c3d-9f00-0123456789ab failed',
      'tok_9fK2mQ7xR4vB1nZ8cL5w was revoked',
      'at collectDefaultMetricsFromRegistry (file:///app/src/telemetry/metrics.ts:10:5)',
      'postern_config_last_reload_success_timestamp_seconds',
      '/var/run/secrets/kubernetes.io/serviceaccount/namespace',
      'certificate has expired: unable_to_get_issuer_certificate_locally',
      'What now? Nothing.',
      'postern.yaml:3:5 routes[0].acess: unknown key, did you mean access?; allowed: path, methods, hosts, access',
      'Is it there (or is it?). Is it?',
    ]) {
      expect(scrub(text)).toBe(text);
    }
  });

  it('hides a query, whatever it begins with', () => {
    for (const query of ['a=hunter2', '&a=hunter2', ';a=hunter2', '=hunter2', '?hunter2', '%61=hunter2', ')hunter2']) {
      expect(scrub(`GET /path?${query} failed`)).toBe('GET /path?[redacted] failed');
    }
  });

  it('takes time in proportion to the text, whatever it is made of', () => {
    for (const piece of [
      '://',
      'eyJ-',
      'token ',
      'token   ',
      'a',
      '_',
      '%5F',
      '?',
      'cookie',
      'bearer ',
      'aA',
      '@',
      ' ',
      '"',
      'eyJa.',
    ]) {
      const began = performance.now();
      scrub(piece.repeat(1_000_000 / piece.length));
      expect(performance.now() - began, piece).toBeLessThan(1000);
    }
  });
});

describe('text of others', () => {
  it('has control characters, ANSI sequences and reordering made visible', () => {
    expect(visible('\x1b[31mred\x1b[0m\r\n\x00\x7f\x9b\u202egnp\u2028\ufeff')).toBe(
      '\\x1b[31mred\\x1b[0m\\x0d\\x0a\\x00\\x7f\\x9b\\u202egnp\\u2028\\ufeff',
    );
    expect(visible('Ärger, 你好, 🎉')).toBe('Ärger, 你好, 🎉');
  });

  it('is cut, never within a surrogate pair', () => {
    expect(cut('abcdef', 6)).toBe('abcdef');
    expect(cut('abcdefg', 6)).toBe('abcdef…');
    expect(cut('abcd🎉🎉', 5)).toBe('abcd…');
  });

  it('is JSON that says the same, for every character there is', () => {
    const wrong: string[] = [];
    for (let code = 0; code < 0x10000; code++) {
      const text = `a${String.fromCharCode(code)}b`;
      const said = JSON.parse(quote(text, 10)) as string;
      if (said !== visible(text) || /[\x00-\x1f\x7f-\x9f]/.test(said)) wrong.push(code.toString(16));
    }
    expect(wrong).toEqual([]);
  });
});
