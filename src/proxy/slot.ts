import type { Socket } from 'node:net';
import { Client } from 'undici';
import type { Endpoint } from './endpoint.ts';
import { UpstreamError } from './faults.ts';

/** What a slot needs of the pool that it is a slot of. */
export interface SlotHome {
  /** A connection to the slot's endpoint or to another one, which the slot then moves to. */
  connect(slot: Slot, authority: string | null, signal: AbortSignal): Promise<Socket>;
  release(slot: Slot, reusable: boolean): void;
  promote(slot: Slot): boolean;
  lost(slot: Slot): void;
  answered(slot: Slot): void;
  unanswered(slot: Slot, error: unknown): void;
}

/** Room for one request: one connection, made when it is first needed, and the client that speaks on it. */
export class Slot {
  stream = false;
  /** Error that the connection ended with; undici does not tell a reset from an orderly end. */
  socketError: Error | null = null;
  /** Where it is connected to, or is to be; null until a name has been resolved. */
  endpoint: Endpoint | null;
  #client: Client | null = null;
  #socket: Socket | null = null;
  /** A connection that the client has not asked for yet. */
  #unclaimed: Socket | null = null;
  #connected = false;
  #requests = 0;
  #bytesBefore = 0;
  #writtenBefore = 0;
  #discarded = false;
  /** An attempt to connect would outlive the request. */
  readonly #connecting = new AbortController();
  readonly #home: SlotHome;

  constructor(endpoint: Endpoint | null, home: SlotHome) {
    this.endpoint = endpoint;
    this.#home = home;
    if (endpoint !== null) endpoint.load++;
  }

  /** Connects. Rejects with what went wrong at the last endpoint that was tried, or when the slot is discarded. */
  async open(): Promise<void> {
    const socket = await this.#home.connect(this, null, this.#connecting.signal);
    if (this.#discarded) {
      socket.destroy();
      throw new UpstreamError('other');
    }
    this.#unclaimed = socket;
    const { authority, url } = this.endpoint!;
    this.#client = new Client(`${url.protocol}://${authority}`, {
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveMaxTimeout: 60_000,
      maxHeaderSize: 16 * 1024,
      connect: (_options, done) => {
        const opened = this.#unclaimed;
        this.#unclaimed = null;
        if (opened !== null) {
          // Not at once: undici would not look at its queue again.
          queueMicrotask(() => done(null, opened as never));
          return;
        }
        // The connection ended before anything was written: undici asks for another. The Host is given by now.
        this.#home.connect(this, authority, this.#connecting.signal).then(
          again => {
            this.#adopt(again);
            done(null, again as never);
          },
          (error: Error) => done(error, null),
        );
      },
    });
    this.#client.on('disconnect', () => {
      this.#connected = false;
      this.#home.lost(this);
    });
    this.#adopt(socket);
  }

  #adopt(socket: Socket): void {
    this.#socket = socket;
    this.#connected = true;
    this.#requests = 0;
    this.socketError = null;
    socket.on('error', (error: Error) => {
      this.socketError = error;
    });
  }

  /** Its requests count for another endpoint from here on. */
  moveTo(endpoint: Endpoint | null): void {
    if (this.endpoint === endpoint) return;
    if (this.endpoint !== null) this.endpoint.load--;
    if (endpoint !== null) endpoint.load++;
    this.endpoint = endpoint;
  }

  /** It has been opened; whether the connection still stands is another question. */
  get opened(): boolean {
    return this.#client !== null;
  }

  /** Once it is opened. */
  get client(): Client {
    return this.#client!;
  }

  get alive(): boolean {
    return this.#connected && !this.#discarded && this.#socket?.destroyed === false;
  }

  /** A request is about to be written to the connection. */
  begin(): void {
    this.#requests++;
    this.#bytesBefore = this.#socket?.bytesRead ?? 0;
    this.#writtenBefore = this.#socket?.bytesWritten ?? 0;
  }

  /** Bytes of the request that was begun last have gone to the system. Where that cannot be told, they have. */
  get wrote(): boolean {
    return this.#socket?.bytesWritten !== this.#writtenBefore;
  }

  /** The connection carried a request before, and brought nothing back for this one: the server had ended it. */
  get diedUnused(): boolean {
    return this.#requests > 1 && (this.#socket?.bytesRead ?? 0) === this.#bytesBefore;
  }

  /** The endpoint has answered the request. */
  answered(): void {
    this.#home.answered(this);
  }

  /** The endpoint has not answered the request, by its own fault. */
  unanswered(error: unknown): void {
    this.#home.unanswered(this, error);
  }

  release(reusable: boolean): void {
    this.#home.release(this, reusable);
  }

  promote(): boolean {
    return this.#home.promote(this);
  }

  /** Ends the connection, whatever is under way on it. */
  discard(error?: Error): void {
    if (this.#discarded) return;
    this.#discarded = true;
    this.#connecting.abort(error);
    this.#unclaimed?.destroy();
    void this.#client?.destroy(error ?? null);
  }
}
