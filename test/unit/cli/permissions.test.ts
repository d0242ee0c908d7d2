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

  test('are taken in any form, as JSON; inherit is a word', () => {
    expect(permissionsOf('--permissions inherit')).toBe('inherit');
    expect(permissionsOf('--permissions "inherit"')).toBe('inherit');
    expect(permissionsOf('--permissions ["a"]')).toEqual(['a']);
    expect(Object.entries(permissionsOf('--permissions {"b":true,"a":false}') as object)).toEqual([
      ['b', true],
      ['a', false],
    ]);
    const grants = [{ resources: ['db/*'], actions: { 'db.get': true } }];
    expect(permissionsOf(`--permissions ${JSON.stringify(grants)}`)).toEqual(grants);
  });

  test.each([
    ['--permissions [', 'not JSON'],
    ['--permissions', 'needs a value'],
    ['--permissions=', 'not JSON'],
    ['--permissions Inherit', 'not JSON'],
    ['--permissions "all"', 'neither a list nor a map'],
    ['--permissions {"a":true,"a":false}', 'not JSON'],
    ['--permissions {"__proto__":true}', '/__proto__'],
    ['--permissions ["a"] --permission b', 'exclude each other'],
    ['--permission widgets:delete=false', '--deny widgets:delete'],
    ['--deny widgets:read=true', '--permission widgets:read'],
    ['--deny a=b', '--deny a'],
    ['--permission a --deny 7', 'only digits'],
  ])('%s is refused with a hint: %s', (line, hint) => {
    expect(() => permissionsOf(line)).toThrow(UsageError);
    expect(() => permissionsOf(line)).toThrow(hint);
  });
});
