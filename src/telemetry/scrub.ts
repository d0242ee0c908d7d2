import { cut, hideTokens, redacted, visible } from './text.ts';

/**
 * Frees text of anything that looks like a secret. Messages of libraries are the one kind of text in a log that
 * nobody here chose: they quote URLs, header fields and commands. It rather hides too much than too little; request
 * ids, token ids, paths and ordinary words stay.
 */
export function scrub(text: string, longest = 2048): string {
  let shown = bounded(text);
  for (const [pattern, by] of patterns) shown = shown.replace(pattern, by);
  shown = shown.replace(longRun, run => (isReadable(run) ? run : redacted));
  return visible(cut(hideTokens(shown), longest));
}

const patterns: readonly (readonly [RegExp, string])[] = [
  // Whole fields whose value is a credential: `authorization: …`, `"cookie":"…"`.
  [/(authorization|cookie)(["']?\s*[:=])[^\r\n]*/gi, `$1$2 ${redacted}`],
  [/\b(bearer|basic|apikey)(\s|%20|[+:=])+[^\s"',;]+/gi, `$1 ${redacted}`],
  [
    /(password|passwd|passphrase|secret|pepper|token|credential|api[-_]?key)(["']?\s*[:=]\s*["']?)[^\s"',;&]+/gi,
    `$1$2${redacted}`,
  ],
  // User and password of a URL, up to the last @, as passwords are often not encoded; then its query. A question mark
  // with nothing but punctuation up to the next blank ends a question.
  [/:\/\/[^\s"'<>]*@/g, `://${redacted}@`],
  [/\?(?![;,.:!)]*(?:\s|$))[^\s"'<>]+/g, `?${redacted}`],
  // A JSON Web Token: its first part may be short.
  [/\beyJ[\w-]+\.[\w-]+(\.[\w-]*)?/g, redacted],
];

/** Hex, base64 in both alphabets, base62, and any of them percent-encoded. */
const longRun = /[A-Za-z0-9+/_=%-]{24,}/g;
const ids = /^(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|tok_[0-9A-Za-z]{20})$/;
/** A word in lower, camel or upper case, perhaps numbered; a number; or too short to matter. */
const word = /^(?:[A-Z]?[a-z]+(?:[A-Z][a-z]{2,})*\d{0,4}|[A-Z]+\d{0,4}|\d{1,19}|.{0,4})$/;

/** File paths, identifiers and ids are long runs too; random bytes are not made of words. */
function isReadable(run: string): boolean {
  if (ids.test(run)) return true;
  if (/[0-9a-f]{32}/i.test(run)) return false;
  return run.split(/[/_=%+-]/).every(part => word.test(part));
}

const longestRead = 8192;

/** Bounds the work. What is cut in two at the end goes as a whole, because half a secret matches no pattern. */
function bounded(text: string): string {
  if (text.length <= longestRead) return text;
  let end = longestRead;
  while (end > 0 && !/\s/.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}
