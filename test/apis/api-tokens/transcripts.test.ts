import { decode } from '@msgpack/msgpack';
import { afterEach, expect, test } from 'vitest';
import type { EnvelopeName } from '../../../src/apis/api-tokens/envelope.ts';
import { methods } from '../../../src/apis/api-tokens/methods.ts';
import type { MountAnswer } from '../../../src/ports/mount.ts';
import { ops } from '../../support/managed.ts';
import { maskedFrame, type ServerFrame, WebSocketClient } from '../../support/websocket-client.ts';
import { expectSaid, happensTo, Names, spokenAnswer, spokenRequest, transcriptsIn } from '../transcript.ts';
import { type Office, openOffice } from './office.ts';

/**
 * The name of a transcript begins with the envelope of the mount. Beside what others have there are WebSockets:
 *
 *     ~ the subprotocols of a WebSocket
 *     > 81 a frame to it: the first byte, and the data
 *     >> bytes to it as they are
 *     < 81 a frame from it; `< closed`: it is over
 *
 * What comes from a WebSocket is all that comes before it answers a ping. Bytes that are no visible ASCII are written
 * `\xNN`. Ids count as 19 digits long.
 */
const folder = import.meta.dirname;
const files = transcriptsIn(folder);

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
  const opened = await openOffice(envelope);
  office = opened;
  const names = new PackedNames();
  const written = (body: string | Uint8Array): string => masked(escaped(Buffer.from(body as string)), names);

  async function shake(protocols: string): Promise<readonly string[]> {
    client?.destroy();
    const answered = await opened.shake(['Sec-WebSocket-Protocol', protocols]);
    client = 'run' in answered ? new WebSocketClient(await opened.upgraded(answered)) : null;
    const answer = 'run' in answered ? { status: 101, fields: answered.fields, body: null } : answered;
    return spokenAnswer(Promise.resolve(answer), written);
  }

  async function send(lines: readonly string[]): Promise<readonly string[]> {
    if (client === null) throw new Error(`${file}: there is no WebSocket`);
    const answers = await framesAfter(client, Buffer.concat(lines.map(frameOf)));
    noteFrames(envelope, lines, answers);
    return answers.map(frame => frameLine(frame, names));
  }

  await expectSaid(folder, file, {
    names,
    exchange: lines => {
      const first = lines[0]!;
      if (first.startsWith('~ ')) return shake(first.slice(2));
      if (/^(?: |[0-9a-f]{2}(?: |$))/.test(first)) return send(lines);
      const request = spokenRequest(lines);
      const asked = opened.call({ ...request, body: unescaped(request.body) });
      asked.then(
        answer => note(envelope, first, answer),
        () => {},
      );
      return spokenAnswer(asked, written);
    },
    happens: event => happens(opened, event),
  });
  expect(opened.faults).toEqual([]);
});

/** Bytes of a line. */
function frameOf(line: string): Buffer {
  if (line.startsWith(' ')) return unescaped(line.slice(1));
  return maskedFrame(Number.parseInt(line.slice(0, 2), 16), unescaped(line.slice(3)));
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
  if (frame === null) return 'closed';
  const { head, data } = frame;
  // As short as may be, and without a mask.
  expect(head.length).toBe(data.length < 126 ? 2 : data.length < 65_536 ? 4 : 10);
  expect(head[1]).toBe(data.length < 126 ? data.length : data.length < 65_536 ? 126 : 127);
  return `${head.toString('hex', 0, 1)} ${masked(escaped(data), names)}`.trimEnd();
}

function note(envelope: EnvelopeName, line: string, answer: MountAnswer): void {
  const method = methodIn(line);
  if (method === null) return;
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

const unescaped = (text: string): Buffer =>
  Buffer.from(
    text.replace(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );

const escaped = (bytes: Buffer): string =>
  bytes.toString('latin1').replace(/[^ -~]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

async function happens({ managed }: Office, event: readonly string[]): Promise<unknown> {
  const [what, id = '', permission = ''] = event;
  if (what !== 'take') return happensTo(managed, event);
  return managed.accounts.patch({ actor: ops, id }, { permissions: { [permission]: null } });
}

const masked = (text: string, names: Names): string =>
  text
    .replace(/[A-Za-z0-9_-]{33}[AQgw](?![A-Za-z0-9_-])/g, token => names.name('token', token))
    // The head of text that is as long as an id ends in a digit, too.
    .replace(/(\\xb[0-3])?([1-9][0-9]{14,18})(?![0-9])/g, (_, head, id) => {
      return (head === undefined ? '' : '\\xb3') + names.name('id', id);
    });

/** In MessagePack the head of an id tells its length. */
class PackedNames extends Names {
  override put(text: string): string {
    const headed = text.replace(/\\xb3(<id [0-9]+>)/g, (whole, name) => {
      const id = this.valueOf(name);
      return id === undefined ? whole : `\\xb${id.length - 16}${name}`;
    });
    return super.put(headed);
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
