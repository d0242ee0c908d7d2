import { afterEach, expect, test } from 'vitest';
import type { EnvelopeName } from '../../../src/apis/api-tokens/envelope.ts';
import { ops } from '../../support/managed.ts';
import { expectSaid, happensTo, Names, spokenAnswer, spokenRequest, transcriptsIn } from '../transcript.ts';
import { type Office, openOffice } from './office.ts';

/**
 * The name of a transcript begins with the envelope of the mount. Bytes that are no visible ASCII are written `\xNN`. Ids
 * count as 19 digits long.
 */
const folder = import.meta.dirname;

let office: Office | null = null;
afterEach(async () => {
  await office?.managed.dispose();
  office = null;
});

test.each(transcriptsIn(folder))('%s is what is said, byte for byte', async file => {
  const opened = await openOffice(file.split('-')[0] as EnvelopeName);
  office = opened;
  const names = new PackedNames();
  await expectSaid(folder, file, {
    names,
    exchange: lines => {
      const request = spokenRequest(lines);
      const asked = opened.call({ ...request, body: unescaped(request.body) });
      return spokenAnswer(asked, body => masked(escaped(Buffer.from(body as string)), names));
    },
    happens: event => happens(opened, event),
  });
  expect(opened.faults).toEqual([]);
});

const unescaped = (text: string): Buffer =>
  Buffer.from(
    text.replace(/\\x([0-9a-f]{2})/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16))),
    'latin1',
  );

const escaped = (bytes: Buffer): string =>
  bytes.toString('latin1').replace(/[^ -~]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);

async function happens({ managed }: Office, event: readonly string[]): Promise<unknown> {
  const [what, id = '', permission = ''] = event;
  if (what !== 'take') return happensTo(managed, event);
  return managed.accounts.patch({ actor: ops, id }, { permissions: { [permission]: null } });
}

const masked = (text: string, names: Names): string =>
  text
    .replace(/[A-Za-z0-9_-]{33}[AQgw](?![A-Za-z0-9_-])/g, token => names.name('token', token))
    // The head of text that is as long as an id ends in a digit, too.
    .replace(/(\\xb[0-3])?([1-9][0-9]{14,18})(?![0-9])/g, (_, head, id) => {
      return (head === undefined ? '' : '\\xb3') + names.name('id', id);
    });

/** In MessagePack the head of an id tells its length. */
class PackedNames extends Names {
  override put(text: string): string {
    const headed = text.replace(/\\xb3(<id [0-9]+>)/g, (whole, name) => {
      const id = this.valueOf(name);
      return id === undefined ? whole : `\\xb${id.length - 16}${name}`;
    });
    return super.put(headed);
  }
}
