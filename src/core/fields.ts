/**
 * Header fields as they were received: names and values in turn, order and duplicates kept. Everything judges this
 * list, because any map made of it hides what an attacker sent.
 */
export type Fields = readonly string[];

/** Lower-cased names, one per field: `names[i]` belongs to `fields[2 * i]`. */
export function lowerNames(fields: Fields): string[] {
  const names = new Array<string>(fields.length >> 1);
  for (let i = 0; i < names.length; i++) names[i] = fields[2 * i]!.toLowerCase();
  return names;
}

/**
 * One spelling for names that we protect. Some servers (CGI, WSGI, PHP) read `_` and `.` in a field name as `-`, and
 * some everything that is neither letter nor digit.
 */
export function canonicalName(lowerName: string): string {
  return plainName.test(lowerName) ? lowerName : lowerName.replace(/[^a-z0-9-]/g, '-');
}

const plainName = /^[a-z0-9-]*$/;

/** Elements of a comma-separated list (RFC 9110 5.6.1), lower-cased and trimmed, empty ones dropped. */
export function listElements(value: string): string[] {
  const out: string[] = [];
  for (const part of value.split(',')) {
    const element = part.trim().toLowerCase();
    if (element !== '') out.push(element);
  }
  return out;
}

/** The value of a field that may stand once; `undefined` when absent, `null` when it stands more than once. */
export function single(fields: Fields, names: readonly string[], name: string): string | null | undefined {
  let found: string | undefined;
  for (let i = 0; i < names.length; i++) {
    if (names[i] !== name) continue;
    if (found !== undefined) return null;
    found = fields[2 * i + 1]!;
  }
  return found;
}
