import type { Constraints } from './constraint.ts';
import { readNetwork } from './network.ts';
import { readPasswordHash } from './password-hash.ts';
import { readPattern } from './path-pattern.ts';
import { pointerStep } from './strict-json.ts';

/**
 * Constraints as managers say them: passwords and keys as they are, or hashes of passwords. `signature: {}` keeps the
 * key that there is, or makes one; `true` keeps the password that there is. As they are shown, no secret is ever told.
 */
export interface SaidConstraints extends Omit<Constraints, 'signature' | 'basic'> {
  readonly signature?: { readonly key?: string };
  readonly basic?: Readonly<Record<string, string | true>>;
}

/** Most entries of each member, and most characters of each text. */
export const constraintLimits = {
  entries: 64,
  users: 16,
  path: 1024,
  name: 256,
  value: 1024,
  origin: 512,
  user: 128,
  /** Bytes in UTF-8: what is hashed. */
  password: 256,
  leastKey: 32,
  key: 256,
} as const;

type Report = (pointer: string, detail: string) => void;

/** Reports everything that is wrong, each with its JSON pointer. Never quotes a value: it may be a password. */
export function checkConstraints(said: SaidConstraints, report: Report): void {
  const { networks, methods, paths, params, origins, signature, basic } = said;
  checkList('networks', networks, text => asFault(readNetwork(text)), report);
  checkList('methods', methods, methodFault, report);
  checkList('paths', paths, pathFault, report);
  checkMap('params', params, constraintLimits.entries, paramNameFault, valueFault, report);
  checkList('origins', origins, originFault, report);
  const key = signature?.key;
  if (key !== undefined && !keyForm.test(key)) report('/signature/key', 'is not 32 to 256 visible ASCII characters');
  checkMap('basic', basic, constraintLimits.users, userFault, passwordFault, report);
}

const asFault = (reading: object | string): string | null => (typeof reading === 'string' ? reading : null);

function checkList(
  name: string,
  list: readonly string[] | undefined,
  fault: (text: string) => string | null,
  report: Report,
): void {
  if (list === undefined || !hasRoom(name, list.length, constraintLimits.entries, report)) return;
  const seen = new Set<string>();
  list.forEach((text, index) => {
    const why = fault(text) ?? (seen.has(text) ? 'stands twice' : null);
    if (why !== null) report(`/${name}${pointerStep(index)}`, why);
    seen.add(text);
  });
}

function checkMap<T>(
  name: string,
  map: Readonly<Record<string, T>> | undefined,
  most: number,
  nameFault: (name: string) => string | null,
  fault: (value: T) => string | null,
  report: Report,
): void {
  const entries = Object.entries(map ?? {});
  if (map === undefined || !hasRoom(name, entries.length, most, report)) return;
  for (const [key, value] of entries) {
    const why = nameFault(key) ?? fault(value);
    if (why !== null) report(`/${name}${pointerStep(key)}`, why);
  }
}

/** An empty member could be meant as nothing allowed, or as nothing asked for. */
function hasRoom(name: string, size: number, most: number, report: Report): boolean {
  if (size === 0) report(`/${name}`, 'is empty: null, or leaving it out, asks for nothing');
  if (size > most) report(`/${name}`, `has more than ${most} entries`);
  return size > 0 && size <= most;
}

function methodFault(text: string): string | null {
  return /^[A-Z][A-Z_-]{0,31}$/.test(text) ? null : 'is no method in capital letters';
}

function pathFault(text: string): string | null {
  if (text.length > constraintLimits.path) return `is longer than ${constraintLimits.path} characters`;
  const reading = readPattern(text);
  return reading.ok ? null : `is no path pattern: ${reading.why}`;
}

const printable = (most: number): RegExp => new RegExp(`^[^\\p{C}]{1,${most}}$`, 'u');
const paramName = printable(constraintLimits.name);
const paramValue = printable(constraintLimits.value);
const userName = printable(constraintLimits.user);
const keyForm = new RegExp(`^[!-~]{${constraintLimits.leastKey},${constraintLimits.key}}$`);
const password = /^[^\p{Cc}\p{Cs}]+$/u;

const paramNameFault = (name: string): string | null =>
  paramName.test(name) && !name.split('.').includes('') && !/[[\]]/.test(name)
    ? null
    : 'has a name that no parameter has';

const valueFault = (text: string): string | null =>
  paramValue.test(text) ? null : `is not printable text of 1 to ${constraintLimits.value} characters`;

/** Origins are compared with what browsers send, byte for byte (RFC 6454 6.2). */
function originFault(text: string): string | null {
  if (text.length > constraintLimits.origin) return `is longer than ${constraintLimits.origin} characters`;
  if (text === 'null') return 'is what any sandboxed page sends';
  if (!/^[a-z][a-z0-9+.-]*:\/\/[^/?#@\s\\*\p{Lu}\p{C}]+$/u.test(text))
    return 'is no origin such as https://app.example.com';
  return /^(?:http:.*:80|https:.*:443)$/.test(text) ? 'has the port that browsers leave out' : null;
}

/** RFC 7617 2: no user has a colon. */
const userFault = (user: string): string | null =>
  userName.test(user) && !user.includes(':') ? null : 'has a user that is not printable text without a colon';

function passwordFault(said: string | true): string | null {
  if (said === true) return null;
  if (isHash(said)) return asFault(readPasswordHash(said));
  if (!password.test(said)) return 'is empty, or has a control character';
  const bytes = new TextEncoder().encode(said).length;
  return bytes > constraintLimits.password ? `is longer than ${constraintLimits.password} bytes` : null;
}

/** What is wrong with one entry, in words; null when nothing is. */
export const constraintFaults = {
  network: (text: string): string | null => asFault(readNetwork(text)),
  method: methodFault,
  path: pathFault,
  origin: originFault,
  paramName: paramNameFault,
  paramValue: valueFault,
  user: userFault,
  hash: (text: string): string | null => asFault(readPasswordHash(text)),
} as const;

/** What begins as hashes do is one, well or badly: no hash of another kind becomes a password by mistake. */
export const isHash = (said: string): boolean => /^\$[a-z0-9-]+\$/i.test(said);

/** What managers are shown: which users there are, and that there is a key. Of what they say, too, all but the secrets. */
export function shownConstraints({ signature, basic, ...plain }: Constraints | SaidConstraints): SaidConstraints {
  return {
    ...plain,
    ...(signature !== undefined && { signature: {} }),
    ...(basic !== undefined && { basic: Object.fromEntries(Object.keys(basic).map(user => [user, true as const])) }),
  };
}
