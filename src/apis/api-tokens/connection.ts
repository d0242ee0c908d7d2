import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { closeFrame } from '../../core/frames.ts';
import type { Json } from '../../core/token.ts';
import type { Manager, Presented } from '../../ports/session-source.ts';
import type { FeedEvent } from '../../ports/token-store.ts';
import type { ApiParts } from '../parts.ts';
import { callMethod, methodPath } from './call.ts';
import { identify } from './caller.ts';
import { type Codec, json, msgpack } from './codec.ts';
import type { Connections, Watched } from './connections.ts';
import { type EnvelopeName, envelopes, Failure, failed, type Outcome } from './envelope.ts';
import { type Frame, FrameFault, FrameReader, messageFrame, pingFrame, pongFrame } from './frames.ts';
import { isList, isObject, type Said, SaidFault, type SaidObject } from './said.ts';

export interface ConnectionParts {
  readonly parts: ApiParts;
  readonly envelope: EnvelopeName;
  /** What the handshake showed: it is looked at again with every call. */
  readonly presented: Presented;
  readonly account: string;
  readonly address: string;
  readonly connections: Connections;
}

const frameLimits = { bytes: 256 * 1024, frames: 1024 } as const;

/** After so long without a frame the client is asked for one; after so long it is taken for gone. */
const silence = { pingMs: 30_000, goneMs: 90_000 } as const;

/** How long the client has to take leave. */
const leaveMs = 1000;

const signedOut = { code: 1100, reason: 'Signed out' } as const;

/** Of the registry of close codes, as servers say it that are full. */
const tryLater = { code: 1013, reason: 'Too many connections' } as const;

type Bytes = { readonly in: number; readonly out: number };

/**
 * One WebSocket. Messages are taken one after the other, and the socket is not read while one is worked on or an answer is
 * not taken: so what a client can have under way is one call and what fits into the socket.
 */
export class Connection implements Watched {
  readonly #it: ConnectionParts;
  #manager: Manager | null = null;
  #socket: Duplex | null = null;
  #heardAt: number;
  #in = 0;
  #out = 0;
  #busy = false;
  /** Who was connected is nobody any more: closed when the call under way is answered. */
  #ended = false;
  /** The code that it was closed with; null while it is open. */
  #left: number | null = null;

  constructor(it: ConnectionParts) {
    this.#it = it;
    this.#heardAt = it.parts.clock.monotonic();
  }

  get account(): string {
    return this.#it.account;
  }

