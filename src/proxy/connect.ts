import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectTls, type TLSSocket } from 'node:tls';
import type { UpstreamAddress, UpstreamTls } from './options.ts';

/** Nothing answered within `connect_timeout`. */
export class ConnectTimeout extends Error {
  readonly code = 'CONNECT_TIMEOUT';
}

/** Opens connections to one IP address that a URL of an upstream stands for. */
export class Dialer {
  readonly #url: UpstreamAddress;
  readonly #host: string;
  readonly #tls: UpstreamTls | null;
  readonly #serverName: string;
  #session: Buffer | undefined;

  constructor(url: UpstreamAddress, host: string, tls: UpstreamTls | null) {
    this.#url = url;
    this.#host = host;
    this.#tls = tls;
    this.#serverName = tls?.serverName ?? url.hostname;
  }

  /** An open connection, TLS included. Rejects with the system's error, `ConnectTimeout`, or the signal's reason. */
  dial(timeoutMs: number, signal: AbortSignal): Promise<Socket> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const socket = this.#open();
      const timer = setTimeout(() => fail(new ConnectTimeout('connect timeout')), Math.max(1, timeoutMs));
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
      socket.once(this.#url.protocol === 'https' ? 'secureConnect' : 'connect', () => {
        over();
        socket.off('error', fail);
        socket.setNoDelay(true);
        socket.setKeepAlive(true, 60_000);
        resolve(socket);
      });
    });
  }

  #open(): Socket {
    const { port, protocol } = this.#url;
    const host = this.#host;
    if (protocol === 'http') return connectTcp({ host, port });
    const tls = this.#tls;
    // The name that is sent and verified is fixed by the configuration, never by what a client wrote into Host.
    const socket: TLSSocket = connectTls({
      host,
      port,
      ...(isIP(this.#serverName) === 0 ? { servername: this.#serverName } : {}),
      checkServerIdentity: (_host, certificate) => checkServerIdentity(this.#serverName, certificate),
      ...(tls?.ca ? { ca: tls.ca } : {}),
      ...(tls?.cert ? { cert: tls.cert } : {}),
      ...(tls?.key ? { key: tls.key } : {}),
      ...(this.#session === undefined ? {} : { session: this.#session }),
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
    });
    socket.on('session', (renewed: Buffer) => {
      this.#session = renewed;
    });
    return socket;
  }
}
