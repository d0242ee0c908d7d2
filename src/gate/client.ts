import { BlockList, isIP } from 'node:net';
import { addressOf, forwardedNode, networkOf } from '../core/address.ts';
import type { Form } from '../core/form.ts';
import { readHost } from '../core/form.ts';
import type { Connection } from '../ports/exchange.ts';
import type { ClientFacts } from '../ports/forwarder.ts';

/** Most hops of a forwarding chain that are looked at and passed on. */
const maxHops = 50;

/**
 * Who asks. What a client says of itself is believed only when the peer is a trusted proxy; then the client is the
 * rightmost hop that is not trusted, because everything left of it could be made up.
 */
export class Clients {
  readonly #trusted: BlockList | null;
  /** Facts about an untrusted peer change only with the Host that it names. */
  readonly #known = new WeakMap<Connection, { readonly authority: string | null; readonly facts: ClientFacts }>();

  /** `trusted`: addresses and networks in CIDR notation. */
  constructor(trusted: readonly string[]) {
    this.#trusted = trusted.length === 0 ? null : new BlockList();
    for (const entry of trusted) {
      const [address = '', bits] = entry.split('/');
      const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
      if (bits === undefined) this.#trusted?.addAddress(address, family);
      else this.#trusted?.addSubnet(address, Number(bits), family);
    }
  }

  isTrusted(address: string): boolean {
    if (this.#trusted === null) return false;
    const family = isIP(address);
    return family !== 0 && this.#trusted.check(address, family === 6 ? 'ipv6' : 'ipv4');
  }

  factsOf(connection: Connection, form: Form | null): ClientFacts {
    const authority = form?.authority ?? null;
    if (form !== null && this.#trusted !== null && this.isTrusted(connection.peer)) return this.#relayed(connection, form);
    const known = this.#known.get(connection);
    if (known !== undefined && known.authority === authority) return known.facts;
    const facts = direct(connection, authority);
    this.#known.set(connection, { authority, facts });
    return facts;
  }

  #relayed(connection: Connection, form: Form): ClientFacts {
    const said = readForwarding(form);
    const chain = said.chain.slice(-maxHops);
    let address = connection.peer;
    for (let i = chain.length - 1; i >= 0; i--) {
      const hop = addressOf(chain[i]!);
      // Beyond something unreadable nothing can be told apart from invention.
      if (hop === null) break;
      address = hop;
      if (!this.isTrusted(hop)) break;
    }
    const proto = said.proto ?? (connection.tls ? 'https' : 'http');
    const host = said.host ?? form.authority ?? '';
    const forwarded = `for=${forwardedNode(connection.peer)};proto=${proto}${host === '' ? '' : `;host="${host}"`}`;
    return {
      address,
      network: networkOf(address),
      proto,
      host,
      fields: [
        'X-Forwarded-For',
        [...chain, connection.peer].join(', '),
        'X-Forwarded-Proto',
        proto,
        ...(host === '' ? [] : ['X-Forwarded-Host', host]),
        ...said.kept,
        'X-Real-IP',
        address,
        'Forwarded',
        said.forwarded === '' ? forwarded : `${said.forwarded}, ${forwarded}`,
      ],
      parentRequestId: said.requestId,
    };
  }
}

function direct(connection: Connection, authority: string | null): ClientFacts {
  const { peer, tls } = connection;
  const proto = tls ? 'https' : 'http';
  const host = authority ?? '';
  return {
    address: peer,
    network: networkOf(peer),
    proto,
    host,
    fields: [
      'X-Forwarded-For',
      peer,
      'X-Forwarded-Proto',
      proto,
      ...(host === '' ? [] : ['X-Forwarded-Host', host]),
      'X-Real-IP',
      peer,
      'Forwarded',
      `for=${forwardedNode(peer)};proto=${proto}${host === '' ? '' : `;host="${host}"`}`,
    ],
    parentRequestId: null,
  };
}

interface Forwarding {
  /** Hops as text, client first. */
  readonly chain: readonly string[];
  readonly forwarded: string;
  readonly proto: 'http' | 'https' | null;
  readonly host: string | null;
  /** Other X-Forwarded-* fields, which are passed on as they are. */
  readonly kept: readonly string[];
  readonly requestId: string | null;
}

/** What a trusted peer says. X-Forwarded-For tells the hops; Forwarded does where there is none. */
function readForwarding({ fields, names }: Form): Forwarding {
  const chain: string[] = [];
  const forwarded: string[] = [];
  const kept: string[] = [];
  let proto: 'http' | 'https' | null = null;
  let host: string | null = null;
  let requestId: string | null = null;
  for (let i = 0; i < names.length; i++) {
    const value = fields[2 * i + 1]!;
    switch (names[i]) {
      case 'x-forwarded-for':
        chain.push(...value.split(',').map(hop => hop.trim()));
        break;
      case 'forwarded':
        forwarded.push(value);
        break;
      case 'x-forwarded-proto':
        if (value === 'http' || value === 'https') proto = value;
        break;
      case 'x-forwarded-host':
        if (readHost(value) !== null) host = value;
        break;
      case 'x-request-id':
        if (/^[!-~]{1,128}$/.test(value)) requestId = value;
        break;
      default:
        if (names[i]!.startsWith('x-forwarded-')) kept.push(fields[2 * i]!, value);
    }
  }
  const elements = forwarded.join(', ');
  if (chain.length === 0) {
    for (const element of elements.split(',')) {
      const node = /(?:^|;)\s*for=("[^"]*"|[^;\s]*)/i.exec(element.trim());
      if (node !== null) chain.push(node[1]!);
    }
  }
  return { chain, forwarded: elements, proto, host, kept, requestId };
}
