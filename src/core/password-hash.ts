/**
 * The scrypt hash of a password, as text in the PHC string format: `$scrypt$ln=15,r=8,p=3$<salt>$<hash>`, salt and hash
 * in base64 without padding. `ln` is the logarithm of the cost N (RFC 7914 2).
 */
export interface PasswordHash {
  readonly ln: number;
  readonly r: number;
  readonly p: number;
  /** Base64. */
  readonly salt: string;
  readonly hash: string;
}

/**
 * Attack: whoever can hand us a hash chooses what it costs to check a password against it. An upper bound of memory
 * (128 · N · r bytes) and of work (N · r · p) for each one; two are checked at a time.
 */
const hashLimits = { leastLn: 10, memory: 128 * 1024 * 1024, work: 2 ** 20, bytes: 64, text: 256 } as const;

const form =
  /^\$scrypt\$ln=([1-9][0-9]?),r=([1-9][0-9]?),p=([1-9][0-9]?)\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

/** The parts of a hash; what is wrong with it, in words, when it is none that may be checked. */
export function readPasswordHash(text: string): PasswordHash | string {
  const match = text.length > hashLimits.text ? null : form.exec(text);
  if (match === null) return 'is no scrypt hash such as $scrypt$ln=15,r=8,p=3$<salt>$<hash>';
  const [ln, r, p] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const [salt = '', hash = ''] = match.slice(4);
  if (!isBase64(salt) || !isBase64(hash)) return 'has a salt or hash that is no base64 without padding';
  if (ln < hashLimits.leastLn) return `has a cost below ln=${hashLimits.leastLn}`;
  if (128 * 2 ** ln * r > hashLimits.memory) return 'takes more than 128 MiB to check';
  if (2 ** ln * r * p > hashLimits.work) return 'takes too long to check';
  return { ln, r, p, salt, hash };
}

/** No text that decodes to the bytes of another: the bits that no byte takes are zero. */
function isBase64(text: string): boolean {
  const left = text.length % 4;
  if (left === 0) return true;
  const last = alphabet.indexOf(text.at(-1)!);
  return left === 2 ? last % 16 === 0 : left === 3 && last % 4 === 0;
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
