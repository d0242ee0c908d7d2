import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { UpstreamAddress, UpstreamTls } from './options.ts';
import type { Resolver } from './resolver.ts';

/** Nothing answered within `connect_timeout`, over all addresses of the name. */
export class ConnectTimeout extends Error {
  readonly code = 'CONNECT_TIMEOUT';
}

export interface Connector {
  /** An open connection, TLS included. Rejects with the system's error, `ConnectTimeout`, or the signal's reason. */
  connect(signal: AbortSignal): Promise<Socket>;
}

/** Opens connections to one address of an upstream, trying what its name resolves to in turn. */
export function connector(
  address: UpstreamAddress,
  tls: UpstreamTls | null,
  timeoutMs: number,
  resolver: Resolver,
): Connector {
  let session: Buffer | undefined;
  const serverName = tls?.serverName ?? address.hostname;

  const open = (host: string): Socket => {
    if (address.protocol === 'http') return connectTcp({ host, port: address.port });
    // The name that is sent and verified is fixed by the configuration, never by what a client wrote into Host.
    const socket: TLSSocket = connectTls({
      host,
      port: address.port,
      ...(isIP(serverName) === 0 ? { servername: serverName } : {}),
      ...(tls?.ca ? { ca: tls.ca } : {}),
      ...(tls?.cert ? { cert: tls.cert } : {}),
      ...(tls?.key ? { key: tls.key } : {}),
      ...(session === undefined ? {} : { session }),
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
    });
    socket.on('session', (renewed: Buffer) => {
      session = renewed;
    });
    return socket;
  };

  const attempt = (host: string, deadline: number, signal: AbortSignal): Promise<Socket> =>
    new Promise((resolve, reject) => {
      const socket = open(host);
      const timer = setTimeout(() => fail(new ConnectTimeout('connect timeout')), Math.max(1, deadline - Date.now()));
      const over = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
      };
      const fail = (error: Error): void => {
        over();
        socket.destroy();
        reject(error);
      };
      const onAbort = (): void => fail(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      socket.once('error', fail);
      socket.once(address.protocol === 'https' ? 'secureConnect' : 'connect', () => {
        over();
        socket.off('error', fail);
        socket.setNoDelay(true);
        socket.setKeepAlive(true, 60_000);
        resolve(socket);
      });
    });

  return {
    async connect(signal) {
      const deadline = Date.now() + timeoutMs;
      let failure: unknown = new ConnectTimeout('connect timeout');
      for (const host of await within(resolver.addresses(), timeoutMs)) {
        signal.throwIfAborted();
        try {
          return await attempt(host, deadline, signal);
        } catch (error) {
          signal.throwIfAborted();
          failure = error;
          resolver.distrust();
          if (error instanceof ConnectTimeout) break;
        }
      }
      throw failure;
    },
  };
}

/** The resolver has no deadline of its own. */
async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new ConnectTimeout('name resolution timeout')), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
