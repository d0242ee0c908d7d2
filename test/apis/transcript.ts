import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import type { Fields } from '../../src/core/fields.ts';
import type { MountAnswer } from '../../src/ports/mount.ts';
import { type Managed, ops } from '../support/managed.ts';

/**
 * A transcript is what clients and an API say to each other, one exchange after the other:
 *
 *     # a remark
 *     ! an event, such as `pass 60s`
 *     > the request, line by line
 *     < the answer, line by line
 *     ~ what a connection begins with that takes the place of the one before, where an API has such
 *
 * `<id 1>` stands for the first id that was answered, in answers and in requests alike, and so for secrets. The clock
 * stands still at the beginning of 2030, so that times need no mask.
 */
export interface Speaker {
  readonly names: Names;
  /** What is answered, with names for what differs from run to run. */
  exchange(request: readonly string[]): Promise<readonly string[]>;
  happens?(event: readonly string[]): Promise<unknown>;
}

export const transcriptsIn = (folder: string): readonly string[] =>
  readdirSync(folder).filter(name => name.endsWith('.transcript'));

/** Says it again, and compares byte for byte. */
export async function expectSaid(folder: string, file: string, { names, exchange, happens }: Speaker): Promise<void> {
  const lines = readFileSync(path.join(folder, file), 'utf8').replace(/\n$/, '').split('\n');
  const said: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!;
    if (line.startsWith('>') || line.startsWith('~')) {
      const asked = takeWhile(lines, at, line[0]!);
      at += asked.length;
      while (lines[at]?.startsWith('<')) at++;
      const answered = await exchange(asked.map(each => names.put(line[0] === '>' ? each.slice(2) : each)));
      said.push(...asked, ...answered.map(each => (each === '' ? '<' : `< ${each}`)));
      continue;
    }
    if (line.startsWith('<')) throw new Error(`${file}:${at + 1}: an answer without a request`);
    if (line.startsWith('! ')) await happens?.(names.put(line.slice(2)).split(' '));
    said.push(line);
    at++;
  }
  expect(said.join('\n')).toBe(lines.join('\n'));
}

function takeWhile(lines: readonly string[], from: number, mark: string): string[] {
  let end = from;
  while (lines[end]?.startsWith(mark)) end++;
  return lines.slice(from, end);
}

/** What differs from run to run, by the order of its first appearance. */
export class Names {
  readonly #known = new Map<string, string>();
  readonly #counts = new Map<string, number>();

  /** `<kind 1>` for the first of a kind, behind `prefix`. */
  name(kind: string, value: string, prefix = ''): string {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const count = (this.#counts.get(kind) ?? 0) + 1;
    this.#counts.set(kind, count);
    const name = `${prefix}<${kind} ${count}>`;
    this.#known.set(value, name);
    return name;
  }

  /** What a name stands for. */
  valueOf(name: string): string | undefined {
    return [...this.#known].find(([, known]) => known === name)?.[0];
  }

  /** Values for names. */
  put(text: string): string {
    return [...this.#known].reduce((put, [value, name]) => put.replaceAll(name, value), text);
  }
}

/** A request that is written line by line, without Host and Content-Length; an empty line, and its body. */
export function spokenRequest(lines: readonly string[]) {
  const [method = '', target = ''] = lines[0]!.split(' ');
  const gap = lines.indexOf('');
  const head = lines.slice(1, gap === -1 ? undefined : gap);
  const fields: Fields = head.flatMap(line => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { method, target, fields, body: gap === -1 ? '' : lines.slice(gap + 1).join('\n') };
}

/** An answer, line by line; what is not the mount's goes on to the routes. `written`: its body. */
export async function spokenAnswer(
  asked: Promise<MountAnswer>,
  written: (body: string | Uint8Array) => string,
): Promise<readonly string[]> {
  try {
    const { status, fields, body } = await asked;
    const head = fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${fields[i + 1]}`] : []));
    return [String(status), ...head, ...(body === null ? [] : ['', written(body)])];
  } catch (error) {
    if (error instanceof NotClaimed) return ['goes on to the routes'];
    throw error;
  }
}

/** The request goes on to the routes. */
export class NotClaimed extends Error {}

/** What may happen beside any API. */
export function happensTo({ clock, tokens, accounts, store }: Managed, event: readonly string[]): Promise<unknown> {
  const [what = '', id = ''] = event;
  switch (what) {
    case 'pass':
      return Promise.resolve(clock.advance(Number.parseInt(id, 10) * 1000));
    case 'revoke':
      return tokens.revoke({ actor: ops, id });
    case 'disable-account':
      return accounts.patch({ actor: ops, id }, { enabled: false });
    case 'store-ends':
      return store.dispose();
    default:
      throw new Error(`${event.join(' ')} is no event`);
  }
}
