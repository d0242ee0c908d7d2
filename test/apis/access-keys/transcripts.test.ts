import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { Fields } from '../../../src/core/fields.ts';
import type { MountAnswer } from '../../../src/ports/mount.ts';
import { ops } from '../../support/managed.ts';
import { type Forum, NotClaimed, openForum } from './forum.ts';

/**
 * A transcript is what clients and this API say to each other, one exchange after the other:
 *
 *     # a remark
 *     ! an event, such as `pass 60s`
 *     > the request, line by line, without Host and Content-Length; an empty line, and its body
 *     < the answer, line by line
 *
 * `<id 1>` and `<secret 1>` stand for the first id and secret that were answered, in answers and in requests alike. The
 * clock stands still at the beginning of 2030, so that times need no mask.
 */
const folder = import.meta.dirname;
const files = readdirSync(folder).filter(name => name.endsWith('.transcript'));

let forum: Forum | null = null;
afterEach(async () => {
  await forum?.managed.dispose();
  forum = null;
});

test.each(files)('%s is what is said, byte for byte', async file => {
  forum = await openForum();
  const names = new Names();
  const lines = readFileSync(path.join(folder, file), 'utf8').replace(/\n$/, '').split('\n');
  const said: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!;
    if (line.startsWith('> ')) {
      const asked = takeWhile(lines, at, '>');
      at += asked.length;
      while (lines[at]?.startsWith('<')) at++;
      said.push(...asked, ...answerLines(await exchange(forum, names.put(asked.map(strip))), names));
      continue;
    }
    if (line.startsWith('<')) throw new Error(`${file}:${at + 1}: an answer without a request`);
    if (line.startsWith('! ')) await happens(forum, names.put([line.slice(2)])[0]!);
    said.push(line);
    at++;
  }
  expect(said.join('\n')).toBe(lines.join('\n'));
  expect(forum.faults).toEqual([]);
});

const strip = (line: string): string => line.slice(2);

function takeWhile(lines: readonly string[], from: number, mark: string): string[] {
  let end = from;
  while (lines[end]?.startsWith(mark)) end++;
  return lines.slice(from, end);
}

async function exchange(forum: Forum, lines: readonly string[]): Promise<MountAnswer | null> {
  const [method = '', target = ''] = lines[0]!.split(' ');
  const gap = lines.indexOf('');
  const head = lines.slice(1, gap === -1 ? undefined : gap);
  const fields: Fields = head.flatMap(line => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const body = gap === -1 ? '' : lines.slice(gap + 1).join('\n');
  try {
    return await forum.call({ method, target, fields, body });
  } catch (error) {
    if (error instanceof NotClaimed) return null;
    throw error;
  }
}

function answerLines(answer: MountAnswer | null, names: Names): string[] {
  if (answer === null) return ['< goes on to the routes'];
  const { status, fields, body } = answer;
  const head = fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${fields[i + 1]}`] : []));
  const text = body === null ? [] : ['', names.take(String(body))];
  return [String(status), ...head, ...text].map(line => (line === '' ? '<' : `< ${line}`));
}

async function happens(forum: Forum, event: string): Promise<void> {
  const { managed } = forum;
  const [what = '', subject = ''] = event.split(' ');
  switch (what) {
    case 'pass':
      return managed.clock.advance(Number.parseInt(subject, 10) * 1000);
    case 'sessions':
      forum.sessionsOut = subject === 'out';
      return;
    case 'revoke':
      return void (await managed.tokens.revoke({ actor: ops, id: subject }));
    case 'disable-account':
      return void (await managed.accounts.patch({ actor: ops, id: subject }, { enabled: false }));
    case 'take-roles-of':
      return void (await managed.accounts.patch({ actor: ops, id: subject }, { roles: [] }));
    case 'store-ends':
      return managed.store.dispose();
    default:
      throw new Error(`${event} is no event`);
  }
}

/** Ids and secrets by the order of their first appearance. */
class Names {
  readonly #known = new Map<string, string>();
  readonly #counts = { id: 0, secret: 0 };

  take(text: string): string {
    return text
      .replace(/sd[pb]ak_[0-9A-Za-z]{44}/g, secret => this.#name('secret', secret, `${secret.slice(0, 6)}`))
      .replace(/(?<=")[0-9a-v]{20}(?=")/g, id => this.#name('id', id, ''));
  }

  put(lines: readonly string[]): string[] {
    const values = new Map([...this.#known].map(([value, name]) => [name, value]));
    return lines.map(line => line.replace(/(?:sd[pb]ak_)?<(?:id|secret) [0-9]+>/g, name => values.get(name) ?? name));
  }

  #name(kind: 'id' | 'secret', value: string, prefix: string): string {
    const known = this.#known.get(value);
    if (known !== undefined) return known;
    const name = `${prefix}<${kind} ${++this.#counts[kind]}>`;
    this.#known.set(value, name);
    return name;
  }
}
