import { describe, expect, test } from 'vitest';
import type { Answer } from '../support/raw-client.ts';
import { H, useRig } from '../support/rig.ts';

/** Where packets begin and end says nothing: the verdict and what the upstream gets are the same, however bytes come. */

const rig = useRig();

interface Sample {
  /** With a mark of four digits, by which the upstream's requests are told apart. */
  readonly bytes: (mark: string) => string;
  /** Statuses of the answers; to HEAD where it is negative. */
  readonly statuses: readonly number[];
}

const head = (line: string, mark: string, fields = '') => `${line} HTTP/1.1\r\n${H}X-Mark: ${mark}\r\n${fields}\r\n`;

const samples: Record<string, Sample> = {
  'a request with a token': { bytes: mark => head('GET /api/x?y=%41', mark, rig.A), statuses: [200] },
  'a request without a token': { bytes: mark => head('GET /api/x', mark), statuses: [401] },
  'a body with a length': {
    bytes: mark =>
      `${head('POST /public/x', mark, 'Content-Length: 38\r\n')}GET /admin HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n`,
    statuses: [200],
  },
  'a body in chunks, with extensions and trailers': {
    bytes: mark =>
      `${head('PUT /public/x', mark, 'Transfer-Encoding: chunked\r\n')}5;a="b"\r\nhello\r\n1\r\n\r\r\n2\r\n\r\n\r\n0\r\nX-Trailer: 1\r\n\r\n`,
    statuses: [200],
  },
  'a denied one with a body, and one behind it': {
    bytes: mark => `${head('POST /api/x', mark, 'Content-Length: 5\r\n')}hello${head('GET /public/y', mark)}`,
    statuses: [401, 200],
  },
  'two at once, one of them to HEAD': {
    bytes: mark => head('HEAD /public/x', mark) + head('GET /admin/x', mark, rig.A),
    statuses: [-200, 403],
  },
  'a length and an encoding': {
    bytes: mark => `${head('POST /public/x', mark, 'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n')}0\r\n\r\n`,
    statuses: [400],
  },
  'two Hosts': { bytes: mark => head('GET /public/x', mark, 'Host: b\r\n'), statuses: [400] },
  'a dot segment': { bytes: mark => head('GET /public/../admin', mark), statuses: [400] },
  'another version': { bytes: mark => head('GET /public/x', mark).replace('HTTP/1.1', 'HTTP/2.0'), statuses: [505] },
  'the preface of HTTP/2': { bytes: () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', statuses: [505] },
  'garbage behind a good one': {
    bytes: mark => `${head('GET /public/x', mark)}G A R B A G E\r\n\r\n`,
    statuses: [200, 400],
  },
  'an unknown encoding': {
    bytes: mark => `${head('POST /public/x', mark, 'Transfer-Encoding: xchunked\r\n')}0\r\n\r\n`,
    statuses: [400],
  },
  'an upgrade that is refused': {
    bytes: mark => `${head('GET /api/x', mark, 'Connection: Upgrade\r\nUpgrade: websocket\r\n')}GET /public/x`,
    statuses: [401],
  },
  'a tunnel that is refused': { bytes: mark => `${head('CONNECT a:80', mark)}GET /public/x`, statuses: [405] },
};

/** What must not depend on the packets. */
interface Outcome {
  readonly answers: readonly unknown[];
  readonly surplus: string;
  readonly forwarded: readonly unknown[];
}

let marks = 0;

async function play({ bytes, statuses }: Sample, cut: (text: string) => readonly string[]): Promise<Outcome> {
  const mark = String(++marks).padStart(4, '0');
  const client = await rig.open();
  for (const piece of cut(bytes(mark))) {
    client.write(piece);
    await new Promise(setImmediate);
  }
  const answers: Answer[] = [];
  for (const status of statuses) answers.push(await client.answer({ head: status < 0 }));
  expect(answers.map(({ status }) => status)).toEqual(statuses.map(Math.abs));
  if (answers.at(-1)!.get('connection') === 'close') await client.untilClosed();
  const surplus = client.text;
  client.destroy();
  return {
    answers: answers.map(answerText),
    surplus,
    forwarded: rig.upstream.requests
      .filter(request => request.get('x-mark') === mark)
      .map(({ method, target, fields, body, complete }) => ({
        line: `${method} ${target}`,
        fields: fields.filter(([name]) => !varying.has(name.toLowerCase())),
        body: body.toString('latin1'),
        complete,
      })),
  };
}

/** Ids, times, and the framing: a body that came whole before it was sent on has a length. */
const varying = new Set(['x-mark', 'x-request-id', 'traceparent', 'content-length', 'transfer-encoding']);

const answerText = ({ status, fields, body, framing }: Answer) => ({
  status,
  fields: fields.filter(([name]) => !['date', 'x-request-id'].includes(name.toLowerCase())),
  body: body.toString('latin1').replace(/"request_id":"[^"]*"/, ''),
  framing,
});

const whole = (text: string) => [text];
const byBytes = (text: string) => [...text];

describe('however the bytes are cut into packets, the outcome is the same:', () => {
  test.each(Object.entries(samples))('%s', async (_, sample) => {
    const reference = await play(sample, whole);
    expect(reference.surplus).toBe('');
    const { length } = sample.bytes('0000');
    const cuts = Array.from({ length: length - 1 }, (_, i) => (text: string) => [
      text.slice(0, i + 1),
      text.slice(i + 1),
    ]);
    for (let i = 0; i < cuts.length; i += 24) {
      const outcomes = await Promise.all(cuts.slice(i, i + 24).map(cut => play(sample, cut)));
      for (const [j, outcome] of outcomes.entries()) expect(outcome, `cut behind byte ${i + j + 1}`).toEqual(reference);
    }
    expect(await play(sample, byBytes), 'one byte in each packet').toEqual(reference);
  });
});
