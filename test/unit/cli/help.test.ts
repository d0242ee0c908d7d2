import { describe, expect, test } from 'vitest';
import type { Command } from '../../../src/cli/command.ts';
import { commands } from '../../../src/cli/run.ts';
import { command } from '../../support/program.ts';

/** What the command line says about itself, and about a line that it does not take. */

const all: [string, Command][] = Object.entries(commands).flatMap(([name, entry]): [string, Command][] =>
  'commands' in entry
    ? Object.entries(entry.commands).map(([member, each]): [string, Command] => [`${name} ${member}`, each])
    : [[name, entry]],
);
const clients = all.filter(([name]) => /^(?:token|account) /.test(name));

describe('help', () => {
  test.each(all)(
    'of %s tells every option with a word of what it means, and its usage names each',
    async (name, each) => {
      const { code, stdout, stderr } = await command([...name.split(' '), '--help']);
      expect([code, stderr]).toEqual([0, '']);
      const [usage, list] = stdout.split('\n\noptions:\n');
      for (const [option, { type, value }] of Object.entries(each.options ?? {})) {
        const signature = type === 'boolean' ? `--${option}` : `--${option} ${value}`;
        expect(list).toMatch(new RegExp(`^ {2}${signature.replace('|', '\\|')} +\\S`, 'm'));
        expect(usage).toContain(`--${option}`);
      }
      expect(list).toContain('--json');
      // A line of it fits a terminal.
      for (const line of usage!.split('\n').slice(0, -1)) expect(line.length).toBeLessThanOrEqual(130);
    },
  );

  test.each(clients)('of %s says how the admin API and its key are named', async (name, { usage }) => {
    for (const option of ['[--config FILE]', '[--url URL]', '[--key-file FILE]', '[--ca FILE]']) {
      expect(usage, name).toContain(option);
    }
  });

  test('says defaults', async () => {
    expect((await command(['token', 'rotate', '--help'])).stdout).toMatch(/--grace DURATION .*\(default: 0s\)/);
    expect((await command(['token', 'usage', '--help'])).stdout).toMatch(/--step 1h\|1d .*\(default: 1h\)/);
  });

  test('does not ask for the arguments that the command needs', async () => {
    const { code, stdout } = await command(['token', 'show', '--help']);
    expect([code, stdout.split('\n')[0]]).toEqual([0, expect.stringContaining('usage: postern token show ID')]);
  });
});

describe('a line that is not taken ends with 2, and the message names the option', () => {
  test.each([
    [
      'token list --port=8080',
      'postern: token list has no option --port; postern token list --help lists what it takes',
    ],
    ['token list --limmit 3', 'postern: token list has no option --limmit, did you mean --limit?'],
    ['serve --konfig x', 'did you mean --config?'],
    ['check -x', 'postern: check has no option -x;'],
    ['token list --constructor', 'has no option --constructor'],
    ['token list --limit', 'postern: --limit needs a value: --limit N'],
    ['token list --limit --json', 'postern: --limit needs a value'],
    ['token list --json=yes', 'postern: --json takes no value'],
    ['token show', 'postern: token show takes ID\nusage: postern token show ID '],
    ['token show a b', 'postern: token show takes ID'],
  ])('%s', async (line, words) => {
    const { code, stdout, stderr } = await command(line.split(' '));
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain(words);
    // Nothing of node's own interface.
    expect(stderr).not.toMatch(/positional|argument is ambiguous|parseArgs/);
  });

  test('and does not repeat the value, which may be a secret', async () => {
    const { stderr } = await command(['token', 'create', '--secret=hunter2']);
    expect(stderr).toContain('--secret');
    expect(stderr).not.toContain('hunter2');
  });

  test('a value that begins with a dash is taken when it is tied to its option', async () => {
    const { code, stderr } = await command(['token', 'list', '--limit=-5']);
    expect([code, stderr]).toEqual([2, 'postern: --limit -5 is no number from 1\n']);
  });
});
