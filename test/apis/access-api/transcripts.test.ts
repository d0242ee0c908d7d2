import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { World } from './world.ts';

/**
 * Transcripts, byte for byte. A line with `>` is sent: method, target, urlencoded body. The line with `<` below it is the
 * whole answer. Ids and secrets are numbered in the order in which they first appear.
 */

let world: World;
beforeEach(async () => {
  world = await World.open();
});
afterEach(() => world.dispose());

const folder = import.meta.dirname;
const transcripts = readdirSync(folder).filter(name => name.endsWith('.transcript'));

/** What differs from run to run, and its name in a transcript. */
class Masks {
  readonly #named = new Map<string, string>();
  #ids = 0;
  #secrets = 0;

  mask(text: string): string {
    for (const [id] of text.matchAll(/tok_[0-9A-Za-z]{20}/g)) {
      if (!this.#named.has(id)) this.#named.set(id, `<id ${++this.#ids}>`);
    }
    for (const [secret] of text.matchAll(/pst_[0-9A-Za-z]{38}/g)) {
      if (this.#named.has(secret)) continue;
      this.#named.set(secret, `<secret ${++this.#secrets}>`);
      this.#named.set(`pst_…${secret.slice(-4)}`, `<end of secret ${this.#secrets}>`);
    }
    return [...this.#named].reduce((masked, [value, name]) => masked.replaceAll(value, name), text);
  }

  unmask(text: string): string {
    return [...this.#named].reduce((plain, [value, name]) => plain.replaceAll(name, value), text);
  }
}

test('there are transcripts', () => {
  expect(transcripts).toHaveLength(6);
});

test.each(transcripts)('%s', async name => {
  const written = readFileSync(path.join(folder, name), 'utf8');
  const masks = new Masks();
  const lines: string[] = [];
  for (const line of written.split('\n')) {
    if (line.startsWith('<')) continue;
    lines.push(line);
    if (!line.startsWith('> ')) continue;
    const [method, target, body] = masks.unmask(line.slice(2)).split(' ');
    const answer = await world.send({ method: method!, target: target!, ...(body === undefined ? {} : { body }) });
    lines.push(`< ${masks.mask((answer?.body ?? '(goes on to the routes)') as string)}`);
    if (answer === null) continue;
    expect(answer.status).toBe(200);
    expect(answer.fields).toEqual(['Content-Type', 'application/json']);
  }
  expect(lines.join('\n')).toBe(written);
  expect(world.faults).toEqual([]);
});
