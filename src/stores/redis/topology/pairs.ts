/** A reply of names and values in turn. */
export function pairs(reply: unknown): ReadonlyMap<string, unknown> {
  const list = Array.isArray(reply) ? (reply as unknown[]) : [];
  const found = new Map<string, unknown>();
  for (let i = 0; i + 1 < list.length; i += 2) found.set(String(list[i]), list[i + 1]);
  return found;
}
