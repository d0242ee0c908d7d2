import { describe, expect, test } from 'vitest';
import { carriesBody, headLimits, type MessageHead, readForm, readHost } from '../../../src/core/form.ts';
import { aForm, aHead } from '../../support/request.ts';

const host = ['Host', 'a'] as const;

function codeOf(head: Partial<MessageHead>): string {
  const reading = readForm(aHead(head));
  return reading.ok ? 'ok' : reading.fault.code;
}

/** With a Host, and these fields behind it. */
const withFields = (...fields: string[]): Partial<MessageHead> => ({ method: 'POST', fields: [...host, ...fields] });

describe('a message whose end two servers could see in different places is refused', () => {
  test.each<[string, Partial<MessageHead>]>([
    ['Transfer-Encoding with Content-Length', withFields('Content-Length', '5', 'Transfer-Encoding', 'chunked')],
    ['the same, the other way round', withFields('Transfer-Encoding', 'chunked', 'content-LENGTH', '5')],
    ['Transfer-Encoding with a length of 0', withFields('Transfer-Encoding', 'chunked', 'Content-Length', '0')],
    ['Transfer-Encoding on HTTP/1.0', { ...withFields('Transfer-Encoding', 'chunked'), version: '1.0' }],
    ['two equal lengths', withFields('Content-Length', '5', 'Content-Length', '5')],
    ['two lengths', withFields('Content-Length', '5', 'content-length', '6')],
    ['two Transfer-Encoding', withFields('Transfer-Encoding', 'chunked', 'Transfer-Encoding', 'chunked')],
    ...[
      'gzip, chunked',
      'chunked, chunked',
      'chunked, identity',
      'identity',
      'xchunked',
      'chunked;q=1',
      '"chunked"',
      '',
    ].map((value): [string, Partial<MessageHead>] => [
      `Transfer-Encoding: ${value}`,
      withFields('Transfer-Encoding', value),
    ]),
    ...['+1', '-1', '0x1', '1_0', '1 1', '1,1', '', '18446744073709551617', '9007199254740992', '1e3', '1.0', '٣'].map(
      (value): [string, Partial<MessageHead>] => [`Content-Length: ${value}`, withFields('Content-Length', value)],
    ),
  ])('%s', (_, head) => {
    expect(codeOf(head)).toBe('malformed_request');
  });

  test('a length, chunked, or nothing is a framing', () => {
    expect(aForm('/').framing).toEqual({ kind: 'none' });
    expect(aForm('/', ['Content-Length', '0']).framing).toEqual({ kind: 'length', length: 0 });
    expect(aForm('/', ['Content-Length', '9007199254740991']).framing).toEqual({ kind: 'length', length: 2 ** 53 - 1 });
    expect(aForm('/', ['Transfer-Encoding', 'Chunked']).framing).toEqual({ kind: 'chunked' });
    expect(aForm('/', ['Content-Length', '5'], { version: '1.0' }).framing).toEqual({ kind: 'length', length: 5 });
  });

  test('a length of zero carries no body', () => {
    expect(carriesBody({ kind: 'none' })).toBe(false);
    expect(carriesBody({ kind: 'length', length: 0 })).toBe(false);
    expect(carriesBody({ kind: 'length', length: 1 })).toBe(true);
    expect(carriesBody({ kind: 'chunked' })).toBe(true);
  });
});

