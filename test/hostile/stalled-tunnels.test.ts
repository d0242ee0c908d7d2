import { expect, test } from 'vitest';
import type { Scene } from '../support/recording-upstream.ts';
import { H, useRig } from '../support/rig.ts';

/** A side that is not read, because the other takes nothing, cannot be seen to go away: patience has an end. */

const rig = useRig({ upstreamMembers: 'idle_timeout: 500ms' });
const switched =
  'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n';
const upgrade = `GET /public/x HTTP/1.1\r\n${H}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n`;
const open = () => rig.postern.metric('postern_streams_open{kind="websocket"}');

test.each(['upstream', 'client'] as const)('WebSockets whose %s takes nothing are given up', async full => {
  const scenes: Scene[] = [];
  rig.upstream.script = scene => {
    scenes.push(scene);
    if (full === 'upstream') scene.socket.pause();
    scene.write(switched);
  };
  const flood = Buffer.alloc(30 << 20);
  for (let i = 0; i < 3; i++) {
    const client = await rig.send(upgrade);
    expect((await client.answer()).status).toBe(101);
    if (full === 'upstream') {
      client.write(flood);
      await expect.poll(() => client.socket.writableLength).toBeGreaterThan(0);
      client.reset();
    } else {
      client.socket.pause();
      scenes.at(-1)!.socket.on('error', () => {});
      scenes.at(-1)!.write(flood);
      scenes.at(-1)!.socket.resetAndDestroy();
    }
  }
  await expect.poll(open, { timeout: 10_000 }).toBe(0);
  await expect.poll(() => rig.postern.metric('postern_connections{listener="proxy"}'), { timeout: 10_000 }).toBe(0);
});
