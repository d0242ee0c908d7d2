import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { decode } from '@msgpack/msgpack';
import { afterEach, expect, test } from 'vitest';
import type { EnvelopeName } from '../../../src/apis/api-tokens/envelope.ts';
import { methods } from '../../../src/apis/api-tokens/methods.ts';
import type { Fields } from '../../../src/core/fields.ts';
import type { MountAnswer } from '../../../src/ports/mount.ts';
import { ops } from '../../support/managed.ts';
import { maskedFrame, type ServerFrame, WebSocketClient } from '../../support/websocket-client.ts';
import { NotClaimed, type Office, openOffice } from './office.ts';

/**
 * A transcript is what clients and this API say to each other, one exchange after the other; its name begins with the
 * envelope of the mount:
 *
 *     # a remark
 *     ! an event, such as `pass 60s`
 *     > the request, line by line, without Host and Content-Length; an empty line, and its body
 *     < the answer, line by line
 *     ~ the subprotocols of a WebSocket, which takes the place of the one before
 *     > 81 a frame to it: the first byte, and the data
 *     >> bytes to it as they are
 *     < 81 a frame from it; `< closed`: it is over
 *
 * What comes from a WebSocket is all that comes before it answers a ping.
 *
 * Bytes that are no visible ASCII are written `\xNN`. `<id 1>` and `<token 1>` stand for the first id and token that were
 * answered, in answers and in requests alike; ids count as 19 digits long. The clock stands still at the beginning of 2030.
 */
const folder = import.meta.dirname;
const files = readdirSync(folder).filter(name => name.endsWith('.transcript'));

/** What was played, as `result json create 200`. */
const played = new Set<string>();

let office: Office | null = null;
let client: WebSocketClient | null = null;
afterEach(async () => {
  client?.destroy();
  client = null;
  await office?.managed.dispose();
  office = null;
});

test.each(files)('%s is what is said, byte for byte', async file => {
  const envelope = file.split('-')[0] as EnvelopeName;
  office = await openOffice(envelope);
  const names = new Names();
  const lines = readFileSync(path.join(folder, file), 'utf8').replace(/\n$/, '').split('\n');
  const said: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const line = lines[at]!;
    if (line.startsWith('~ ')) {
      at++;
      while (lines[at]?.startsWith('<')) at++;
      client?.destroy();
      const answered = await office.shake(['Sec-WebSocket-Protocol', names.put(line.slice(2))]);
      client = 'run' in answered ? new WebSocketClient(await office.upgraded(answered)) : null;
      const answer = 'run' in answered ? { status: 101, fields: answered.fields, body: null } : answered;
      said.push(line, ...answerLines(answer, names));
      continue;
    }
    if (/^>(?:>| [0-9a-f]{2}(?: |$))/.test(line)) {
      const sent = takeWhile(lines, at, '>');
      at += sent.length;
      while (lines[at]?.startsWith('<')) at++;
      if (client === null) throw new Error(`${file}:${at}: there is no WebSocket`);
      const bytes = sent.map(each => frameOf(names.put(each)));
      const answers = await framesAfter(client, Buffer.concat(bytes));
      said.push(...sent, ...answers.map(frame => frameLine(frame, names)));
      noteFrames(envelope, sent.map(names.put, names), answers);
      continue;
    }
    if (line.startsWith('>')) {
      const asked = takeWhile(lines, at, '>');
      at += asked.length;
      while (lines[at]?.startsWith('<')) at++;
      const request = asked.map(each => names.put(each.slice(2)));
      const answer = await exchange(office, request);
      said.push(...asked, ...answerLines(answer, names));
      note(envelope, request[0]!, answer);
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

/** Bytes of a line. */
function frameOf(line: string): Buffer {
  if (line.startsWith('>> ')) return unescaped(line.slice(3));
  return maskedFrame(Number.parseInt(line.slice(2, 4), 16), unescaped(line.slice(5)));
}

/** The frames that come before an answer to a ping; null: the end. */
async function framesAfter(to: WebSocketClient, bytes: Uint8Array): Promise<(ServerFrame | null)[]> {
  const probe = Buffer.from('probe');
  to.write(Buffer.concat([bytes, maskedFrame(0x89, probe)]));
  const frames: (ServerFrame | null)[] = [];
  for (;;) {
    const frame = await to.frame();
    if (frame?.head[0] === 0x8a && frame.data.equals(probe)) return frames;
    frames.push(frame);
    if (frame === null) return frames;
  }
}

function frameLine(frame: ServerFrame | null, names: Names): string {
  if (frame === null) return '< closed';
  const { head, data } = frame;
  // As short as may be, and without a mask.
  expect(head.length).toBe(data.length < 126 ? 2 : data.length < 65_536 ? 4 : 10);
  expect(head[1]).toBe(data.length < 126 ? data.length : data.length < 65_536 ? 126 : 127);
  return `< ${head.toString('hex', 0, 1)} ${names.take(escaped(data))}`.trimEnd();
}

function note(envelope: EnvelopeName, line: string, answer: MountAnswer | null): void {
  const method = methodIn(line);
  if (answer === null || method === null) return;
  const type = answer.fields[1]!.replace('application/', '');
  const value = type === 'json' ? JSON.parse(String(answer.body)) : decode(answer.body as Uint8Array);
  played.add(`${envelope} ${type} ${method} ${statusOf(value)}`);
}

/** Answers stand behind their calls, one for each that has an id. */
function noteFrames(envelope: EnvelopeName, sent: readonly string[], answers: readonly (ServerFrame | null)[]): void {
  const method = methodIn(sent.join());
  const answer = answers[0];
  if (method === null || answer == null || (answer.opcode !== 1 && answer.opcode !== 2)) return;
  const value = answer.opcode === 1 ? JSON.parse(String(answer.data)) : decode(answer.data);
  const status = statusOf(value.result?.status === undefined ? value : value.result);
  played.add(`${envelope} ${answer.opcode === 1 ? 'text' : 'binary'} ${method} ${status}`);
}

/** A method that is one, in a path. */
const methodIn = (text: string): string | null => {
  const name = /\/v1\/api-tokens\/([a-z-]+)/.exec(text)?.[1] ?? '';
  return methods.has(name) ? name : null;
};

const statusOf = ({ status, result, error }: ReturnType<typeof JSON.parse>): number =>
  status ?? result?.status ?? error?.code;

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

// Behind those that play. A file that is lost takes its test along.
test('nothing is missing: each method with right inputs, wrong ones and foreign ids, in every envelope and type', () => {
  expect(files).toEqual([
    'jsonrpc-inputs-json.transcript',
    'jsonrpc-inputs-msgpack.transcript',
    'jsonrpc-json.transcript',
    'jsonrpc-msgpack.transcript',
    'jsonrpc-sockets.transcript',
    'result-inputs-json.transcript',
    'result-inputs-msgpack.transcript',
    'result-json.transcript',
    'result-msgpack.transcript',
    'result-sockets.transcript',
  ]);
  const wanted = ['result', 'jsonrpc'].flatMap(envelope =>
    ['json', 'msgpack', 'text', 'binary'].flatMap(type =>
      [...methods.keys()].flatMap(method =>
        (method === 'create' ? [200, 400] : [200, 400, 404]).map(status => `${envelope} ${type} ${method} ${status}`),
      ),
    ),
  );
  expect(wanted.filter(each => !played.has(each))).toEqual([]);
});
