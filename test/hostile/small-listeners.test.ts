import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
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

const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

describe('the listener that probes and scrapes come to', () => {
  test('answers them when others hold more connections than it takes', async () => {
    const port = postern.app.ports.telemetry;
    const held: Socket[] = [];
    for (let i = 0; i < 1100; i++) {
      const socket = connect({ port, host: '127.0.0.1' });
      socket.on('error', () => {});
      // Half of them have asked and wait, half never say anything.
      if (i % 2 === 0) socket.write(get('/livez'));
      held.push(socket);
      if (i % 100 === 99) await once(socket, 'connect');
    }
    for (let i = 0; i < 3; i++) {
      const probe = await RawClient.open(port);
      probe.write(get('/livez'));
      expect((await probe.answer()).status).toBe(200);
      probe.destroy();
    }
    for (const socket of held) socket.destroy();
  });
});
