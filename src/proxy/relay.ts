import type { Duplex } from 'node:stream';
import type { Dispatcher } from 'undici';
import { saidCost, usedOf } from '../core/cost.ts';
import type { Decision, Permit } from '../core/decide.ts';
import { carriesBody } from '../core/form.ts';
import type { Fall } from '../core/standing.ts';
import type { Subject } from '../core/token.ts';
import type { Forwarded, Journey } from '../ports/forwarder.ts';
import { bodyFault, type Fault, UpstreamError, type UpstreamFault, upstreamFault } from './faults.ts';
import { type FieldRules, incoming, type Outgoing } from './fields.ts';
import type { UpstreamOptions } from './options.ts';
import type { Pool } from './pool.ts';
import { type Judged, subjectOf } from './rejudgement.ts';
import type { Slot } from './slot.ts';
import type { StreamEnd, Tunnel } from './tunnel.ts';

/** What a relay needs of the upstream it serves. */
export interface RelayParts {
  readonly options: UpstreamOptions;
  readonly pool: Pool;
  readonly rules: FieldRules;
  readonly now: () => number;
  /** Joins two connections after a 101. */
  tunnel(client: Duplex, head: Uint8Array, upstream: Duplex): Tunnel;
  /** Counts endless answers while they last. */
  streams: { opened(relay: Relay): void; closed(relay: Relay, end: StreamEnd): void };
}

/** Faults before an answer that speak against the endpoint. Those of connecting are judged where they happen. */
const againstEndpoint: ReadonlySet<UpstreamFault> = new Set(['reset', 'protocol', 'head_timeout']);

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);

/**
 * One request to the upstream and its answer to the client: undici's handler on one side, the exchange on the other.
 * Heads and bytes pass through; nothing is kept, and whichever side is slower holds the other back.
 */
export class Relay implements Dispatcher.DispatchHandler, Judged {
  readonly #parts: RelayParts;
  readonly #permit: Permit;
  readonly #journey: Journey;
  readonly #outgoing: Outgoing;
  readonly #settle: (forwarded: Forwarded) => void;
  #slot: Slot | null = null;
  #controller: Dispatcher.DispatchController | null = null;
  #phase: 'waiting' | 'sent' | 'body' | 'paused' | 'ended' | 'over' = 'waiting';
  /** Milliseconds that the side whose turn it is may take; 0 for ever. */
  #patienceMs = 0;
  /** When its turn was first seen; null since it last did something. Asking for the time costs more than a flag. */
  #since: number | null = null;
  #bytesIn = 0;
  #sentAt = 0;
  #upstreamMs: number | null = null;
  #status = 0;
  #retried = false;
  /** The request was begun on the slot that it has. */
  #begun = false;
  /** Some of it was written to an upstream. */
  #wrote = false;
  #eventStream = false;
  #streamEnd: StreamEnd | null = null;
  #tunnel: Tunnel | null = null;
  /** Why the client was given up. */
  #fault: UpstreamFault | Fall | null = null;
  /** Its token is denied by now. */
  #fallen: Fall | null = null;
  subject: Subject | null;
  readonly inShadow: boolean;
  /** The client has gone. */
  gone = false;

  constructor(
    parts: RelayParts,
    permit: Permit,
    journey: Journey,
    outgoing: Outgoing,
    settle: (forwarded: Forwarded) => void,
  ) {
    this.#parts = parts;
    this.#permit = permit;
    this.subject = subjectOf(permit);
    this.inShadow = permit.route.mode === 'shadow';
    this.#journey = journey;
    this.#outgoing = outgoing;
    this.#settle = settle;
  }

  get kind(): 'websocket' | 'event_stream' | null {
    return this.#tunnel !== null ? 'websocket' : this.#eventStream ? 'event_stream' : null;
  }

  async start(): Promise<void> {
    this.#journey.exchange.onClose(complete => this.#clientClosed(complete));
    // The client may have gone while its token was looked up.
    if (this.gone) return;
    try {
      this.#send(this.#parts.pool.take() ?? (await this.#parts.pool.wait(this)));
    } catch (error) {
      this.#fail(upstreamFault(error));
    }
  }

