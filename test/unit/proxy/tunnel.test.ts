import { Duplex } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Tunnel } from '../../../src/proxy/tunnel.ts';

/** A side that takes what it is sent only when it is told to. */
class Side extends Duplex {
  #taken: (() => void) | null = null;
  constructor() {
    super({ writableHighWaterMark: 4, readableHighWaterMark: 1024 });
  }
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    this.#taken = done;
  }
  accept(): void {
    const done = this.#taken;
    this.#taken = null;
    done?.();
  }
}

const settled = (): Promise<void> => new Promise(resolve => setImmediate(resolve));

describe('a side that takes nothing', () => {
  test.each(['client', 'upstream'] as const)('is told by how long the other was not read: %s', async full => {
    let now = 0;
    const sides = { client: new Side(), upstream: new Side() };
    const tunnel = new Tunnel(sides.client, Buffer.alloc(0), sides.upstream, () => now);
    const other = full === 'client' ? sides.upstream : sides.client;
    now = 1000;
    expect(tunnel.stalledMs).toBe(0);
    other.push(Buffer.alloc(8));
    await settled();
    now = 1500;
    expect(tunnel.stalledMs).toBe(500);
    sides[full].accept();
    await settled();
    expect(tunnel.stalledMs).toBe(0);
    sides.client.destroy();
    sides.upstream.destroy();
    await tunnel.ended;
  });
});
