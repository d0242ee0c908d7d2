import { describe, expect, it } from 'vitest';
import { loadCase, readCases } from './cases.ts';

describe('a configuration with a mistake is refused with the place, what is wrong and what is allowed', () => {
  it.each(readCases().filter(({ outcome }) => outcome === 'problems'))('$name', async test => {
    const { result, lines } = await loadCase(test);
    expect(result.ok).toBe(false);
    expect(lines).toEqual(test.lines);
  });
});

describe('a configuration that is doubtful loads with a warning', () => {
  it.each(readCases().filter(({ outcome }) => outcome === 'warnings'))('$name', async test => {
    const { result, lines } = await loadCase(test);
    expect(result).toMatchObject({ ok: true });
    expect(lines).toEqual(test.lines);
  });
});
