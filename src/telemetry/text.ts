/** Text that others wrote, on its way into a log: bounded, visible, and without a token of ours. */

/** Control characters, and those that reorder or hide what stands beside them, in a terminal or a pager. */
const invisible = /[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** JSON hides control characters only until somebody prints the decoded string: this makes them plain text. */
export const visible = (text: string): string =>
  text.replace(invisible, character => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });

/** The beginning of a text, with a sign that more followed. Never half a surrogate pair. */
export function cut(text: string, longest: number): string {
  if (text.length <= longest) return text;
  const last = text.charCodeAt(longest - 1);
  return `${text.slice(0, last >= 0xd800 && last < 0xdc00 ? longest - 1 : longest)}…`;
}

export const redacted = '[redacted]';

/** What every token of ours ends in, whatever its prefix: `_` and 32 + 6 base62 characters. */
const token = /(_|%5[Ff])[0-9A-Za-z]{38,}/;
const everyToken = new RegExp(token, 'g');
const shortestToken = 39;

export const hideTokens = (text: string): string =>
  text.length >= shortestToken && token.test(text) ? text.replace(everyToken, `$1${redacted}`) : text;

const plain = /^[ !#-[\]-~]*$/;

/** A JSON string. Tokens go before the end is cut off, because half a token is no pattern, but still half a secret. */
export function quote(text: string, longest: number): string {
  const shown = cut(hideTokens(text), longest);
  return plain.test(shown) ? `"${shown}"` : JSON.stringify(visible(shown));
}
