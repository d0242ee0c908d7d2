import { randomInt } from 'node:crypto';
import { base62 } from '../../core/secret-form.ts';
import type { SecretForm } from '../../manage/token-service.ts';
import type { Xids } from './xid.ts';

/** Keys of people and keys of bots. The two differ in nothing but what they are called. */
export type KeyKind = 'sdpak' | 'sdbak';

/** What may be looked up as a key of this API. */
export const keyShape: RegExp = /^sd[pb]ak_[0-9A-Za-z]{44}$/;

/** An identifier of 12 characters and a secret of 32. Both are random here, and only the whole is ever compared. */
const randomLength = 12 + 32;

export const keyForm = (kind: KeyKind, ids: Xids): SecretForm => ({
  make: () => {
    const secret = `${kind}_${randomText(randomLength)}`;
    return { id: ids.next(), secret, hint: `${kind}_…${secret.slice(-4)}` };
  },
});

/** Uniform: `randomInt` draws again what would favour some characters. */
function randomText(length: number): string {
  let text = '';
  while (text.length < length) text += base62[randomInt(base62.length)];
  return text;
}
