import type { Fields } from '../../core/fields.ts';
import type { Form } from '../../core/form.ts';
import type { MountAnswer, MountConnection, MountRequest } from '../../ports/mount.ts';
import type { Presented } from '../../ports/session-source.ts';
import type { ApiParts } from '../parts.ts';
import { outcomeOf } from './call.ts';
import { identify, presentedAs, presentedBy, refused } from './caller.ts';
import { Connection } from './connection.ts';
import { Connections } from './connections.ts';
import { done, type EnvelopeName, Failure, type Outcome } from './envelope.ts';

/** First of the subprotocols that are offered, and the only one that is chosen: the other is the token. */
const protocols: Readonly<Record<EnvelopeName, readonly string[]>> = {
  result: ['rpc'],
  jsonrpc: ['rpc', 'jsonrpc_2.0'],
};

export interface Place {
  readonly parts: ApiParts;
  readonly envelope: EnvelopeName;
  /** At the paths of methods there are none. */
  isHere(form: Form): boolean;
}

interface Offer {
  readonly protocol: string;
  readonly presented: Presented | null;
}

/**
 * Takes handshakes. What is wrong with one is said before the upgrade, with the status of HTTP. No cookie speaks for anybody,
 * so that it does not matter which site a browser comes from.
 */
export function connector(
  { parts, envelope, isHere }: Place,
  reply: (outcome: Outcome, status: number) => MountAnswer,
): (request: MountRequest) => Promise<MountConnection | MountAnswer> {
  const connections = new Connections(parts.onChange);
  return async request => {
    let made: MountConnection | null = null;
    const outcome = await outcomeOf(parts, async () => {
      if (!isHere(request.form)) throw new Failure(404);
      const { protocol, presented } = readOffer(request, protocols[envelope]);
      const identified = await identify(parts, presented);
      if (identified.kind === 'unavailable') throw new Failure(503);
      if (identified.kind === 'nobody' || presented === null) return refused(presented);
      const { account } = identified.manager;
      const noRoom = connections.noRoom(account);
      if (noRoom !== null) throw new Failure(503, noRoom);
      const connection = new Connection({ parts, envelope, presented, account, address: request.client, connections });
      const fields: Fields = ['Sec-WebSocket-Protocol', protocol];
      made = {
        fields,
        run: (socket, head) => connection.run(socket, head),
        close: code => connection.close(code),
      };
      return done();
    });
    return made ?? reply(outcome, outcome.status);
  };
}

function readOffer(request: MountRequest, known: readonly string[]): Offer {
  const { fields, names } = request.form;
  const offered = names
    .flatMap((name, i) => (name === 'sec-websocket-protocol' ? fields[2 * i + 1]!.split(',') : []))
    .map(each => each.trim());
  const [protocol = '', token, ...others] = offered;
  if (!known.includes(protocol) || token === '' || others.length > 0) throw new Failure(400);
  if (token === undefined) return { protocol, presented: presentedBy(request) };
  // Two are ambiguous, even equal ones.
  if (names.includes('authorization')) throw new Failure(400);
  return { protocol, presented: presentedAs(token, request.asker) };
}
