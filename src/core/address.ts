/** Text of network addresses, as far as the product reads it itself; containment in networks is left to the runtime. */

/** Without leading zeros: some readers take `010` for ten, some for eight. */
const octet = '(?:0|[1-9][0-9]{0,2})';
const dotted = `${octet}(?:\\.${octet}){3}`;
const ipv4 = new RegExp(`^(${dotted})(?::[0-9]{1,5})?$`);
const endsDotted = new RegExp(`^(.*:)(${dotted})$`);

/** `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]`, `[::1]:80`: the address alone, IPv4-mapped written as IPv4; else null. */
export function addressOf(node: string): string | null {
  let text = node.trim();
  if (text.startsWith('"') && text.endsWith('"') && text.length > 1) text = text.slice(1, -1);
  const four = ipv4.exec(text);
  if (four !== null) return four[1]!.split('.').every(part => Number(part) <= 255) ? four[1]! : null;
  if (text.startsWith('[')) {
    const close = text.indexOf(']');
    if (close === -1 || !/^(?::[0-9]{1,5})?$/.test(text.slice(close + 1))) return null;
    text = text.slice(1, close);
  }
  const groups = hextets(text);
  if (groups === null) return null;
  const mapped = groups[5] === 0xffff && groups.slice(0, 5).every(group => group === 0);
  return mapped
    ? groups
        .slice(6)
        .flatMap(group => [group >> 8, group & 0xff])
        .join('.')
    : text;
}

/** The eight 16-bit groups of an IPv6 address; null when it is none. A zone (`%eth0`) is not taken. */
function hextets(address: string): number[] | null {
  let text = address;
  const four = endsDotted.exec(text);
  if (four !== null) {
    const parts = four[2]!.split('.').map(Number);
    if (parts.some(part => part > 255)) return null;
    const high = (parts[0]! * 256 + parts[1]!).toString(16);
    const low = (parts[2]! * 256 + parts[3]!).toString(16);
    text = `${four[1]}${high}:${low}`;
  }
  const halves = text.split('::');
  if (halves.length > 2) return null;
  const groups = halves.map(half => (half === '' ? [] : half.split(':')));
  const count = groups.reduce((sum, half) => sum + half.length, 0);
  if (halves.length === 1 ? count !== 8 : count > 7) return null;
  const all =
    halves.length === 1 ? groups[0]! : [...groups[0]!, ...new Array<string>(8 - count).fill('0'), ...groups[1]!];
  return all.every(group => /^[0-9a-f]{1,4}$/i.test(group)) ? all.map(group => Number.parseInt(group, 16)) : null;
}

/** The network that an attacker controls whole: an IPv4 address, or the /64 of an IPv6 one. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const groups = hextets(address.split('%')[0]!);
  return groups === null
    ? address
    : `${groups
        .slice(0, 4)
        .map(group => group.toString(16))
        .join(':')}::/64`;
}

/** The eight groups of an address, IPv4 mapped into IPv6 (RFC 4291 2.5.5.2), without its zone; null when it is none. */
export function groupsOf(address: string): readonly number[] | null {
  return hextets(address.includes(':') ? address.split('%')[0]! : `::ffff:${address}`);
}

/** `for=` of the Forwarded field (RFC 7239 6). */
export const forwardedNode = (address: string): string => (address.includes(':') ? `"[${address}]"` : address);
