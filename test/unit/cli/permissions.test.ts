import { describe, expect, test } from 'vitest';
import { readArguments } from '../../../src/cli/arguments.ts';
import { UsageError } from '../../../src/cli/command.ts';
import { memberOptions, members } from '../../../src/cli/token-members.ts';

const permissionsOf = (line: string): unknown =>
  members(readArguments('token create', line === '' ? [] : line.split(' '), memberOptions).options).permissions;

describe('permissions of a command line', () => {
  test('are a list as long as nothing is denied', () => {
    expect(permissionsOf('')).toBeUndefined();
    expect(permissionsOf('--permission a:* --permission b')).toEqual(['a:*', 'b']);
    expect(permissionsOf('--permission=')).toEqual([]);
  });

  test('are a map in the order of the line as soon as something is denied, because the last that matches decides', () => {
    const entries = (line: string): unknown => Object.entries(permissionsOf(line) as object);
    const broad = ['widgets:*', true];
    const narrow = ['widgets:delete', false];
    expect(entries('--permission widgets:* --deny widgets:delete')).toEqual([broad, narrow]);
    expect(entries('--deny widgets:delete --permission widgets:*')).toEqual([narrow, broad]);
    expect(entries('--deny a --name x --permission=b --deny c')).toEqual([
      ['a', false],
      ['b', true],
      ['c', false],
    ]);
  });

  test('stand where they were said last', () => {
    const map = permissionsOf('--permission a --deny b --deny a') as object;
    expect(Object.entries(map)).toEqual([
      ['b', false],
      ['a', false],
    ]);
  });

  test.each([
    ['--permission widgets:delete=false', '--deny widgets:delete'],
    ['--deny widgets:read=true', '--permission widgets:read'],
    ['--deny a=b', '--deny a'],
    ['--permission a --deny 7', 'only digits'],
  ])('%s is refused with a hint: %s', (line, hint) => {
    expect(() => permissionsOf(line)).toThrow(UsageError);
    expect(() => permissionsOf(line)).toThrow(hint);
  });
});
