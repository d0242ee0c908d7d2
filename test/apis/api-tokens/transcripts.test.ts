import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, expect, test } from 'vitest';
import type { EnvelopeName } from '../../../src/apis/api-tokens/envelope.ts';
import type { Fields } from '../../../src/core/fields.ts';
import type { MountAnswer } from '../../../src/ports/mount.ts';
import { ops } from '../../support/managed.ts';
import { NotClaimed, type Office, openOffice } from './office.ts';

/**
 * A transcript is what clients and this API say to each other, one exchange after the other; its name begins with the
 * envelope of the mount:
 *
 *     # a remark
 *     ! an event, such as `pass 60s`
 *     > the request, line by line, without Host and Content-Length; an empty line, and its body
 *     < the answer, line by line
 *
 * Bytes that are no visible ASCII are written `\xNN`. `<id 1>` and `<token 1>` stand for the first id and token that were
 * answered, in answers and in requests alike; ids count as 19 digits long. The clock stands still at the beginning of 2030.
 */
const folder = import.meta.dirname;
const files = readdirSync(folder).filter(name => name.endsWith('.transcript'));

let office: Office | null = null;
afterEach(async () => {
  await office?.managed.dispose();
  office = null;
});

test.each(files)('%s is what is said, byte for byte', async file => {
  office = await openOffice(file.split('-')[0] as EnvelopeName);
  const names = new Names();
  const lines = readFileSync(path.join(folder, file), 'utf8').replace(/\n$/, '').split('\n');
  const said: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!;
    if (line.startsWith('>')) {
      const asked = takeWhile(lines, at, '>');
      at += asked.length;
      while (lines[at]?.startsWith('<')) at++;
      const request = asked.map(each => names.put(each.slice(2)));
      said.push(...asked, ...answerLines(await exchange(office, request), names));
      continue;
    }
    if (line.startsWith('<')) throw new Error(`${file}:${at + 1}: an answer without a request`);
    if (line.startsWith('! ')) await happens(office, names.put(line.slice(2)));
    said.push(line);
    at++;
  }
  expect(said.join('\n')).toBe(lines.join('\n'));
  expect(office.faults).toEqual([]);
});

function takeWhile(lines: readonly string[], from: number, mark: string): string[] {
  let end = from;
  while (lines[end]?.startsWith(mark)) end++;
  return lines.slice(from, end);
}

async function exchange(to: Office, lines: readonly string[]): Promise<MountAnswer | null> {
  const [method = '', target = ''] = lines[0]!.split(' ');
  const gap = lines.indexOf('');
  const head = lines.slice(1, gap === -1 ? undefined : gap);
  const fields: Fields = head.flatMap(line => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  const body = gap === -1 ? '' : lines.slice(gap + 1).join('\n');
  try {
    return await to.call({ method, target, fields, body: unescaped(body) });
  } catch (error) {
    if (error instanceof NotClaimed) return null;
    throw error;
  }
}

const unescaped = (text: string): Buffer =>
  Buffer.from(
    text.replace(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );

const escaped = (bytes: Buffer): string =>
  bytes.toString('latin1').replace(/[^ -~]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

function answerLines(answer: MountAnswer | null, names: Names): string[] {
  if (answer === null) return ['< goes on to the routes'];
  const { status, fields, body } = answer;
  const head = fields.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${fields[i + 1]}`] : []));
  const text = body === null ? [] : ['', names.take(escaped(Buffer.from(body as string)))];
  return [String(status), ...head, ...text].map(line => (line === '' ? '<' : `< ${line}`));
}

async function happens({ managed }: Office, event: string): Promise<void> {
  const [what = '', subject = '', more = ''] = event.split(' ');
  switch (what) {
    case 'pass':
      return managed.clock.advance(Number.parseInt(subject, 10) * 1000);
    case 'revoke':
      return void (await managed.tokens.revoke({ actor: ops, id: subject }));
    case 'disable-account':
      return void (await managed.accounts.patch({ actor: ops, id: subject }, { enabled: false }));
    case 'take':
      return void (await managed.accounts.patch({ actor: ops, id: subject }, { permissions: { [more]: null } }));
    case 'store-ends':
      return managed.store.dispose();
    default:
      throw new Error(`${event} is no event`);
  }
}

/** Ids and tokens by the order of their first appearance. */
class Names {
  readonly #known = new Map<string, string>();
  readonly #counts = { id: 0, token: 0 };

  take(text: string): string {
    return (
      text
        .replace(/[A-Za-z0-9_-]{33}[AQgw](?![A-Za-z0-9_-])/g, token => this.#name('token', token))
        // The head of text that is as long as an id ends in a digit, too.
        .replace(/(\\xb[0-3])?([1-9][0-9]{14,18})(?![0-9])/g, (_, head, id) => {
          return (head === undefined ? '' : '\\xb3') + this.#name('id', id);
        })
    );
  }

  put(text: string): string {
    const values = new Map([...this.#known].map(([value, name]) => [name, value]));
    return text
      .replace(/\\xb3(<id [0-9]+>)/g, (whole, name) => {
        const id = values.get(name);
        return id === undefined ? whole : `\\xb${id.length - 16}${name}`;
      })
      .replace(/<(?:id|token) [0-9]+>/g, name => values.get(name) ?? name);
  }

  #name(kind: 'id' | 'token', value: string): string {
    let name = this.#known.get(value);
    if (name === undefined) {
      name = `<${kind} ${++this.#counts[kind]}>`;
      this.#known.set(value, name);
    }
    return name;
  }
}
