import { afterAll, beforeAll, expect, test } from 'vitest';
import { Postern } from '../support/postern.ts';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';

/** Requests that are pipelined faster than they are answered stay with whoever sends them. */

const H = 'Host: localhost\r\n';
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

test.each(['proxy', 'admin', 'telemetry'] as const)(
  'a flood of small requests is not read ahead: %s',
  async listener => {
    const port = postern.app.ports[listener];
    const client = await RawClient.open(port);
    client.socket.pause();
    client.write(`GET /metrics HTTP/1.1\r\n${H}\r\n`.repeat(400_000));
    // Answered for as long as the network takes the answers.
    await new Promise(resolve => setTimeout(resolve, 2500));
    client.destroy();
    // Had they been read, its going away would be the work of half a minute.
    const other = await RawClient.open(port);
    other.write(`GET /nothing HTTP/1.1\r\n${H}Connection: close\r\n\r\n`);
    expect((await other.answer({ ms: 5000 })).status).toBeGreaterThanOrEqual(400);
    other.destroy();
  },
);
