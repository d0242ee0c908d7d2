import { describe, expect, it } from 'vitest';
import { shapeFault } from '../../../src/config/shapes.ts';

const good = [
  '^sdpak_[A-Za-z0-9]{44}$',
  '^[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+$',
  '^(?:sk|pk)_(live|test)_[0-9a-f]{16,64}$',
  '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  '^s-token2:[^,]+,.{32}$',
  '^a?b?c?$',
  '^[a-z]+[0-9]+$',
  '^(?:ab)+$',
  '^\\w{10}\\$$',
  '^x*$',
];

describe('shapes of tokens', () => {
  it.each(good)('%s is taken', shape => {
    expect(shapeFault(shape)).toBeNull();
  });

  it.each([
    'abc',
    '^abc',
    'abc$',
    '^abc\\$',
    '^a|b$',
    '^(a$',
    '^a)$',
    '^[b-a]$',
    '^(a+)+$',
    '^(a*)*$',
    '^(?:a?){30}$',
    '^(a|a)*$',
    '^(a|aa){20}$',
    '^(?:(?:a+)b?)+$',
    '^a*a*a*$',
    '^.*.*$',
    '^\\w+[a-z]+$',
    '^[a-z]{1,200}[a-z]{1,200}$',
    `^${'a?'.repeat(25)}$`,
    '^(.*)\\1$',
    '^(?=a)a$',
    '^(?<!a)a$',
    '^(?<name>a)$',
    '^a^b$',
    '^a$b$',
    '^\\bword$',
    '^\\p{L}$',
    `^${'(a|b)'.repeat(10)}$`,
    `^${'('.repeat(50)}a${')'.repeat(50)}$`,
    `^${'a'.repeat(600)}$`,
    '^(?:(?:a{1000}){1000}){1000}$',
    '^(?:a{1000}){0,1000}$',
    '^a{1025}$',
  ])('%s is refused', shape => {
    expect(shapeFault(shape)).toMatch(/^(is|has|looks|repeats|asks) /);
  });

  it('that are taken decide the longest token that was made to be slow in no time', () => {
    const texts = ['a', '-', 'a-', 'a.', '0', 'ab', 'a0-', '_'].map(piece => `${piece.repeat(1024).slice(0, 1023)}!`);
    for (const shape of good) {
      const expression = new RegExp(shape);
      const begun = performance.now();
      for (const text of texts) expect(expression.test(text)).toBe(false);
      expect(performance.now() - begun, shape).toBeLessThan(2000);
    }
  });
});
