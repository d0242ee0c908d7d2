import { isInShadow, type Permit } from '../core/decide.ts';
import { type Denial, loggedDetail, type Reason } from '../core/decision.ts';
import type { FormCode } from '../core/form.ts';
import type { Subject } from '../core/token.ts';
import { codes } from '../errors.ts';
import type { Clock } from '../ports/clock.ts';
import type { Connection, Exchange, WholeAnswer } from '../ports/exchange.ts';
import type { ClientFacts } from '../ports/forwarder.ts';
import type { LimitCharge } from '../ports/limits.ts';
import type { Mount } from '../ports/mount.ts';
import type { RequestRecord } from '../ports/recorder.ts';
import { type Ending, verdictOf } from './ending.ts';
import { spellsToken } from './facts.ts';
import { Case } from './judge.ts';
import type { Policy } from './policy.ts';

/** One request on its way through the gate: what the phases have found out, for the phases after them. */
export class Passage {
  readonly exchange: Exchange;
  readonly requestId: string;
  readonly case: Case;
  subject: Subject | null = null;
  /** What it was refused with, if it was. */
  denial: Denial | null = null;
  permitted: Permit | null = null;
  /** What shadow mode lets through. */
  shadowed: Denial | null = null;
  /** What it has taken of limits. */
  charge: LimitCharge | null = null;
  #decidedAt = 0;

  constructor(exchange: Exchange, policy: Policy, requestId: string) {
    this.exchange = exchange;
    this.case = new Case(exchange, policy);
    this.requestId = requestId;
  }

  /** Marks the end of the part that is ours: from here on the upstream or the client has the floor. */
  decided(clock: Clock): void {
    if (this.#decidedAt === 0) this.#decidedAt = clock.monotonic();
  }

  record(ending: Ending, clock: Clock): RequestRecord {
    const { exchange, subject, requestId } = this;
    const { client, route, mount } = this.case;
    const { status, reason, outcome, fault } = verdictOf(ending);
    const forwarded = ending.kind === 'forwarded' ? ending.forwarded : null;
    const tunnelled = ending.kind === 'answered' ? ending.tunnelled : forwarded?.tunnelled;
    const denial = ending.kind === 'forwarded' ? ending.denial : this.denial;
    return {
      requestId,
      parentRequestId: client?.parentRequestId ?? null,
      route: mount === null ? route : placeOf(mount),
      method: exchange.head.method,
      path: this.#path(),
      status,
      reason,
      shadow: this.#shadow(),
      outcome: outcome === 'allowed' && this.shadowed !== null ? 'shadow' : outcome,
      subject,
      client: client?.address ?? exchange.connection.peer,
      peer: exchange.connection.peer,
      upstream: forwarded === null ? null : (route?.upstream ?? null),
      detail: denial === null ? null : loggedDetail(denial),
      fault,
      retried: forwarded?.retried ?? false,
      bytesIn: exchange.bytesIn + (tunnelled?.in ?? 0),
      bytesOut: exchange.bytesOut + (tunnelled?.out ?? 0),
      durationMs: clock.monotonic() - exchange.arrivedAt,
      overheadMs: this.#decidedAt - exchange.arrivedAt,
      upstreamMs: forwarded?.upstreamMs ?? null,
      at: clock.wall(),
    };
  }

  /** What was decided, shadow mode apart. */
  #shadow(): Reason | null {
    const { question } = this.case;
    if (question === null || !isInShadow(question)) return null;
    return (this.shadowed ?? this.denial ?? this.permitted)?.reason ?? null;
  }

  /** A token that somebody put into a path is still a secret. */
  #path(): string | null {
    const { form, mount, policy } = this.case;
    if (form === null || spellsToken(form.target.path, policy.tokenPrefix)) return null;
    // To a token API some tell which token they mean by showing it.
    const shows = mount !== null && form.target.segments.some(segment => policy.secrets.read(segment) !== null);
    return shows ? null : form.target.path;
  }

  /** The record of bytes that never became a request. */
  static unparsed(
    requestId: string,
    code: FormCode,
    client: ClientFacts,
    connection: Connection,
    arrivedAt: number,
    answer: WholeAnswer & { readonly body: string },
    clock: Clock,
  ): RequestRecord {
    return {
      requestId,
      parentRequestId: null,
      route: null,
      method: 'other',
      path: null,
      status: codes[code].status,
      reason: code,
      shadow: null,
      outcome: 'refused',
      subject: null,
      client: client.address,
      peer: connection.peer,
      upstream: null,
      // The answer has it already.
      detail: loggedDetail({ code, detail: (JSON.parse(answer.body) as { detail: string }).detail }),
      fault: null,
      retried: false,
      bytesIn: 0,
      bytesOut: answer.body.length,
      durationMs: clock.monotonic() - arrivedAt,
      overheadMs: 0,
      upstreamMs: null,
      at: clock.wall(),
    };
  }
}

/** Made once for each: the log keeps what it has quoted. */
const places = new WeakMap<Mount, { readonly pattern: string }>();

function placeOf(mount: Mount): { readonly pattern: string } {
  let place = places.get(mount);
  if (place === undefined) {
    place = { pattern: mount.path === '' ? '/' : mount.path };
    places.set(mount, place);
  }
  return place;
}