  #send(slot: Slot): void {
    if (this.gone || this.#phase === 'over') {
      slot.release(true);
      this.#over('aborted', null);
      return;
    }
    this.#slot = slot;
    if (!slot.opened) {
      void this.#open(slot);
      return;
    }
    // Attack: an answer that nobody asked for, sent on an idle connection, is not yet read when the next request comes
    // in the same turn of the event loop, and would be taken for its answer. So one whole turn is let pass: until now
    // at the latest it came in, and undici, which waits for the end of a turn as well, has ended the connection.
    setImmediate(() => {
      if (this.#slot === slot) this.#reuse(slot);
    });
  }

  /** On a connection of its own. */
  async #open(slot: Slot): Promise<void> {
    try {
      await slot.open();
      if (this.#slot === slot && !this.gone) this.#dispatch(slot);
    } catch (error) {
      if (this.#slot === slot && !this.gone) this.#fail(upstreamFault(error));
    }
    if (this.#slot !== slot || !this.gone) return;
    this.#letGo(false);
    this.#over('aborted', null);
  }

  /** Nobody stands above this to hear of an error: whatever it is, it ends this request alone. */
  #reuse(slot: Slot): void {
    if (this.gone) {
      this.#letGo(true);
      this.#over('aborted', null);
      return;
    }
    try {
      if (slot.alive) this.#dispatch(slot);
      else this.#send(this.#parts.pool.replace(slot));
    } catch (error) {
      this.#fail(upstreamFault(error));
    }
  }

  #dispatch(slot: Slot): void {
    const { exchange, form } = this.#journey;
    this.#sentAt = this.#parts.now();
    const { host, name } = this.#parts.options;
    const { fields, target } = this.#outgoing;
    // Where Host is the URL's, it is known only now which URL that is.
    if (host === 'upstream' || (host === 'preserve' && form.authority === null)) fields[1] = slot.endpoint!.authority;
    if (form.expectsContinue && !this.#retried) exchange.writeContinue();
    slot.client.dispatch(
      {
        method: form.method as Dispatcher.HttpMethod,
        path: target,
        headers: fields,
        body: carriesBody(form.framing) ? exchange.body(this.#permit.route.maxBody) : null,
        // undici would change the TLS name with the Host field, and the connection with it.
        servername: name,
        ...(form.websocket ? { upgrade: 'websocket' } : {}),
        // undici closes the connection after HEAD unless told that the server knows what HEAD is. A body of one may
        // be left unread by the server, and meet the next request: then it is right.
        ...(form.method === 'HEAD' && !carriesBody(form.framing) ? { reset: false } : {}),
      } as Dispatcher.DispatchOptions,
      this,
    );
  }

  // What undici calls.

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    this.#slot?.begin();
    this.#begun = true;
    this.#phase = 'sent';
    this.#patience(this.#parts.options.responseTimeoutMs);
    if (this.gone) controller.abort(new UpstreamError('other'));
  }

  onRequestUpgrade(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    upstream: Duplex,
  ): void {
    this.#upstreamMs = this.#parts.now() - this.#sentAt;
    this.#slot?.answered();
    this.#charge((controller.rawHeaders ?? []) as Buffer[]);
    const head = incoming((controller.rawHeaders ?? []) as Buffer[], status, this.#journey, this.#parts.rules);
    const slot = this.#slot!;
    upstream.on('error', () => {});
    if (this.gone || this.#journey.exchange.answered) {
      upstream.destroy();
      this.#over('aborted', null);
      return;
    }
    if (!head.ok || !slot.promote()) {
      upstream.destroy();
      this.#fail({
        fault: head.ok ? 'too_many_streams' : 'protocol',
        code: head.ok ? 'overloaded' : 'upstream_failed',
      });
      return;
    }
    const { socket, head: early } = this.#journey.exchange.switchProtocols([
      'Connection',
      'Upgrade',
      'Upgrade',
      'websocket',
      ...head.fields,
    ]);
    this.#status = 101;
    this.#phase = 'body';
    this.#patience(this.#parts.options.streamIdleTimeoutMs);
    const tunnel = this.#parts.tunnel(socket, early, upstream);
    this.#tunnel = tunnel;
    this.#parts.streams.opened(this);
    void tunnel.ended.then(end => {
      this.#parts.streams.closed(this, end);
      this.#over('relayed', end === 'revoked' || end === 'expired' ? end : null);
    });
    this.#enforce();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, _headers: unknown, reason?: string): void {
    const { exchange, form } = this.#journey;
    const raw = (controller.rawHeaders ?? []) as Buffer[];
    if (status === 101) {
      controller.abort(new UpstreamError('protocol'));
      return;
    }
    if (status >= 200) this.#charge(raw);
    const head = incoming(raw, status, this.#journey, this.#parts.rules);
    if (!head.ok || (reason !== undefined && control.test(reason))) {
      controller.abort(new UpstreamError('protocol'));
      return;
    }
    if (status < 200) {
      if (form.version === '1.1') exchange.writeInformation(status, head.fields);
      this.#patience(this.#parts.options.responseTimeoutMs);
      return;
    }
    this.#upstreamMs = this.#parts.now() - this.#sentAt;
    this.#slot?.answered();
    if (head.eventStream && form.method !== 'HEAD') {
      if (!this.#slot!.promote()) {
        controller.abort(new UpstreamError('too_many_streams'));
        return;
      }
      this.#eventStream = true;
      this.#parts.streams.opened(this);
    }
    try {
      exchange.start(status, reasonPhrase(reason), head.fields, this.#journey.draining);
    } catch {
      // Node refuses to write what its parser on the other side has let in.
      controller.abort(new UpstreamError('protocol'));
      return;
    }
    this.#status = status;
    this.#phase = 'body';
    this.#bodyPatience();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#bodyPatience();
    if (this.#journey.exchange.write(chunk)) return;
    controller.pause();
    this.#phase = 'paused';
    this.#journey.exchange.onDrain(() => {
      if (this.#phase !== 'paused') return;
      this.#phase = 'body';
      this.#bodyPatience();
      controller.resume();
    });
  }

  onResponseEnd(): void {
    const slot = this.#slot!;
    if (slot.socketError !== null) {
      // A body that only the end of the connection delimits, and a connection that ended in a reset: it is cut short.
      this.#broken('truncated');
      return;
    }
    this.#phase = 'ended';
    this.#bodyPatience();
    this.#letGo(true);
    this.#journey.exchange.end();
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#phase === 'ended' || this.#phase === 'over') return;
    const body = bodyFault(error);
    if (this.gone || body?.gone) {
      this.#letGo(false);
      this.#over('aborted', body?.fault ?? null);
      return;
    }
    if (this.#fallen !== null && this.#status !== 0) {
      this.#letGo(false);
      this.#journey.exchange.abort();
      this.#over('aborted', this.#fallen);
      return;
    }
    if (this.#status !== 0) {
      this.#broken(body?.fault ?? upstreamFault(error).fault);
      return;
    }
    if (body === null && this.#retry()) return;
    const fault = body ?? upstreamFault(error);
    const { diedUnused } = this.#slot ?? {};
    if (againstEndpoint.has(fault.fault) && diedUnused === false) this.#slot?.unanswered(error);
    this.#fail(fault);
  }

  // What the clock, the client and the operator cause.

  /** Called a few times a second while the relay lives. */
  tick(now: number): void {
    if (this.#fallen !== null) this.#enforce();
    if (this.#tunnel !== null) {
      const { streamIdleTimeoutMs, idleTimeoutMs } = this.#parts.options;
      const idle = streamIdleTimeoutMs > 0 && this.#tunnel.idleMs > streamIdleTimeoutMs;
      const stalled = idleTimeoutMs > 0 && this.#tunnel.stalledMs > idleTimeoutMs;
      if (idle || stalled) this.#tunnel.close(1001, 'idle');
      return;
    }
    if (this.#phase === 'sent') {
      // While the client is still sending, the upstream cannot be expected to answer.
      const { bytesIn } = this.#journey.exchange;
      if (bytesIn !== this.#bytesIn) {
        this.#bytesIn = bytesIn;
        this.#patience(this.#parts.options.responseTimeoutMs);
      }
    }
    this.#since ??= now;
    if (this.#patienceMs === 0 || now - this.#since < this.#patienceMs) return;
    this.#patienceMs = 0;
    if (this.#phase === 'paused' || this.#phase === 'ended') {
      this.#fault = 'client_slow';
      this.#journey.exchange.abort(true);
    } else this.#stop(new UpstreamError(this.#phase === 'sent' ? 'head_timeout' : 'idle_timeout'), 'idle');
  }

  /** Ends an endless answer: a WebSocket with a Close frame, an event stream by cutting it. */
  closeStream(end: StreamEnd): void {
    if (this.#tunnel !== null) this.#tunnel.close(1001, end);
    else this.#stop(new UpstreamError('other'), end);
  }

  rejudge(): Promise<Decision> {
    const { rejudge } = this.#journey;
    return rejudge === null ? Promise.resolve(this.#permit) : rejudge();
  }

  fall(by: Fall): void {
    this.#fallen ??= by;
    this.#enforce();
  }

  /**
   * Cuts what goes on after the token was denied. What is not answered yet was let through in its time: it goes on
   * until its answer begins, and is looked at again then, so that a short answer is given and a long one is not.
   */
  #enforce(): void {
    const end = this.#fallen;
    if (end === null || this.#status === 0) return;
    if (this.#tunnel !== null) this.#tunnel.close(1008, end);
    else if (this.#phase === 'body') this.#stop(new UpstreamError('other'), end);
    else if (this.#phase === 'paused' || this.#phase === 'ended') {
      this.#streamEnd ??= end;
      this.#fault = end;
      this.#journey.exchange.abort(true);
    }
  }

  #clientClosed(complete: boolean): void {
    if (this.#phase === 'over') return;
    if (complete && this.#phase === 'ended') {
      this.#over('relayed', null);
      return;
    }
    this.gone = true;
    if (this.#phase === 'ended') this.#over('aborted', null);
    else if (this.#phase === 'waiting' && this.#slot === null) this.#over('aborted', null);
    else this.#stop(new UpstreamError('other'), 'client');
  }

  #stop(error: UpstreamError, end: StreamEnd): void {
    this.#streamEnd ??= end;
    if (this.#controller !== null && this.#phase !== 'waiting') this.#controller.abort(error);
    else this.#slot?.discard(error);
  }

  #patience(ms: number): void {
    this.#patienceMs = ms;
    this.#since = null;
  }

  #bodyPatience(): void {
    this.#patience(this.#eventStream ? this.#parts.options.streamIdleTimeoutMs : this.#parts.options.idleTimeoutMs);
  }

  /** Once, for what may be repeated, and only when the server had ended the connection before it saw the request. */
  #retry(): boolean {
    const { form } = this.#journey;
    const slot = this.#slot;
    if (this.#retried || slot === null || !slot.diedUnused) return false;
    if (carriesBody(form.framing) || !idempotent.has(form.method)) return false;
    this.#retried = true;
    this.#looked(slot);
    this.#phase = 'waiting';
    this.#controller = null;
    this.#send(this.#parts.pool.replace(slot));
    return true;
  }

  #fail({ fault, code }: Fault): void {
    this.#letGo(false);
    if (this.gone) this.#over('aborted', fault);
    else this.#over('failed', fault, code);
  }

  #broken(fault: string): void {
    this.#streamEnd ??= 'upstream';
    this.#letGo(false);
    this.#journey.exchange.abort();
    this.#over('broken', fault);
  }

  /** Before the slot goes: whether anything was written. */
  #looked(slot: Slot): void {
    if (this.#begun && slot.wrote) this.#wrote = true;
    this.#begun = false;
  }

  /** An answer has begun: what the request has cost is known. */
  #charge(raw: readonly Buffer[]): void {
    const { charge } = this.#journey;
    if (charge === null) return;
    const { cost } = this.#permit.route;
    if (cost.header === null) {
      charge.spend();
      return;
    }
    const { units, excess } = usedOf(cost, saidCost(cost.header, raw));
    charge.spend(units, excess);
  }

  #letGo(reusable: boolean): void {
    const slot = this.#slot;
    this.#slot = null;
    if (slot !== null) this.#looked(slot);
    slot?.release(reusable);
    if (this.#eventStream) {
      this.#eventStream = false;
      this.#parts.streams.closed(this, this.#streamEnd ?? 'upstream');
    }
  }

  #over(outcome: Forwarded['outcome'], fault: string | null, code: Forwarded['code'] = null): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#letGo(false);
    // What was never answered has cost what it was to cost, once a byte of it was sent.
    if (this.#wrote) this.#journey.charge?.spend();
    this.#settle({
      outcome,
      status: this.#status,
      code,
      fault: fault ?? this.#fault,
      retried: this.#retried,
      upstreamMs: this.#upstreamMs,
      tunnelled: { in: this.#tunnel?.bytesIn ?? 0, out: this.#tunnel?.bytesOut ?? 0 },
    });
  }
}

/** undici's parser lets these through in a status text. */
const control = /[\x00-\x08\x0a-\x1f\x7f]/;

/** A status text that can be written as it is; anything else is left out. */
const reasonPhrase = (reason: string | undefined): string =>
  reason !== undefined && /^[\t\x20-\x7e]*$/.test(reason) ? reason : '';
