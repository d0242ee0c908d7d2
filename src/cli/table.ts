/** Tables for people. */

/** Names on the left, values on the right. */
export function rows(entries: readonly (readonly [string, string])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `${name.padEnd(width)}  ${value}`.trimEnd()).join('\n');
}

/** A heading and a line for each thing, in columns as wide as they need to be. */
export function table(heading: readonly string[], lines: readonly (readonly string[])[]): string {
  const widths = heading.map((title, i) => Math.max(title.length, ...lines.map(line => line[i]?.length ?? 0)));
  const render = (line: readonly string[]): string =>
    line
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd();
  return [render(heading.map(title => title.toUpperCase())), ...lines.map(render)].join('\n');
}

/** Text from elsewhere, made safe for a terminal. */
export const plain = (value: unknown): string =>
  (typeof value === 'string' ? value : value === null || value === undefined ? '' : JSON.stringify(value)).replace(
    /[\u0000-\u001f\u007f-\u009f]/g,
    '?',
  );
