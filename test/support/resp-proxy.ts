import { once } from 'node:events';
import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';

/** What a command's bytes are judged by. A script is recognized by its digest. */
export type Matcher = (bytes: Buffer) => boolean;

/**
 * What becomes of bytes. `hold` is a partition: they are kept, and arrive in order when it has passed. `swallow` is a
 * peer that has gone: a connection that lost bytes to it stays dead, because TCP never goes on after a hole.
 */
export type Mode =
  | { readonly kind: 'pass' | 'hold' | 'swallow' | 'refuse' }
  | { readonly kind: 'delay'; readonly ms: number }
  /** From the first command that matches on, a connection is held; those without one pass. */
  | { readonly kind: 'hold-from'; readonly match: Matcher };

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  /** What waits for the partition to pass, in order. */
  readonly kept: { readonly to: Socket; readonly bytes: Buffer }[];
  dead: boolean;
  held: boolean;
  /** The next answer is not passed on: the connection is cut in its place. */
  cut: boolean;
  /** Answers that are on their way, and how many. */
  answers: Promise<void>;
  delayed: number;
}

/** A TCP proxy before a Redis that does, at run time, what networks do to bytes. */
export class RespProxy {
  readonly #pairs = new Set<Pair>();
  readonly #server: Server;
  #mode: Mode = { kind: 'pass' };
  #cutOn: Matcher | null = null;
  #port = 0;
  target: number;
  /** Connections that were ever taken, and how often an answer was cut off. */
  readonly seen = { connections: 0, cuts: 0 };

  private constructor(target: number) {
    this.target = target;
    this.#server = createServer({ noDelay: true }, near => this.#join(near));
  }

  static async start(target: number): Promise<RespProxy> {
    const proxy = new RespProxy(target);
    await proxy.#listen();
    return proxy;
  }

  get port(): number {
    return this.#port;
  }

  get connections(): number {
    return this.#pairs.size;
  }

  /** From now on. What was held is let go by every mode that lets bytes pass. */
  async be(mode: Mode): Promise<void> {
    const listened = this.#mode.kind !== 'refuse';
    this.#mode = mode;
    if (mode.kind === 'refuse') {
      if (listened) this.#server.close();
      this.reset();
      return;
    }
    if (!listened) await this.#listen();
    if (mode.kind !== 'pass' && mode.kind !== 'delay') return;
    for (const pair of this.#pairs) {
      pair.held = false;
      for (const { to, bytes } of pair.kept.splice(0)) if (!to.destroyed) this.#deliver(pair, to, bytes, 0);
      if (pair.near.destroyed) pair.far.end();
    }
  }

  /** Resets all connections; what was kept of them is lost. */
  reset(): void {
    for (const { near, far } of this.#pairs) {
      near.resetAndDestroy();
      far.destroy();
    }
    this.#pairs.clear();
  }

  /** Once: lets the next command that matches be executed, and cuts its connection in place of the answer. */
  cutAnswerOf(match: Matcher): void {
    this.#cutOn = match;
  }

  async close(): Promise<void> {
    this.reset();
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    await closed;
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as { port: number }).port;
  }

  #join(near: Socket): void {
    this.seen.connections++;
    const far = dial({ host: '127.0.0.1', port: this.target, noDelay: true });
    const pair: Pair = {
      near,
      far,
      kept: [],
      dead: false,
      held: false,
      cut: false,
      answers: Promise.resolve(),
      delayed: 0,
    };
    this.#pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => {});
      from.on('data', (bytes: Buffer) => this.#carry(pair, to, bytes));
      from.on('close', () => {
        // What a client sent before it left arrives after the partition all the same: its kernel still sends it.
        if (from === near && pair.kept.some(item => item.to === far)) return;
        this.#pairs.delete(pair);
        to.destroy();
      });
    }
  }

  #carry(pair: Pair, to: Socket, bytes: Buffer): void {
    const mode = this.#mode;
    const command = to === pair.far;
    if (pair.dead) return;
    if (mode.kind === 'swallow') {
      pair.dead = true;
      return;
    }
    if (mode.kind === 'hold-from' && command && mode.match(bytes)) pair.held = true;
    if (mode.kind === 'hold' || pair.held) {
      pair.kept.push({ to, bytes });
      return;
    }
    if (command && this.#cutOn?.(bytes)) {
      this.#cutOn = null;
      pair.cut = true;
    } else if (!command && pair.cut) {
      this.seen.cuts++;
      pair.near.resetAndDestroy();
      pair.far.destroy();
      return;
    }
    this.#deliver(pair, to, bytes, command || mode.kind !== 'delay' ? 0 : mode.ms);
  }

  /** Answers stay in their order: one that is not delayed waits for those before it that are. */
  #deliver(pair: Pair, to: Socket, bytes: Buffer, ms: number): void {
    if (to === pair.far || (ms === 0 && pair.delayed === 0)) {
      to.write(bytes);
      return;
    }
    const due = performance.now() + ms;
    pair.delayed++;
    pair.answers = pair.answers.then(async () => {
      await pause(Math.max(0, due - performance.now()));
      pair.delayed--;
      if (!to.destroyed) to.write(bytes);
    });
  }
}