describe('Host', () => {
  test('is needed on HTTP/1.1, not on 1.0, and stands once', () => {
    expect(codeOf({ fields: [] })).toBe('malformed_request');
    expect(codeOf({ fields: ['Host', 'a', 'Host', 'b'] })).toBe('malformed_request');
    expect(codeOf({ fields: ['Host', 'a', 'host', 'a'] })).toBe('malformed_request');
    const old = readForm(aHead({ fields: [], version: '1.0' }));
    expect(old).toMatchObject({ ok: true, form: { authority: null, host: '', version: '1.0' } });
  });

  test.each([
    ['a', 'a'],
    ['API.Example.COM', 'api.example.com'],
    ['api.example.com.', 'api.example.com'],
    ['api.example.com.:8080', 'api.example.com'],
    ['api_internal-1', 'api_internal-1'],
    ['a:', 'a'],
    ['a:0', 'a'],
    ['a:65535', 'a'],
    ['10.0.0.1:80', '10.0.0.1'],
    ['[::1]', '[::1]'],
    ['[2001:DB8::1]:8443', '[2001:db8::1]'],
    ['[::ffff:1.2.3.4]', '[::ffff:1.2.3.4]'],
  ])('%s is the host %s', (authority, name) => {
    expect(readHost(authority)).toBe(name);
    expect(aForm('/', [], { fields: ['Host', authority] })).toMatchObject({ authority, host: name });
  });

  test.each([
    '',
    ' ',
    '.',
    '..',
    'a..',
    'a..b',
    'a b',
    'a\0b',
    'u@a',
    'u:p@a',
    'a:99999',
    'a:65536',
    'a:-1',
    'a:80x',
    'a:80:80',
    'a,b',
    'a/b',
    'a?b',
    'a#b',
    'a\\b',
    'a%2eb',
    'é',
    '[::1',
    '::1',
    '[::1]x',
    '[::1]x:80',
    '[::1]]',
    '[]',
    '[g::1]',
    '[fe80::1%eth0]',
    ':80',
    'http://a',
  ])('%j is no host', authority => {
    expect(readHost(authority)).toBeNull();
    expect(codeOf({ fields: ['Host', authority] })).toBe('malformed_request');
  });
});

describe('versions', () => {
  test.each(['0.9', '1.2', '2.0', '3.0', '1.10', ''])('HTTP/%s is not spoken', version => {
    expect(codeOf({ version })).toBe('version_not_supported');
  });

  test.each(['PRI', 'SOURCE', 'DESCRIBE', 'SETUP', 'FLUSH'])('%s is a method of another protocol', method => {
    expect(codeOf({ method })).toBe('malformed_request');
  });
});

describe('the size of a head', () => {
  const fields = (count: number): string[] => Array.from({ length: count }, (_, i) => [`x-${i}`, '1']).flat();

  test('a hundred fields are taken, one more is too many', () => {
    expect(codeOf({ fields: [...host, ...fields(99)] })).toBe('ok');
    expect(codeOf({ fields: [...host, ...fields(100)] })).toBe('head_too_large');
    expect(codeOf({ fields: [...host, ...fields(1500)] })).toBe('head_too_large');
  });

  test('a field beyond the bound is never merely dropped', () => {
    expect(codeOf({ fields: [...host, ...fields(100), 'Host', 'b'] })).toBe('head_too_large');
  });

  test('sixteen kibibytes of request line and fields are taken, a byte more is too much', () => {
    // "GET / HTTP/1.1\r\n", "Host: a\r\n", "x: " and "\r\n".
    const rest = headLimits.bytes - 16 - 9 - 5;
    expect(codeOf({ fields: [...host, 'x', 'v'.repeat(rest)] })).toBe('ok');
    expect(codeOf({ fields: [...host, 'x', 'v'.repeat(rest + 1)] })).toBe('head_too_large');
    expect(codeOf({ target: `/${'a'.repeat(17 * 1024)}` })).toBe('head_too_large');
  });
});

describe('targets that are no path', () => {
  test.each([
    ['OPTIONS', '*'],
    ['CONNECT', 'a:80'],
    ['CONNECT', '/a'],
  ])('%s %s has no segments: no route takes it', (method, target) => {
    expect(aForm(target, [], { method }).target).toMatchObject({ raw: target, segments: [], query: null });
  });

  test.each([
    ['GET', '*'],
    ['HEAD', '*'],
    ['OPTIONS', 'http://a/*'],
    ['GET', 'http://evil/admin'],
    ['GET', 'a:80'],
  ])('%s %s is malformed', (method, target) => {
    expect(codeOf({ method, target })).toBe('malformed_request');
  });
});

