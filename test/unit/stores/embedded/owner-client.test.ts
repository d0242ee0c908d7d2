import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { StoreUnavailable } from '../../../../src/errors.ts';
import type { OwnerSettings, ToOwner } from '../../../../src/stores/embedded/messages.ts';
import { OwnerClient } from '../../../../src/stores/embedded/owner-client.ts';
import type { OwnerListener, StartOwner } from '../../../../src/stores/embedded/owner-thread.ts';
import { anAudit, aToken } from '../../../contract/harness.ts';

const settings: OwnerSettings = {
  folder: '/nowhere',
  identity: null,
  feedEvents: 10,
  usageRetention: { hours: 1, days: 1 },
};
const deadlines = { lookup: 50, other: 5000 };

/** A thread that does as the test says, and keeps what it was sent. */
class ScriptedOwner {
  readonly sent: ToOwner[] = [];
  readonly startedAt: number[] = [];
  /** Further starts fail while this is set. */
  broken = false;
  listener!: OwnerListener;

  readonly start: StartOwner = async (_, listener) => {
    this.startedAt.push(performance.now());
    if (this.broken) throw new StoreUnavailable('no');
    this.listener = listener;
    return {
      identity: 'one',
      post: message => this.sent.push(message),
      terminate: () => listener.ended(new Error('terminated')),
    };
  };
}

let owner: ScriptedOwner;
let client: OwnerClient;
beforeEach(async () => {
  vi.useFakeTimers();
  owner = new ScriptedOwner();
  client = await OwnerClient.open(owner.start, settings, deadlines);
});
afterEach(() => {
  vi.useRealTimers();
});

/** What has become of a promise so far. */
function fateOf(promise: Promise<unknown>): { now: 'pending' | 'resolved' | Error } {
  const fate: { now: 'pending' | 'resolved' | Error } = { now: 'pending' };
  promise.then(
    () => {
      fate.now = 'resolved';
    },
    error => {
      fate.now = error as Error;
    },
  );
  return fate;
}

const creation = () => client.call('createToken', [aToken('a'), anAudit('create'), null, 0]);

describe('deadlines', () => {
  test('a look-up is given up after its own, short one', async () => {
    const fate = fateOf(client.call('find', [['a'], 0]));
    await vi.advanceTimersByTimeAsync(49);
    expect(fate.now).toBe('pending');
    await vi.advanceTimersByTimeAsync(2);
    expect(fate.now).toMatchObject({ name: 'StoreUnavailable', sent: false });
  });

  test('other reads and mutations have longer, and a mutation given up may have been done', async () => {
    const mutation = fateOf(creation());
    const read = fateOf(client.call('getToken', ['a']));
    await vi.advanceTimersByTimeAsync(4999);
    expect([mutation.now, read.now]).toEqual(['pending', 'pending']);
    await vi.advanceTimersByTimeAsync(2);
    expect(mutation.now).toMatchObject({ name: 'StoreUnavailable', sent: true });
    expect(read.now).toMatchObject({ name: 'StoreUnavailable', sent: false });
  });

  test('a reader of the feed is given its waiting time on top', async () => {
    const fate = fateOf(client.call('readFeed', [{ epoch: 'e', seq: 0 }, 10_000], { waitMs: 10_000 }));
    await vi.advanceTimersByTimeAsync(14_999);
    expect(fate.now).toBe('pending');
    await vi.advanceTimersByTimeAsync(2);
    expect(fate.now).toBeInstanceOf(StoreUnavailable);
  });

  test('an answer that waits behind a late timer is still an answer', async () => {
    const found = client.call('find', [['a'], 0]);
    // Timers run before what has arrived is read: the answer comes after the timer, in the same turn.
    setTimeout(() => owner.listener.replies([{ id: 1, kind: 'answer', answer: null }]), 50);
    await vi.advanceTimersByTimeAsync(50);
    expect(await found).toBeNull();
  });

  test('an answer that comes after its call was given up is dropped', async () => {
    const fate = fateOf(client.call('find', [['a'], 0]));
    await vi.advanceTimersByTimeAsync(60);
    owner.listener.replies([{ id: 1, kind: 'answer', answer: null }]);
    expect(fate.now).toBeInstanceOf(StoreUnavailable);
  });
});

describe('the death of the thread', () => {
  test('a mutation on its way may have been done; a read has no answer', async () => {
    const mutation = fateOf(creation());
    const read = fateOf(client.call('find', [['a'], 0]));
    owner.listener.ended(new Error('boom'));
    await vi.advanceTimersByTimeAsync(0);
    expect(mutation.now).toMatchObject({ name: 'StoreUnavailable', sent: true });
    expect(read.now).toMatchObject({ name: 'StoreUnavailable', sent: false });
  });

  test('a call without a thread is refused at once, and was not sent', async () => {
    owner.listener.ended(new Error('boom'));
    const mutation = fateOf(creation());
    await vi.advanceTimersByTimeAsync(0);
    expect(mutation.now).toMatchObject({ name: 'StoreUnavailable', sent: false });
    expect(owner.sent).toEqual([]);
  });

  test('it is started again: later and later while that fails, soon when the last one had lasted', async () => {
    const waits = (): number[] => owner.startedAt.slice(1).map((at, i) => Math.round(at - owner.startedAt[i]!));
    owner.broken = true;
    owner.listener.ended(new Error('boom'));
    await vi.advanceTimersByTimeAsync(30_000);
    expect(waits().slice(0, 10)).toEqual([50, 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    owner.broken = false;
    await vi.advanceTimersByTimeAsync(20_000);
    const starts = owner.startedAt.length;
    owner.listener.ended(new Error('boom'));
    await vi.advanceTimersByTimeAsync(50);
    expect(owner.startedAt).toHaveLength(starts + 1);
  });
});

describe('closing', () => {
  test('waits for the thread to finish, and cuts it when that takes too long', async () => {
    const fate = fateOf(client.close());
    const mutation = fateOf(creation());
    await vi.advanceTimersByTimeAsync(4999);
    expect(fate.now).toBe('pending');
    expect(mutation.now).toMatchObject({ message: 'the store is closed', sent: false });
    expect(owner.sent).toEqual([{ kind: 'close' }]);
    await vi.advanceTimersByTimeAsync(1);
    expect(fate.now).toBe('resolved');
  });

  test('a store without a thread is closed at once, and no thread is started after', async () => {
    owner.listener.ended(new Error('boom'));
    await client.close();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(owner.startedAt).toHaveLength(1);
  });
});
