import type { Duplex } from 'node:stream';
import { closeFrame } from '../core/frames.ts';
import type { Fall } from '../core/standing.ts';
import { FrameTracker } from './frames.ts';

/** Why an upgraded connection or an endless answer ended. */
export type StreamEnd = 'client' | 'upstream' | 'idle' | 'drain' | Fall;

/** How long a closing handshake may take, and a frame under way may last, before the connection is cut. */
const closingMs = 1000;

/**
 * Two connections joined after a 101: bytes both ways with back-pressure, an end or a fault of one side passed to the
 * other at once. Frames are followed only so that we can say goodbye between two of them.
 */
export class Tunnel {
  bytesIn = 0;
  bytesOut = 0;
  /** Resolves when both sides are gone. */
  readonly ended: Promise<StreamEnd>;
  readonly #client: Duplex;
  readonly #upstream: Duplex;
  readonly #toClient = new FrameTracker();
  readonly #toUpstream = new FrameTracker();
  readonly #now: () => number;
  readonly #settle: (end: StreamEnd) => void;
  #lastByteAt: number;
  /** Since when a side takes nothing of what it is sent. */
  readonly #fullSince: { client: number | null; upstream: number | null } = { client: null, upstream: null };
  #end: StreamEnd | null = null;
  #goodbye: number | null = null;

  constructor(client: Duplex, head: Uint8Array, upstream: Duplex, now: () => number) {
    this.#client = client;
    this.#upstream = upstream;
    this.#now = now;
    this.#lastByteAt = now();
    let settle: (end: StreamEnd) => void = () => {};
    this.ended = new Promise(resolve => {
      settle = resolve;
    });
    this.#settle = settle;
    if (head.length > 0) this.#fromClient(head);
    client.on('data', chunk => this.#fromClient(chunk as Buffer));
    upstream.on('data', chunk => this.#fromUpstream(chunk as Buffer));
    client.on('drain', () => {
      this.#fullSince.client = null;
      upstream.resume();
    });
    upstream.on('drain', () => {
      this.#fullSince.upstream = null;
      client.resume();
    });
    this.#join(client, upstream, 'client');
    this.#join(upstream, client, 'upstream');
    client.resume();
    upstream.resume();
  }

  /** Milliseconds since a byte last went either way. */
  get idleMs(): number {
    return this.#now() - this.#lastByteAt;
  }

  /**
   * Milliseconds for which one side has taken nothing, so that the other is not read: its going away would not be
   * noticed meanwhile.
   */
  get stalledMs(): number {
    const { client, upstream } = this.#fullSince;
    const since = Math.min(client ?? Number.POSITIVE_INFINITY, upstream ?? Number.POSITIVE_INFINITY);
    return since === Number.POSITIVE_INFINITY ? 0 : this.#now() - since;
  }

  /** Ends both sides with a Close frame, at the next frame boundary or after a second at the latest. */
  close(code: number, end: StreamEnd): void {
    if (this.#goodbye !== null) return;
    this.#goodbye = code;
    this.#end ??= end;
    if (this.#toClient.atBoundary) this.#sayGoodbye();
    setTimeout(() => this.#cut(), closingMs).unref();
  }

  #fromClient(chunk: Uint8Array): void {
    this.bytesIn += chunk.length;
    this.#lastByteAt = this.#now();
    if (this.#goodbye !== null) return;
    this.#toUpstream.push(chunk);
    if (this.#upstream.write(chunk)) return;
    this.#fullSince.upstream ??= this.#now();
    this.#client.pause();
  }

  #fromUpstream(chunk: Uint8Array): void {
    this.#lastByteAt = this.#now();
    const boundary = this.#toClient.push(chunk);
    if (this.#goodbye !== null) {
      if (this.#client.writableEnded) return;
      if (boundary === -1) this.#toTheClient(chunk);
      else {
        this.#toTheClient(chunk.subarray(0, boundary));
        this.#sayGoodbye();
      }
      return;
    }
    if (this.#toTheClient(chunk)) return;
    this.#fullSince.client ??= this.#now();
    this.#upstream.pause();
  }

  #toTheClient(chunk: Uint8Array): boolean {
    this.bytesOut += chunk.length;
    return this.#client.write(chunk);
  }

  #sayGoodbye(): void {
    const code = this.#goodbye ?? 1001;
    this.#client.end(closeFrame(code));
    if (this.#toUpstream.atBoundary) this.#upstream.end(closeFrame(code, { masked: true }));
    else this.#upstream.end();
  }

  /** One side's end is passed on; once it is gone, the other has a moment to finish. */
  #join(side: Duplex, other: Duplex, name: 'client' | 'upstream'): void {
    side.on('error', () => {
      this.#end ??= name;
    });
    side.on('end', () => {
      this.#end ??= name;
      other.end();
      setTimeout(() => this.#cut(), closingMs).unref();
    });
    side.on('close', () => {
      this.#end ??= name;
      if (other.destroyed) this.#settle(this.#end);
      else if (other.writableLength === 0) other.destroy();
      else {
        other.end();
        setTimeout(() => other.destroy(), closingMs).unref();
      }
    });
  }

  #cut(): void {
    this.#client.destroy();
    this.#upstream.destroy();
  }
}
