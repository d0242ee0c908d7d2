import { describe, expect, test } from 'vitest';
import { readArguments } from '../../../src/cli/arguments.ts';
import { UsageError } from '../../../src/cli/command.ts';
import { demandLimit, limitOptions, limitsOf, limitsText } from '../../../src/cli/limits.ts';

const said = (...texts: string[]) =>
  limitsOf(
    readArguments(
      'token create',
      texts.map(text => `--limit=${text}`),
      limitOptions,
    ).options,
  );

describe('limits on the command line', () => {
  test('are windows, or buckets that may have a burst', () => {
    expect(said('day=1000/1d', 'all=5/lifetime:window', 'pace=10/1s:bucket', 'b=10/1m:bucket:20')).toEqual([
      { name: 'day', max: 1000, per: '1d' },
      { name: 'all', max: 5, per: 'lifetime', algorithm: 'window' },
      { name: 'pace', max: 10, per: '1s', algorithm: 'bucket' },
      { name: 'b', max: 10, per: '1m', algorithm: 'bucket', burst: 20 },
    ]);
  });

  test('that are not said are nothing, and an empty text is none', () => {
    expect(said()).toBeUndefined();
    expect(said('')).toEqual([]);
  });

  test('that are an unset variable are no limit that is made, nor one beside others', () => {
    expect(() => said('', 'a=1/1d')).toThrow(UsageError);
    const empty = readArguments('token create', ['--limit='], limitOptions).options;
    expect(() => demandLimit(empty)).toThrow('--limit is empty');
  });

  test.each([
    'day',
    'day=',
    'day=5',
    'day=5/',
    '=5/1d',
    'day=-5/1d',
    'day=5.5/1d',
    'day=5/1d:',
    'day=5/1d:bucket:',
    'day=5/1d:bucket:x',
    'day=5/1s:bucket:5:5',
  ])('that are none are told with how they are written: %s', text => {
    const form = 'NAME=MAX/PER, or NAME=MAX/PER:bucket:BURST, in whole numbers';
    expect(() => said(text)).toThrow(new UsageError(`--limit ${text}: write ${form}, such as daily=1000/1d`));
  });

  test('are shown as they would be said', () => {
    expect(
      limitsText([
        { name: 'day', max: 1000, per: '1d', algorithm: 'window' },
        { name: 'pace', max: 10, per: '1s', algorithm: 'bucket', burst: 20 },
        { name: 'none', max: 0, per: '1s', algorithm: 'bucket' },
      ]),
    ).toBe('day=1000/1d, pace=10/1s:bucket:20, none=0/1s:bucket');
  });
});
