import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';

const root = path.resolve(import.meta.dirname, '../..');
const src = path.join(root, 'src');
const prose = readFileSync(path.join(src, 'README.md'), 'utf8');

/** Rows of the table under this header: the cells of the first two columns. */
function rows(header: string): [string, string][] {
  const lines = prose.slice(prose.indexOf(header)).split('\n').slice(2);
  return lines
    .slice(
      0,
      lines.findIndex(line => !line.startsWith('|')),
    )
    .map(line => {
      const [, first, second] = line.split('|').map(cell => cell.trim());
      return [first!, second!];
    });
}

const roomOf = (file: string): string =>
  file
    .split(path.sep)[0]!
    .replace(/\.ts$/, '')
    .replace(/^app-.*/, 'app');
const rooms = [
  ...new Set(
    readdirSync(src)
      .filter(name => name !== 'README.md')
      .map(roomOf),
  ),
];
const externals = [
  'node:',
  ...Object.keys(JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8')).dependencies),
];

interface Rule {
  readonly values: ReadonlySet<string>;
  readonly types: ReadonlySet<string>;
}

const everything = [...rooms, ...externals];
const rules = new Map<string, Rule>(
  rows('| room | may import |').map(([room, cell]): [string, Rule] => {
    const typesAt = cell.startsWith('every room but') ? -1 : cell.indexOf('types from');
    const named = (text: string): string[] => [...text.matchAll(/`([^`]+)`/g)].map(match => match[1]!);
    const allowed = cell.startsWith('every room but')
      ? everything.filter(name => !named(cell).includes(name))
      : typesAt === -1
        ? named(cell)
        : [...named(cell.slice(0, typesAt)), ...named(cell).filter(name => name === 'node:')];
    return [
      room.replaceAll('`', ''),
      { values: new Set(allowed), types: new Set([...allowed, ...named(cell), 'ports', 'errors']) },
    ];
  }),
);

interface Import {
  readonly room: string;
  readonly from: string;
  readonly of: string;
  readonly typeOnly: boolean;
}

const statement = /^(?:import|export)\s+(type\s+)?(?:([^;'"]*?)\s+from\s+)?['"]([^'"]+)['"];/gm;

const imports: Import[] = readdirSync(src, { recursive: true, encoding: 'utf8' })
  .filter(file => file.endsWith('.ts'))
  .flatMap(file => {
    const text = readFileSync(path.join(src, file), 'utf8');
    return [...text.matchAll(statement)].map(([, type, names, of]): Import => {
      const each =
        names
          ?.replace(/[{}]/g, '')
          .split(',')
          .map(name => name.trim())
          .filter(name => name !== '') ?? [];
      const typeOnly = type !== undefined || (each.length > 0 && each.every(name => name.startsWith('type ')));
      const target = of!.startsWith('.')
        ? roomOf(path.relative(src, path.join(src, path.dirname(file), of!)))
        : of!.startsWith('node:')
          ? 'node:'
          : of!;
      return { room: roomOf(file), from: file, of: target, typeOnly };
    });
  });

test('the tables name every room, and no room that is not there', () => {
  expect([...rules.keys()].sort()).toEqual([...rooms].sort());
  const described = rows('| room | what it is |').map(([room]) => room.replace(/`([^`]+?)(?:\.ts)?`/, '$1'));
  expect([...described, 'main'].sort()).toEqual([...rooms].sort());
});

describe('nothing is imported that the table does not allow', () => {
  test.each(rooms)('by %s', room => {
    const { values, types } = rules.get(room)!;
    const own = imports.filter(each => each.room === room);
    const wrong = own.filter(({ of, typeOnly }) => of !== room && !(typeOnly ? types : values).has(of));
    expect(wrong).toEqual([]);
  });
  test('and there is no other way to import, but for main, which looks at the version of Node first', () => {
    for (const file of readdirSync(src, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))) {
      const whole = readFileSync(path.join(src, file), 'utf8');
      const text = file === 'main.ts' ? whole.replace("await import('./cli/run.ts')", '') : whole;
      expect(text, file).not.toMatch(/\bimport\(|\brequire\(|createRequire/);
    }
  });
});
