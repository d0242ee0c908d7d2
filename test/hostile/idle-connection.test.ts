import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RawClient } from '../support/raw-client.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/**
 * An answer that nobody asked for, sent on an idle connection to the upstream, that lies unread when the next request
 * comes. The proxy is stopped meanwhile, so that it finds both at once, in either order.
 */

const evil = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL';
const get = (target: string): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`;

let upstream: RecordingUpstream;
let served: Served;
beforeAll(async () => {
  upstream = await new RecordingUpstream().listen();
  served = await Served.start({
    config: `upstreams: { u: { url: "${upstream.url}" } }\nroutes: [{ path: /**, access: public }]\n`,
  });
});
afterAll(async () => {
  served.program.signal('SIGCONT');
  await served.stop();
  await upstream.close();
});

const orders = ['the request first', 'the answer first'] as const;

test.each(orders)('is nobody’s answer: %s', async order => {
  for (let i = 0; i < 20; i++) {
    upstream.reset();
    const first = await RawClient.open(served.ports.proxy);
    const second = await RawClient.open(served.ports.proxy);
    first.write(get('/first'));
    expect((await first.answer()).body.toString()).toBe('ok');
    await expect.poll(() => served.metric('postern_upstream_connections{upstream="u",state="busy"}')).toBe(0);
    const idle = [...upstream.sockets].at(-1)!;

    served.program.signal('SIGSTOP');
    const steps = [() => second.write(get('/second')), () => idle.write(evil)];
    for (const step of order === 'the request first' ? steps : steps.toReversed()) {
      step();
      await pause(10);
    }
    served.program.signal('SIGCONT');

    expect((await second.answer()).body.toString(), `round ${i}`).toBe('ok');
    first.destroy();
    second.destroy();
  }
});
