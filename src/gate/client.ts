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
    if (form !== null && this.#trusted !== null && this.isTrusted(connection.peer))
      return this.#relayed(connection, form);
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
    let client: Hop | null = null;
    for (const hop of chain.toReversed()) {
      const next = addressOf(hop.node);
      // Beyond something unreadable nothing can be told apart from invention.
      if (next === null) break;
      address = next;
      client = hop;
      if (!this.isTrusted(next)) break;
    }
    const proto = said.proto ?? client?.proto ?? (connection.tls ? 'https' : 'http');
    const host = said.host ?? client?.host ?? form.authority ?? '';
    const elements = chain.map(hop => elementOf(hop.node, hop.proto, hop.host));
    const forwarded = [...elements, elementOf(connection.peer, proto, host)].join(', ');
    return {
      address,
      network: networkOf(address),
      proto,
      host,
      fields: [
        'X-Forwarded-For',
        [...chain.map(({ node }) => node), connection.peer].join(', '),
        'X-Forwarded-Proto',
        proto,
        ...(host === '' ? [] : ['X-Forwarded-Host', host]),
        ...said.kept,
        'X-Real-IP',
        address,
        'Forwarded',
        forwarded,
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
      elementOf(peer, proto, host),
    ],
    parentRequestId: null,
  };
}

/** An address, or what a proxy says instead of one (RFC 7239 6.2 and 6.3); nothing that would need quoting. */
function nodeOf(node: string): string {
  const address = addressOf(node);
  if (address !== null) return forwardedNode(address);
  return /^_[A-Za-z0-9._-]+$/.test(node) ? node : 'unknown';
}

/** An element of Forwarded (RFC 7239 4). */
function elementOf(node: string, proto: string | null, host: string | null): string {
  const hop = `for=${nodeOf(node)}${proto === null ? '' : `;proto=${proto}`}`;
  return host === null || host === '' ? hop : `${hop};host="${host}"`;
}

/** One hop: its address as text, and what Forwarded says of the request that it sent. */
interface Hop {
  readonly node: string;
  readonly proto: 'http' | 'https' | null;
  readonly host: string | null;
}

interface Forwarding {
  /** Client first. */
  readonly chain: readonly Hop[];
  readonly proto: 'http' | 'https' | null;
  readonly host: string | null;
  /** Other X-Forwarded-* fields, which are passed on as they are. */
  readonly kept: readonly string[];
  readonly requestId: string | null;
}

/**
 * What a trusted peer says. X-Forwarded-For tells the hops; Forwarded does where there is none. One of them alone, because
 * the other may be the client's own, which a proxy that does not know the field has passed on.
 */
function readForwarding({ fields, names }: Form): Forwarding {
  const chain: Hop[] = [];
  const forwarded: string[] = [];
  const kept: string[] = [];
  let proto: 'http' | 'https' | null = null;
  let host: string | null = null;
  let requestId: string | null = null;
  for (let i = 0; i < names.length; i++) {
    const value = fields[2 * i + 1]!;
    switch (names[i]) {
      case 'x-forwarded-for':
        chain.push(...value.split(',').map(hop => ({ node: hop.trim(), proto: null, host: null })));
        break;
      case 'forwarded':
        forwarded.push(value);
        break;
      case 'x-forwarded-proto':
        proto = scheme(value) ?? proto;
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
  if (chain.length === 0) {
    for (const element of forwarded.join(',').split(',')) {
      const node = parameter(element, 'for');
      const named = parameter(element, 'host') ?? '';
      if (node !== null) {
        chain.push({
          node,
          proto: scheme(parameter(element, 'proto')),
          host: readHost(named) === null ? null : named,
        });
      }
    }
  }
  return { chain, proto, host, kept, requestId };
}

const scheme = (text: string | null): 'http' | 'https' | null => (text === 'http' || text === 'https' ? text : null);

/** One parameter of an element of Forwarded, without its quotes; null when it has none of that name. */
function parameter(element: string, name: string): string | null {
  for (const pair of element.split(';')) {
    const equals = pair.indexOf('=');
    if (equals === -1 || pair.slice(0, equals).trim().toLowerCase() !== name) continue;
    return pair
      .slice(equals + 1)
      .trim()
      .replace(/^"([^"]*)"$/, '$1');
  }
  return null;
}
