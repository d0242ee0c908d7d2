import type { Usage } from '../../core/usage.ts';

export const hourMs = 3_600_000;
export const dayMs = 24 * hourMs;

/**
 * The counts of a use by the short names that they are kept under: `a` allowed, `i` and `o` bytes in and out,
 * `r:<code>` refused, `s:<class>` statuses. The last use, `l`, is no count.
 */
export function counts({ allowed, bytesIn, bytesOut, refused, status }: Usage): Record<string, number> {
  const all: [string, number][] = [
    ['a', allowed],
    ['i', bytesIn],
    ['o', bytesOut],
    ...Object.entries(refused).map(([code, count]): [string, number] => [`r:${code}`, count]),
    ...Object.entries(status).map(([kind, count]): [string, number] => [`s:${kind}`, count]),
  ];
  return Object.fromEntries(all.filter(([, count]) => count > 0));
}

/** What is kept under one key, by the places in it: the hour or day before the name, nothing where all is one total. */
export function counted(fields: readonly string[]): Map<string, Usage> {
  const found = new Map<string, Usage>();
  for (let i = 0; i < fields.length; i += 2) {
    const [, place, name] = /^(?:(\d+) )?(.*)$/s.exec(fields[i]!)!;
    const count = Number(fields[i + 1]);
    const before = found.get(place ?? '') ?? {
      allowed: 0,
      refused: {},
      status: {},
      bytesIn: 0,
      bytesOut: 0,
      lastUsedAt: 0,
    };
    found.set(place ?? '', withCount(before, name!, count));
  }
  return found;
}

function withCount(usage: Usage, name: string, count: number): Usage {
  if (name.startsWith('r:')) return { ...usage, refused: { ...usage.refused, [name.slice(2)]: count } };
  if (name.startsWith('s:')) return { ...usage, status: { ...usage.status, [name.slice(2)]: count } };
  const member = ({ a: 'allowed', i: 'bytesIn', o: 'bytesOut', l: 'lastUsedAt' } as const)[name];
  return member === undefined ? usage : { ...usage, [member]: count };
}
