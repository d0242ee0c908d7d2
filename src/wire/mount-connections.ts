import type { Duplex } from 'node:stream';
import type { Mount, MountConnection } from '../ports/mount.ts';

/** Going away (RFC 6455 7.4.1). */
const goingAway = 1001;

/** Connections that token APIs have taken over, on one listener. */
export class MountConnections {
  readonly #open = new Map<MountConnection, Mount>();

  get size(): number {
    return this.#open.size;
  }

  /** Resolves when it is over, with the bytes of each direction. */
  async run(
    mount: Mount,
    connection: MountConnection,
    socket: Duplex,
    head: Uint8Array,
  ): ReturnType<MountConnection['run']> {
    this.#open.set(connection, mount);
    try {
      return await connection.run(socket, head);
    } finally {
      this.#open.delete(connection);
      // What was written last still goes out.
      if (!socket.writableEnded) socket.destroy();
      else setTimeout(() => socket.destroy(), 1000).unref();
    }
  }

  /** Says goodbye to those whose mount is not kept. */
  close(kept: readonly Mount[]): void {
    for (const [connection, mount] of this.#open) if (!kept.includes(mount)) connection.close(goingAway);
  }
}
