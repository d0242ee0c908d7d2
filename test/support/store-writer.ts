import { writeSync } from 'node:fs';
import { StoreUnavailable } from '../../src/errors.ts';
import { openEmbeddedStore } from '../../src/stores/embedded/open.ts';
import type { Store } from '../../src/stores/store.ts';
import { anAudit, aToken, changed } from '../contract/harness.ts';
import type { Saying } from './store-child.ts';

/**
 * A process of its own that creates tokens in a store and revokes every other one, until it is killed or the store
 * refuses. It says on stdout what was acknowledged, a line of JSON each. Arguments: folder, beginning of the ids.
 */
const [folder = '', run = ''] = process.argv.slice(2);
const say = (saying: Saying): void => {
  // Synchronous: what was said before the kill was said.
  writeSync(1, `${JSON.stringify(saying)}\n`);
};

async function write(store: Store, writer: number): Promise<void> {
  for (let i = 0; ; i++) {
    const token = aToken(`${run}-${writer}-${i}`, { name: `${run}-${i}`, tags: [run] });
    const made = await store.tokens.createToken(token, anAudit('create'), null);
    if (made.kind !== 'done') throw new Error(made.kind);
    say({ kind: 'created', id: token.id });
    if (i % 2 === 0) continue;
    const ended = await store.tokens.replaceToken(changed(token, { state: 'revoked' }), 1, anAudit('revoke'));
    if (ended.kind !== 'done') throw new Error(ended.kind);
    say({ kind: 'revoked', id: token.id });
  }
}

const clock = { wall: () => Date.now(), monotonic: () => performance.now() };
let store: Store | undefined;
try {
  store = await openEmbeddedStore({ folder, clock, deadlineMs: 10_000 });
  say({ kind: 'open' });
  await Promise.all([0, 1, 2, 3, 4, 5].map(writer => write(store!, writer)));
} catch (error) {
  if (!(error instanceof Error)) throw error;
  const sent = error instanceof StoreUnavailable ? error.sent : null;
  const first = store === undefined ? null : await store.tokens.find([`digest-of-${run}-0-0`]);
  say({ kind: 'failed', name: error.name, message: error.message, sent, reads: first !== null });
  process.exit(1);
}
