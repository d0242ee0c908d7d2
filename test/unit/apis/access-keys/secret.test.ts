import { expect, test } from 'vitest';
import { keyForm, keyShape } from '../../../../src/apis/access-keys/secret.ts';
import { Xids } from '../../../../src/apis/access-keys/xid.ts';
import { base62 } from '../../../../src/core/secret-form.ts';
import { ManualClock } from '../../../support/manual-clock.ts';

const ids = new Xids(new ManualClock());

test.each(['sdpak', 'sdbak'] as const)('keys of kind %s have the form that may be looked up', kind => {
  const made = Array.from({ length: 500 }, keyForm(kind, ids).make);
  expect(made.filter(({ secret }) => !keyShape.test(secret) || !secret.startsWith(`${kind}_`))).toEqual([]);
  expect(new Set(made.map(({ secret }) => secret)).size).toBe(500);
  for (const { secret, hint } of made) expect(hint).toBe(`${kind}_…${secret.slice(-4)}`);
});

test('every character of base62 stands at every place sooner or later', () => {
  const made = Array.from({ length: 3000 }, keyForm('sdpak', ids).make);
  for (let place = 6; place < 50; place++) {
    expect(new Set(made.map(({ secret }) => secret[place])).size).toBe(base62.length);
  }
});

test.each([
  '',
  'sdpak_',
  `sdpak_${'a'.repeat(43)}`,
  `sdpak_${'a'.repeat(45)}`,
  `sdpak_${'a'.repeat(44)}\n`,
  `SDPAK_${'a'.repeat(44)}`,
  `sdxak_${'a'.repeat(44)}`,
  `sdpak-${'a'.repeat(44)}`,
  `sdpak_${'a'.repeat(43)}ä`,
  ` sdpak_${'a'.repeat(44)}`,
])('%j is never looked up', text => {
  expect(keyShape.test(text)).toBe(false);
});
