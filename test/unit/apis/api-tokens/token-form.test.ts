import { expect, test } from 'vitest';
import {
  apiTokenForm,
  encodeToken,
  greatestId,
  readId,
  tokenShape,
} from '../../../../src/apis/api-tokens/token-form.ts';
import { decodeToken } from '../../../support/api-token.ts';

const ascending = Uint8Array.from({ length: 16 }, (_, i) => i + 1);

test('the bytes are the id XOR NOT of the next ones, the type, and what is random', () => {
  // ~0x0102030405060708 is 0xfefdfcfbfaf9f8f7; its last byte XOR 1 is 0xf6.
  const bytes = Buffer.from(encodeToken(1n, ascending), 'base64url');
  expect(bytes.toString('hex')).toBe('fefdfcfbfaf9f8f6' + '02' + '0102030405060708090a0b0c0d0e0f10');
});

test('a token is these 34 characters, made elsewhere from the same id and bytes', () => {
  const random = Buffer.from('8899aabbccddeeff0011223344556677', 'hex');
  const token = 'ZkRFsE7LkBUCiJmqu8zd7v8AESIzRFVmdw';
  expect(encodeToken(1234567890123456789n, random)).toBe(token);
  expect(decodeToken(token)).toEqual({ id: 1234567890123456789n, type: 2 });
  expect(Buffer.from(token, 'base64url').toString('hex')).toBe('664445b04ecb9015028899aabbccddeeff0011223344556677');
});

test('a token that is all zero but for its type carries the id -1, which none has', () => {
  const token = Buffer.concat([Buffer.alloc(8), Buffer.of(2), Buffer.alloc(16)]).toString('base64url');
  expect(decodeToken(token)).toEqual({ id: -1n, type: 2 });
});

test.each([1n, 2n, 255n, 2n ** 32n, 2n ** 53n + 1n, greatestId])('the id %s comes out as it went in', id => {
  const token = encodeToken(id, ascending);
  expect(token).toHaveLength(34);
  expect(decodeToken(token)).toEqual({ id, type: 2 });
});

test('what is made is new, has the form, and carries its own id', () => {
  const ids = new Set<string>();
  for (let i = 0; i < 500; i++) {
    const { id, secret, hint } = apiTokenForm.make();
    ids.add(id);
    expect(readId(id)).toBe(id);
    expect(secret).toMatch(tokenShape);
    expect(decodeToken(secret)).toEqual({ id: BigInt(id), type: 2 });
    expect(hint).toBe(`…${secret.slice(-4)}`);
    expect(secret).not.toMatch(/^[a-z][a-z0-9]{1,15}_/);
  }
  expect(ids.size).toBe(500);
});

test('other types, lengths and spellings have not the form', () => {
  const token = encodeToken(7n, ascending);
  expect(token).toMatch(tokenShape);
  const bytes = Buffer.from(token, 'base64url');
  for (const type of [0, 1, 3, 130, 255]) {
    bytes[8] = type;
    expect(bytes.toString('base64url')).not.toMatch(tokenShape);
  }
  expect(token.slice(1)).not.toMatch(tokenShape);
  expect(`${token}A`).not.toMatch(tokenShape);
  expect(`${token}==`).not.toMatch(tokenShape);
  // The last four bits belong to no byte: another letter there would be the same token again.
  expect(`${token.slice(0, -1)}B`).not.toMatch(tokenShape);
});

test.each(['0', '-1', '01', '1.0', '1e3', ' 1', '9223372036854775808', '99999999999999999999', '', '١'])(
  'no token has the id %j',
  id => expect(readId(id)).toBeNull(),
);
