import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

let upstream: RecordingUpstream;
let postern: Postern;
beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  postern = await Postern.start({ upstream: upstream.url });
});
afterAll(async () => {
  await postern.stop();
  await upstream.close();
});

const get = (target: string, fields = ''): string => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n${fields}\r\n`;
const ports = () => [postern.app.ports.admin, postern.app.ports.telemetry];

describe('pipelined requests on listeners of ours', () => {
  test('are answered in turn, each once, and the connection goes on', async () => {
    const client = await RawClient.open(postern.app.ports.telemetry);
    client.write(Array.from({ length: 50 }, (_, i) => get(i % 2 === 0 ? '/livez' : `/nothing-${i}`)).join(''));
    for (let i = 0; i < 50; i++) expect((await client.answer()).status, `answer ${i}`).toBe(i % 2 === 0 ? 200 : 404);
    client.write(get('/livez'));
    expect((await client.answer()).status).toBe(200);
    expect(client.length).toBe(0);
    client.destroy();
  });

  test('are not read on before there is somebody to take the answers', async () => {
    const client = await RawClient.open(postern.app.ports.telemetry);
    client.socket.pause();
    client.write(get('/metrics').repeat(400_000));
    // What the network takes, and no more.
    for (let last = -1; last !== client.socket.writableLength; ) {
      last = client.socket.writableLength;
      await new Promise(resolve => setTimeout(resolve, 300));
    }
    expect(client.socket.writableLength).toBeGreaterThan(1 << 20);
    expect((await fetch(`http://127.0.0.1:${postern.app.ports.telemetry}/metrics`)).status).toBe(200);
    client.destroy();
  });

  test('behind one that breaks get no answer, and the broken one gets its own', async () => {
    for (const port of ports()) {
      const client = await RawClient.open(port);
      client.write(
        `${get('/livez')}${get('/livez')}POST /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
      );
      await client.answer();
      await client.answer();
      const last = await client.answer();
      expect(last.status).toBeGreaterThanOrEqual(400);
      await client.untilClosed();
      expect(client.text).toBe('');
    }
  });
});