  /** Resolves when the connection is over. */
  async run(socket: Duplex, head: Uint8Array): Promise<Bytes> {
    const { connections, account } = this.#it;
    this.#socket = socket;
    const closed = new Promise<void>(resolve => socket.once('close', () => resolve()));
    socket.on('error', () => {});
    try {
      // Others may have come since the handshake was taken.
      if (connections.noRoom(account) !== null) this.#leave(tryLater.code, tryLater.reason);
      else {
        connections.add(this);
        await this.#follow(socket, head);
      }
    } finally {
      connections.delete(this);
      this.#leave(1000, '');
      // What the client still sends is not kept: its end is waited for.
      socket.resume();
    }
    await closed;
    return { in: this.#in, out: this.#out };
  }

  /** Says goodbye, and ends the connection within a second. */
  close(code: number): void {
    this.#leave(code, '');
  }

  isMeant({ kind, id }: FeedEvent): boolean {
    // Roles say what somebody may, and not who that is.
    if (kind === 'role') return false;
    if (kind === 'account') return id === this.#it.account;
    // Sessions are tokens whose ids are not told.
    const tokenId = this.#manager?.tokenId ?? null;
    return tokenId === null || id === tokenId;
  }

  async check(): Promise<void> {
    try {
      if ((await this.#identify()) === 'nobody') this.#end();
    } catch (error) {
      this.#it.parts.log.fault(error, 'a connection of api-tokens could not be asked about');
    }
  }

  tick(): void {
    const silentMs = this.#it.parts.clock.monotonic() - this.#heardAt;
    if (silentMs >= silence.goneMs) this.#leave(1001, '');
    else if (silentMs >= silence.pingMs && !this.#busy) this.#write(pingFrame());
  }

  async #follow(socket: Duplex, head: Uint8Array): Promise<void> {
    const reader = new FrameReader(frameLimits);
    try {
      if (!(await this.#take(reader, head))) return;
      for await (const piece of socket.iterator({ destroyOnReturn: false })) {
        if (!(await this.#take(reader, piece as Uint8Array))) return;
      }
    } catch (error) {
      if (error instanceof FrameFault) this.#leave(error.code, '');
      else if (error instanceof SaidFault) this.#leave(1007, '');
      // What else fails is the socket, which is over then, or a fault of ours.
      else if (!socket.destroyed) {
        this.#it.parts.log.fault(error, 'a connection of api-tokens failed');
        this.#leave(1011, '');
      }
    }
  }

  /** Takes the frames of a piece. False when there is nothing more to be taken. */
  async #take(reader: FrameReader, piece: Uint8Array): Promise<boolean> {
    this.#in += piece.length;
    for (const frame of reader.read(piece)) {
      if (this.#left !== null) return false;
      this.#heardAt = this.#it.parts.clock.monotonic();
      if (frame.kind === 'close') {
        this.#leave(1000, '');
        return false;
      }
      this.#busy = true;
      await this.#heard(frame);
      this.#busy = false;
      if (this.#ended) this.#end();
    }
    return this.#left === null;
  }

  async #heard(frame: Exclude<Frame, { readonly kind: 'close' }>): Promise<void> {
    if (frame.kind === 'ping') return this.#send(pongFrame(frame.data));
    if (frame.kind !== 'message') return;
    if (!frame.binary && frame.data.length === 4 && Buffer.from(frame.data).equals(barePing)) {
      return this.#send(messageFrame('pong'));
    }
    const codec = frame.binary ? msgpack : json;
    const message = codec.read(frame.data);
    if (!isObject(message)) throw new SaidFault('no message');
    return this.#message(message, codec);
  }

  async #message(message: SaidObject, codec: Codec): Promise<void> {
    const { type, method, jsonrpc } = message;
    const id = readMessageId(message.id);
    const isRpc = type === 'rpc' || (jsonrpc === '2.0' && this.#it.envelope === 'jsonrpc');
    if (type === 'ping') return this.#answer({ type: 'pong', ...(id !== null && { id }) }, codec);
    // Events, and what clients send to keep the connection, ask for nothing.
    if (!isRpc || method === undefined) return;
    if (typeof method !== 'string') throw new SaidFault('a method that is no text');
    const outcome = await this.#call(method, valuesOf(message.args ?? message.params));
    if (outcome === null || id === null) return;
    const envelope = envelopes[this.#it.envelope](outcome);
    const answer = this.#it.envelope === 'jsonrpc' ? { ...envelope, id } : { type: 'rpc', id, result: envelope };
    return this.#answer(answer, codec);
  }

  /** Null when nobody calls any more. */
  async #call(method: string, values: readonly Said[]): Promise<Outcome | null> {
    const manager = await this.#identify();
    if (manager === 'nobody') {
      this.#ended = true;
      return null;
    }
    if (manager === 'unavailable') return failed(new Failure(503));
    const name = method.startsWith(methodPath) ? method.slice(methodPath.length) : '';
    return callMethod(this.#it.parts, manager, this.#it.address, name, values);
  }

  async #identify(): Promise<Manager | 'nobody' | 'unavailable'> {
    const { parts, presented, account } = this.#it;
    const identified = await identify(parts, presented);
    if (identified.kind !== 'manager') return identified.kind;
    this.#manager = identified.manager;
    return identified.manager.account === account ? identified.manager : 'nobody';
  }

  #end(): void {
    this.#ended = true;
    if (!this.#busy) this.#leave(signedOut.code, signedOut.reason);
  }

  #leave(code: number, reason: string): void {
    const socket = this.#socket;
    if (this.#left !== null || socket === null) return;
    this.#left = code;
    if (socket.destroyed) return;
    const frame = closeFrame(code, { reason });
    this.#out += frame.length;
    socket.end(frame);
    const timer = setTimeout(() => socket.destroy(), leaveMs);
    socket.once('close', () => clearTimeout(timer));
  }

  #answer(message: { readonly [name: string]: Json }, codec: Codec): Promise<void> {
    return this.#send(messageFrame(codec.write(message)));
  }

  /** Resolves when the client has room for more. */
  async #send(frame: Uint8Array): Promise<void> {
    const socket = this.#socket;
    if (this.#write(frame) || socket === null) return;
    await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => {});
  }

  #write(frame: Uint8Array): boolean {
    const socket = this.#socket;
    if (this.#left !== null || socket === null || socket.destroyed) return true;
    this.#out += frame.length;
    return socket.write(frame);
  }
}

const barePing: Buffer = Buffer.from('ping');

/** What an answer is told by; null: none is wanted. */
function readMessageId(said: Said | undefined): string | number | null {
  if (said === undefined || said === null) return null;
  if (typeof said === 'number' && Number.isFinite(said)) return said;
  if (typeof said === 'string' && said.length <= 256) return said;
  throw new SaidFault('an id that is neither number nor short text');
}

const valuesOf = (said: Said | undefined): readonly Said[] => {
  if (said === undefined) return [];
  return isList(said) ? said : [said];
};
