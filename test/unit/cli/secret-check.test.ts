import { expect, test } from 'vitest';
import { secretFault } from '../../../src/cli/secret-check.ts';
import type { Config } from '../../../src/config/config.ts';
import { Mint } from '../../../src/secrets/mint.ts';
import { type Pepper, Peppers } from '../../../src/secrets/peppers.ts';

const pepper: Pepper = { id: 'p1', key: Buffer.alloc(32, 'pepper of tests ') };
const other: Pepper = { id: 'p2', key: Buffer.alloc(32, 'another pepper. ') };

const configOf = (tokens: Partial<Config['tokens']>): Config =>
  ({
    tokens: { prefix: 'pst', peppers: [], declared: [], shapes: [], acceptUnkeyed: false, ...tokens },
  }) as Partial<Config> as Config;

const mint = (peppers: readonly Pepper[]): string => new Mint(new Peppers(peppers, false), 'pst').mint().secret;

test('a secret that the configuration would let in is good', () => {
  expect(secretFault(mint([]), configOf({}))).toBeNull();
  expect(secretFault(mint([pepper]), configOf({ peppers: [other, pepper] }))).toBeNull();
  expect(secretFault(mint([]), configOf({ peppers: [pepper], acceptUnkeyed: true }))).toBeNull();
  expect(secretFault('sdpak_abc', configOf({ shapes: [/^sdpak_[a-z]{3}$/] }))).toBeNull();
  expect(secretFault('anything', null)).toBeNull();
});

test.each([
  ['', 'is empty'],
  ['x'.repeat(1025), 'longer than 1024'],
  ['caf\u00e9', 'visible ASCII'],
  ['two\nlines', 'visible ASCII'],
])('%j is never good, whatever the configuration', (secret, words) => {
  for (const config of [null, configOf({ shapes: [/^.*$/s] })]) expect(secretFault(secret, config)).toContain(words);
});

test('one that it would keep out is told with the remedy, and without the secret', () => {
  const told = (secret: string, tokens: Partial<Config['tokens']>, words: string): void => {
    const fault = secretFault(secret, configOf(tokens));
    expect(fault).toContain(words);
    expect(fault).not.toContain(secret.slice(4));
  };
  told('sdpak_abc', {}, 'tokens.shapes');
  told('pst_short', {}, '38 letters and digits');
  told(mint([]), { peppers: [pepper] }, 'tokens.accept_unkeyed');
  told(mint([other]), { peppers: [pepper] }, 'none of tokens.peppers');
  told(mint([other]), {}, 'none of tokens.peppers');
});
