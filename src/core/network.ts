import { groupsOf } from './address.ts';

/** A block of addresses: the first `bits` of eight groups of 16, IPv4 mapped into IPv6. */
export interface Network {
  readonly groups: readonly number[];
  readonly bits: number;
}

/** How many bits of a mapped address say that it is IPv4. */
const mappedBits = 96;

const form = /^([0-9A-Fa-f:.]{2,45})(?:\/(0|[1-9][0-9]{0,2}))?$/;

/**
 * Reads `10.0.0.0/8`, `2001:db8::/32` or one address (RFC 4632, RFC 4291 2.3). What is wrong with it, in words, when
 * it is none.
 */
export function readNetwork(text: string): Network | string {
  const [, address = '', length] = form.exec(text) ?? [];
  const groups = groupsOf(address);
  if (groups === null) return 'is no address, and no network such as 10.0.0.0/8';
  const four = !address.includes(':');
  const longest = four ? 32 : 128;
  if (Number(length ?? longest) > longest) return `has a prefix longer than ${longest}`;
  const bits = Number(length ?? longest) + (four ? mappedBits : 0);
  // Somebody meant another address or another length: which one, we cannot know.
  if (groups.some((group, i) => (group & ~mask(bits, i)) !== 0)) return 'has bits set behind its prefix';
  return { groups, bits };
}

/** Whether an address lies in one of the networks. A short IPv6 prefix, `::/0` too, is not about IPv4. */
export function inNetworks(address: string, networks: readonly Network[]): boolean {
  const groups = groupsOf(address);
  if (groups === null) return false;
  const least = isMapped(groups) ? mappedBits : 0;
  return networks.some(
    network =>
      network.bits >= least && network.groups.every((group, i) => group === (groups[i]! & mask(network.bits, i))),
  );
}

const isMapped = (groups: readonly number[]): boolean =>
  groups[5] === 0xffff && groups.slice(0, 5).every(group => group === 0);

/** The bits of the `i`th group that belong to a prefix. */
function mask(bits: number, i: number): number {
  const own = Math.min(16, Math.max(0, bits - 16 * i));
  return (0xffff << (16 - own)) & 0xffff;
}
