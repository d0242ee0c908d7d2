import { describe, expect, it } from 'vitest';
import { Problems, problemLine } from '../../../src/config/problems.ts';
import type { Tree } from '../../../src/config/tree.ts';
import { readYaml, yamlLimits } from '../../../src/config/yaml.ts';
import { pick, randomFrom, seed, several } from '../../support/random.ts';

function read(text: string, env: Record<string, string> = {}): { tree: Tree | null; lines: string[] } {
  const problems = new Problems();
  const tree = readYaml(text, 'x.yaml', env, problems);
  return { tree, lines: problems.list.map(problemLine) };
}

/** A tree as plain values, for comparing. */
function plain(tree: Tree | null): unknown {
  if (tree === null || tree.kind === 'hole') return undefined;
  if (tree.kind === 'list') return tree.items.map(plain);
  if (tree.kind === 'map') return new Map([...tree.members].map(([key, member]) => [key, plain(member.tree)]));
  return tree.value;
}

describe('reading YAML', () => {
  it('has the types of the core schema of YAML 1.2, and no others', () => {
    const text = '[1, 0o17, 0x1F, 1.5, true, null, ~, yes, no, on, 012, 1:30, 1_000, 0b1, 2030-01-01, "1", +1, .5]';
    const values = [1, 15, 31, 1.5, true, null, null, 'yes', 'no', 'on', 12, '1:30', '1_000', '0b1', '2030-01-01'];
    expect(plain(read(text).tree)).toEqual([...values, '1', 1, 0.5]);
  });

  it('types an unquoted scalar again after substitution, never a quoted or tagged one', () => {
    const text = `a: \${N}\nb: "\${N}"\nc: !!str \${N}\nd: \${T}\ne: \${E}\nf: x\${N}\ng: |-\n  \${N}\nh: \${L}\n`;
    const { tree, lines } = read(text, { N: '7', T: 'true', E: '', L: '[1, 2]' });
    expect(lines).toEqual([]);
    expect([...(plain(tree) as Map<string, unknown>).values()]).toEqual([7, '7', '7', true, null, 'x7', '7', '[1, 2]']);
  });

  it('says where each value stands, also after substitution, comments and wide characters', () => {
    const { tree } = read(`# é\n"ü": [x, "\${A}"]\nb:\n  - c: 1\n`, { A: 'line\nbreak' });
    const map = tree?.kind === 'map' ? tree.members : new Map();
    expect(map.get('ü')).toMatchObject({ at: { line: 2, column: 1 }, tree: { at: { line: 2, column: 6 } } });
    expect(map.get('ü').tree.items[1]).toMatchObject({ at: { line: 2, column: 10 }, value: 'line\nbreak' });
    expect(map.get('b').tree.items[0].members.get('c').tree.at).toMatchObject({ line: 4, column: 8 });
  });

  it('takes anchors and aliases, whose problems stand where the anchor does', () => {
    expect(plain(read('a: &x [1, 2]\nb: *x\n').tree)).toEqual(
      new Map([
        ['a', [1, 2]],
        ['b', [1, 2]],
      ]),
    );
  });

  it.each([
    ['open brackets', '['.repeat(10_000)],
    ['open braces', '{a: '.repeat(10_000)],
    ['compact lists', '- '.repeat(10_000)],
    ['explicit keys', '? '.repeat(10_000)],
    ['indented maps', Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
    ['one level too many', `${'['.repeat(yamlLimits.depth + 1)}${']'.repeat(yamlLimits.depth + 1)}`],
    [
      'aliases of aliases',
      Array.from({ length: 70 }, (_, i) => `a${i}: &a${i} [${i > 0 ? `*a${i - 1}` : ''}]`).join('\n'),
    ],
  ])('answers %s, nested too deep, without running out of stack', (_, text) => {
    const { tree, lines } = read(text);
    expect(tree).toBeNull();
    expect(lines).toEqual([expect.stringMatching(/^x\.yaml:\d+:\d+: is nested too deep; allowed: 64 levels$/)]);
  });

  it('takes the depth that it allows, and brackets in text at any number', () => {
    const depth = yamlLimits.depth;
    expect(read(`${'['.repeat(depth)}${']'.repeat(depth)}`).lines).toEqual([]);
    const text = '['.repeat(1000);
    expect(read(`a: "${text}" # ${text}\nb: x${text}\nc: |\n  ${text}\n`).lines).toEqual([]);
  });

  it('answers an expansion of aliases that doubles and doubles at once, in little time', () => {
    const levels = Array.from({ length: 40 }, (_, i) => `a${i}: &a${i} [${i > 0 ? `*a${i - 1}, *a${i - 1}` : 'x'}]`);
    const begun = performance.now();
    const { tree, lines } = read(levels.join('\n'));
    expect(performance.now() - begun).toBeLessThan(1000);
    expect(tree).toBeNull();
    expect(lines).toEqual([expect.stringContaining('has too many values')]);
  });

  it(`never throws, whatever the text (seed ${seed})`, () => {
    const alphabet = [
      'a',
      ':',
      ' ',
      '\n',
      '-',
      '[',
      ']',
      '{',
      '}',
      '"',
      "'",
      '&a',
      '*a',
      '!',
      '|',
      '>',
      '#',
      '%',
      '?',
      '\t',
      '$',
      `\${A}`,
      '<<',
      ',',
      '\r',
      '\u0000',
      '---\n',
      '...\n',
    ];
    const random = randomFrom(seed);
    for (let run = 0; run < 3000; run++) {
      const text = several(random, 0, 24, () => pick(random, alphabet)).join('');
      const { tree, lines } = read(text, { A: 'x' });
      expect(tree !== null || lines.length > 0, JSON.stringify(text)).toBe(true);
      for (const line of lines) expect(line).toMatch(/^x\.yaml:[1-9]\d*:[1-9]\d*[: ].+; allowed: /);
    }
  });
});
