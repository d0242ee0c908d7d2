import { once } from 'node:events';
import { createServer } from 'node:net';

/**
 * A port that was free a moment ago, for programs that cannot choose one themselves. Below those that the system gives to
 * outgoing connections (32768 and up on Linux): a server that is restarted finds its port free again.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 15_000 + Math.floor(Math.random() * 17_000);
    const server = createServer().listen(port, '127.0.0.1');
    const error = await Promise.race([once(server, 'listening').then(() => null), once(server, 'error')]).catch(
      (thrown: unknown) => thrown,
    );
    if (error !== null) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
}