describe('upgrades', () => {
  const upgrade = (value: string, connection = 'Upgrade'): string[] => ['Connection', connection, 'Upgrade', value];

  test.each([
    ['websocket', 'Upgrade'],
    ['WebSocket', 'keep-alive, UPGRADE'],
  ])('Upgrade: %s with Connection: %s is a handshake', (value, connection) => {
    expect(aForm('/', upgrade(value, connection)).websocket).toBe(true);
  });

  test.each<[string, string[], Partial<MessageHead>]>([
    ['h2c', upgrade('h2c'), {}],
    ['a list', upgrade('h2c, websocket'), {}],
    ['two fields', [...upgrade('websocket'), 'Upgrade', 'h2c'], {}],
    ['another protocol', upgrade('foo'), {}],
    ['no Connection: upgrade', ['Connection', 'keep-alive', 'Upgrade', 'websocket'], {}],
    ['no Connection', ['Upgrade', 'websocket'], {}],
    ['a name that only begins like it', upgrade('websocket', 'upgraded'), {}],
    ['HTTP/1.0', upgrade('websocket'), { version: '1.0', fields: ['Host', 'a', ...upgrade('websocket')] }],
    ['POST', upgrade('websocket'), { method: 'POST' }],
  ])('%s is no handshake', (_, fields, more) => {
    expect(aForm('/', fields, more).websocket).toBe(false);
  });

  test.each([
    ['Content-Length', '5'],
    ['Transfer-Encoding', 'chunked'],
  ])('with a body (%s) it is refused, because what follows is ambiguous', (name, value) => {
    expect(codeOf({ fields: [...host, ...upgrade('websocket'), name, value] })).toBe('malformed_request');
    expect(codeOf({ fields: [...host, ...upgrade('h2c'), name, value] })).toBe('malformed_request');
  });
});

describe('expectations', () => {
  const body = ['Content-Length', '5'];

  test('100-continue is heard where a body follows', () => {
    expect(aForm('/', [...body, 'Expect', '100-Continue']).expectsContinue).toBe(true);
    expect(aForm('/', ['Transfer-Encoding', 'chunked', 'Expect', '100-continue']).expectsContinue).toBe(true);
    expect(aForm('/', ['Content-Length', '0', 'Expect', '100-continue']).expectsContinue).toBe(false);
    expect(aForm('/', ['Expect', '100-continue']).expectsContinue).toBe(false);
  });

  test.each(['foo', '100-continue, foo', '', '100'])('nothing else can be expected: %j', value => {
    expect(codeOf(withFields(...body, 'Expect', value))).toBe('expectation_failed');
  });

  test('twice is something else', () => {
    expect(codeOf(withFields(...body, 'Expect', '100-continue', 'Expect', '100-continue'))).toBe('expectation_failed');
  });

  test('HTTP/1.0 knows no expectations', () => {
    expect(aForm('/', ['Content-Length', '5', 'Expect', 'foo'], { version: '1.0' }).expectsContinue).toBe(false);
  });
});

test('every Connection field counts, lower-cased, empty elements aside', () => {
  expect(aForm('/', ['Connection', 'Close, X-A', 'connection', ' ,x-b ,']).connection).toEqual(['close', 'x-a', 'x-b']);
});

test('two Origins are refused: the rule for cookies could be judged by either', () => {
  expect(codeOf({ fields: [...host, 'Origin', 'https://a', 'origin', 'https://a'] })).toBe('malformed_request');
});

test('fields are kept as they were received, with a lower-cased name for each', () => {
  const fields = ['Host', 'a', 'X-A', '1', 'x-a', '2', 'X_A', '3'];
  const form = aForm('/', [], { fields });
  expect(form.fields).toEqual(fields);
  expect(form.names).toEqual(['host', 'x-a', 'x-a', 'x_a']);
});
