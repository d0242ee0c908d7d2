import { networkOf } from '../core/address.ts';
import { carriesBody, type Form } from '../core/form.ts';
import { claimedFormBytes, type Mounts } from '../core/mounts.ts';
import { handshakeKey } from '../core/websocket.ts';
import { Refusal } from '../errors.ts';
import type { BodyFault, BodyFaultKind } from '../ports/exchange.ts';
import type { GuessGuard } from '../ports/guard.ts';
import type { Mount, MountAnswer, MountConnection, MountRequest } from '../ports/mount.ts';
import { MountAsker } from '../wire/mount-asker.ts';
import { acceptFields } from '../wire/websocket.ts';
import { type Answer, Rejection } from './answer.ts';
import { ClientGone, type Incoming } from './incoming.ts';

/** What went wrong with a body, in the words of mounts; it is answered as what it came from. */
class MountBodyFault extends Error implements BodyFault {
  readonly bodyFault: BodyFaultKind;
  readonly fault: Error;
  constructor(fault: Error) {
    super(fault.message);
    this.name = 'MountBodyFault';
    this.fault = fault;
    this.bodyFault = kindOf(fault);
  }
}

function kindOf(fault: Error): BodyFaultKind {
  if (!(fault instanceof Refusal)) return 'gone';
  return fault.problem.code === 'request_timeout' ? 'slow' : 'malformed';
}

/** The body of a request, read once for whoever asks: who tells whose it is, and who answers it. */
class Body {
  readonly #incoming: Incoming;
  #whole: Promise<Buffer> | null = null;

  constructor(incoming: Incoming) {
    this.#incoming = incoming;
  }

  /** What is left of one that is too large the listener swallows, or closes the connection over it. */
  async read(limit: number): Promise<Uint8Array | 'too_large'> {
    if (!this.#incoming.hasBody) return new Uint8Array();
    this.#whole ??= this.#incoming.body(limit);
    try {
      const bytes = await this.#whole;
      return bytes.length > limit ? 'too_large' : bytes;
    } catch (error) {
      if (error instanceof Refusal && error.problem.code === 'body_too_large') return 'too_large';
      throw error instanceof Refusal || error instanceof ClientGone ? new MountBodyFault(error) : error;
    }
  }
}

/** The answer of a token API; null: it is none's. `/v1` is never one's, whatever is mounted. */
export async function answerMounted(
  incoming: Incoming,
  mounts: Mounts<Mount>,
  guard: GuessGuard,
): Promise<Answer | null> {
  if (incoming.form.target.segments[0] === 'v1') return null;
  const body = new Body(incoming);
  try {
    const claimed = await claim(incoming.form, mounts, body);
    return claimed === null ? null : await ask(incoming, claimed.mount, claimed.form, body, guard);
  } catch (error) {
    throw error instanceof MountBodyFault ? error.fault : error;
  }
}

async function claim(form: Form, mounts: Mounts<Mount>, body: Body) {
  const said = mounts.claim(form);
  switch (said.kind) {
    case 'nobody':
      return null;
    case 'mount':
      return said;
    case 'body': {
      const bytes = await body.read(claimedFormBytes);
      if (bytes === 'too_large') return null;
      const text = Buffer.from(bytes).toString('utf8');
      const mount = said.mounts.find(each => each.claimsForm(form, text));
      return mount === undefined ? null : { mount, form };
    }
    case 'ambiguous':
      throw new Rejection('malformed_request', 'The path could be read as one of a token API.');
  }
}

async function ask(incoming: Incoming, mount: Mount, form: Form, body: Body, guard: GuessGuard): Promise<Answer> {
  const asker = new MountAsker(networkOf(incoming.peer), guard);
  const request: MountRequest = {
    form,
    requestId: incoming.requestId,
    client: incoming.peer,
    asker,
    origin: `${incoming.tls ? 'https' : 'http'}://${form.authority ?? ''}`,
    body: limit => body.read(limit),
  };
  const takes = form.websocket ? mount.connect : null;
  if (takes !== null && !incoming.upgradable) throw new Rejection('malformed_request', 'The upgrade is ambiguous.');
  const said = takes === null ? await mount.answer(request) : await connect(takes, request);
  if (!('run' in said)) {
    const wait = asker.wait(said.guessed === true);
    if (wait === 0) return said;
    const detail = 'Too many failed credentials from this network.';
    throw new Rejection('too_many_failures', detail, ['Retry-After', String(wait)]);
  }
  const key = handshakeKey(form) ?? '';
  return { status: 101, fields: acceptFields(key, said.fields), body: null, connection: { mount, taken: said } };
}

function connect(takes: NonNullable<Mount['connect']>, request: MountRequest): Promise<MountAnswer | MountConnection> {
  if (handshakeKey(request.form) !== null) return takes(request);
  const detail = 'The WebSocket handshake has no key of 16 bytes, or is not of version 13.';
  throw new Rejection('malformed_request', detail);
}

/** Whether an offer to switch protocols may be taken. */
export function mayConnect(form: Form, mounts: Mounts<Mount>): boolean {
  if (!form.websocket || carriesBody(form.framing) || form.target.segments[0] === 'v1') return false;
  const said = mounts.claim(form);
  return said.kind === 'mount' && said.mount.connect !== null;
}
