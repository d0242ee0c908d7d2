/** An item of a list, with its parameters in their order. Other kinds of values than these are not read here. */
export interface Item {
  readonly value: string | number;
  readonly parameters: ReadonlyMap<string, string | number>;
}

/** A list of items as RFC 9651 4.2 reads one, for strings and integers. Throws on anything else. */
export function readList(text: string): readonly Item[] {
  let rest = text;
  const take = (form: RegExp): RegExpExecArray => {
    const match = form.exec(rest);
    if (match === null || match.index !== 0) throw new Error(`${form} is not at: ${rest}`);
    rest = rest.slice(match[0].length);
    return match;
  };
  const bare = (): string | number => {
    if (rest.startsWith('"')) {
      return take(/"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/)[1]!.replace(/\\(.)/g, '$1');
    }
    return Number(take(/-?[0-9]{1,15}(?![0-9.])/)[0]);
  };
  const items: Item[] = [];
  for (;;) {
    const value = bare();
    const parameters = new Map<string, string | number>();
    while (rest.startsWith(';')) {
      const key = take(/; *([a-z*][a-z0-9_.*-]*)=/)[1]!;
      if (parameters.has(key)) throw new Error(`${key} stands twice`);
      parameters.set(key, bare());
    }
    items.push({ value, parameters });
    if (rest === '') return items;
    take(/[ \t]*,[ \t]*/);
  }
}
