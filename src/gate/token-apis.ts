import { type Denial, deny } from '../core/decision.ts';
import type { Fields } from '../core/fields.ts';
import { carriesBody, type Form } from '../core/form.ts';
import { handshakeKey } from '../core/websocket.ts';
import { StoreUnavailable } from '../errors.ts';
import type { BodyFault, Exchange, WholeAnswer } from '../ports/exchange.ts';
import type { MountAnswer, MountConnection, MountRequest } from '../ports/mount.ts';
import { MountAsker } from '../wire/mount-asker.ts';
import { acceptFields } from '../wire/websocket.ts';
import { bodyDenial } from './inspection.ts';
import type { Mounted } from './judge.ts';
import type { Passage } from './passage.ts';

/** What a token API says to a request, or what there is to be refused before or after it was asked. */
export type Reply =
  | Denial
  /** `close`: some of the body was not read. */
  | { readonly kind: 'answer'; readonly answer: MountAnswer; readonly close: boolean }
  | { readonly kind: 'connection'; readonly connection: MountConnection; readonly fields: Fields };

/** Asks a token API. What its clients may try too often is counted with what they present elsewhere. */
export async function askMount({ exchange, requestId, case: of }: Passage, { mount, form }: Mounted): Promise<Reply> {
  const { client, policy } = of;
  if (client === null) throw new Error('a mount without a client');
  const takes = form.websocket ? mount.connect : null;
  const key = takes === null ? null : handshakeKey(form);
  if (takes !== null && key === null) {
    return deny('malformed_request', 'The WebSocket handshake has no key of 16 bytes, or is not of version 13.');
  }
  let tooLarge = false;
  const asker = new MountAsker(client.network, policy.guard);
  const request: MountRequest = {
    form,
    requestId,
    client: client.address,
    asker,
    origin: `${client.proto}://${client.host}`,
    body: async limit => {
      if (!carriesBody(form.framing)) return new Uint8Array();
      const read = await readWithin(exchange, form, limit);
      tooLarge = read === 'too_large';
      return read;
    },
  };
  let said: MountAnswer | MountConnection;
  try {
    said = takes === null ? await mount.answer(request) : await takes(request);
  } catch (error) {
    if (error instanceof StoreUnavailable) {
      return deny('store_unavailable', 'The token store does not answer.', { retryAfter: 1 });
    }
    const denial = bodyDenial(error);
    if (denial === null) throw error;
    return denial;
  }
  if ('run' in said) return { kind: 'connection', connection: said, fields: acceptFields(key ?? '', said.fields) };
  const wait = asker.wait(said.guessed === true);
  if (wait === 0) return { kind: 'answer', answer: said, close: tooLarge };
  return deny('too_many_failures', 'Too many failed credentials from this network.', {
    retryAfter: wait,
    compared: { retry_after: wait },
  });
}

/** What is announced as too large is not asked for. */
async function readWithin(exchange: Exchange, { framing, expectsContinue }: Form, limit: number) {
  if (framing.kind === 'length' && framing.length > limit) return 'too_large';
  if (expectsContinue) exchange.writeContinue();
  try {
    return await exchange.readBody(limit);
  } catch (error) {
    if ((error as Partial<BodyFault> | null)?.bodyFault === 'large') return 'too_large';
    throw error;
  }
}

const none = new Uint8Array();

/** Answers of token APIs are of one client's secrets and rights: nobody keeps them. */
export function mountAnswer({ status, fields, body }: MountAnswer, requestId: string, close: boolean): WholeAnswer {
  const list = [...fields, 'Cache-Control', 'no-store', 'X-Request-Id', requestId, 'X-Content-Type-Options', 'nosniff'];
  return { status, fields: list, body: body ?? none, close };
}
