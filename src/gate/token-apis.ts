import { type Denial, deny } from '../core/decision.ts';
import type { Fields } from '../core/fields.ts';
import { carriesBody } from '../core/form.ts';
import { handshakeKey } from '../core/websocket.ts';
import { StoreUnavailable } from '../errors.ts';
import type { WholeAnswer } from '../ports/exchange.ts';
import type { MountAnswer, MountConnection, MountRequest } from '../ports/mount.ts';
import { MountAsker } from '../wire/mount-asker.ts';
import { acceptFields } from '../wire/websocket.ts';
import { RequestBodyFault } from './body.ts';
import { bodyDenial } from './inspection.ts';
import type { Mounted } from './judge.ts';
import type { Passage } from './passage.ts';

/** What a token API says to a request, or what there is to be refused before or after it was asked. */
export type Reply =
  | Denial
  | { readonly kind: 'answer'; readonly answer: MountAnswer }
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
  let asked = 0;
  const asker = new MountAsker(client.network, policy.guard);
  const request: MountRequest = {
    form,
    requestId,
    client: client.address,
    asker,
    origin: `${client.proto}://${client.host}`,
    body: async limit => {
      if (!carriesBody(form.framing)) return new Uint8Array();
      asked = limit;
      if (form.framing.kind === 'length' && form.framing.length > limit) throw new RequestBodyFault('large');
      if (form.expectsContinue) exchange.writeContinue();
      return exchange.readBody(limit);
    },
  };
  let said: MountAnswer | MountConnection;
  try {
    said = takes === null ? await mount.answer(request) : await takes(request);
  } catch (error) {
    if (error instanceof StoreUnavailable) {
      return deny('store_unavailable', 'The token store does not answer.', { retryAfter: 1 });
    }
    const denial = bodyDenial(error, asked);
    if (denial === null) throw error;
    return denial;
  }
  if ('run' in said) return { kind: 'connection', connection: said, fields: acceptFields(key ?? '', said.fields) };
  const wait = asker.wait(said.guessed === true);
  if (wait === 0) return { kind: 'answer', answer: said };
  return deny('too_many_failures', 'Too many failed credentials from this network.', {
    retryAfter: wait,
    compared: { retry_after: wait },
  });
}

const none = new Uint8Array();

/** Answers of token APIs are of one client's secrets and rights: nobody keeps them. */
export function mountAnswer({ status, fields, body }: MountAnswer, requestId: string, close: boolean): WholeAnswer {
  const list = [...fields, 'Cache-Control', 'no-store', 'X-Request-Id', requestId, 'X-Content-Type-Options', 'nosniff'];
  return { status, fields: list, body: body ?? none, close };
}
