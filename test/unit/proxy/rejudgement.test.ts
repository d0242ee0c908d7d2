import { expect, test } from 'vitest';
import type { Decision } from '../../../src/core/decide.ts';
import { deny, denyToken } from '../../../src/core/decision.ts';
import type { Fall } from '../../../src/core/standing.ts';
import { compileSubject, type Subject } from '../../../src/core/token.ts';
import type { FeedEvent } from '../../../src/ports/token-store.ts';
import { type Judged, Rejudgement } from '../../../src/proxy/rejudgement.ts';
import { anAccount, aToken } from '../../contract/harness.ts';
import { settled } from '../../support/held-store.ts';

const subjectOf = (id: string, owner: string | null, expiresAt: number | null = null): Subject => {
  const token = aToken(id, { owner, expiresAt });
  return compileSubject(token, null, [], token.digest);
};
const denied = denyToken('revoked', null);
const unanswered = deny('store_unavailable', 'Try again.', { retryAfter: 1 });

class Stream implements Judged {
  subject: Subject | null;
  readonly inShadow: boolean;
  readonly fallen: Fall[] = [];
  readonly asked: ((decision: Decision) => void)[] = [];
  constructor(subject: Subject | null, inShadow = false) {
    this.subject = subject;
    this.inShadow = inShadow;
  }
  rejudge(): Promise<Decision> {
    return new Promise(resolve => this.asked.push(resolve));
  }
  fall(by: Fall): void {
    this.fallen.push(by);
  }
  async answer(decision: Decision): Promise<void> {
    this.asked.at(-1)!(decision);
    await settled();
  }
  stands(subject = this.subject): Promise<void> {
    return this.answer({ kind: 'permit', subject } as Decision);
  }
}

function open(...subjects: (Subject | null)[]) {
  const streams = subjects.map(subject => new Stream(subject));
  const set = new Set<Judged>(streams);
  let now = 1000;
  const rejudgement = new Rejudgement(set, () => now);
  const ticks = (n: number): void => {
    for (let i = 0; i < n; i++) rejudgement.tick();
  };
  const asked = (): number[] => streams.map(stream => stream.asked.length);
  return { streams, set, rejudgement, ticks, asked, at: (instant: number) => (now = instant) };
}
const change = (kind: FeedEvent['kind'], id: string) => ({
  seq: 1,
  at: 0,
  kind,
  id,
  version: 2,
  digests: [],
  awaited: false,
});

test('a change asks about its token, or its owner, and nobody else', () => {
  const { rejudgement, ticks, asked } = open(subjectOf('t1', 'a'), subjectOf('t2', 'a'), subjectOf('t3', null), null);
  rejudgement.changed([change('token', 't1'), change('account', 't3')]);
  ticks(1);
  expect(asked()).toEqual([1, 0, 0, 0]);
  rejudgement.changed([change('account', 'a')]);
  ticks(1);
  // The first is asked about already.
  expect(asked()).toEqual([1, 1, 0, 0]);
});

test('a change of a role asks about the tokens of every account that has it, that of their order about all that have any', () => {
  const withRoles = (id: string, roles: readonly string[]): Subject => {
    const token = aToken(id, { owner: id });
    return compileSubject(token, anAccount(id, { roles }), [], token.digest);
  };
  const { rejudgement, ticks, asked } = open(
    withRoles('t1', ['r1']),
    withRoles('t2', ['r2', 'r3']),
    withRoles('t3', []),
    subjectOf('t4', null),
    null,
  );
  rejudgement.changed([change('role', 't3'), change('account', 'r1'), change('token', 'r1')]);
  ticks(1);
  expect(asked()).toEqual([0, 0, 0, 0, 0]);
  rejudgement.changed([change('role', 'r3')]);
  ticks(1);
  expect(asked()).toEqual([0, 1, 0, 0, 0]);
  rejudgement.changed([change('role', 'order')]);
  ticks(1);
  expect(asked()).toEqual([1, 1, 0, 0, 0]);
});

test('what may have been missed asks about all, so many at a time', async () => {
  const { rejudgement, ticks, asked, streams } = open(
    ...Array.from({ length: 40 }, (_, i) => subjectOf(`t${i}`, null)),
  );
  rejudgement.changed(null);
  ticks(1);
  expect(asked().filter(n => n === 1)).toHaveLength(32);
  for (const stream of streams.slice(0, 8)) await stream.stands();
  expect(asked().every(n => n === 1)).toBe(true);
});

test('no answer closes nothing, and is asked for again a second later', async () => {
  const { rejudgement, ticks, asked, streams } = open(subjectOf('t1', null));
  rejudgement.changed([change('token', 't1')]);
  ticks(1);
  await streams[0]!.answer(unanswered);
  expect(asked()).toEqual([1]);
  ticks(10);
  expect([asked(), streams[0]!.fallen]).toEqual([[2], []]);
  await streams[0]!.answer(denied);
  expect(streams[0]!.fallen).toEqual(['revoked']);
});

test('a change behind a question is a question of its own', async () => {
  const { rejudgement, ticks, asked, streams } = open(subjectOf('t1', null));
  rejudgement.changed([change('token', 't1')]);
  ticks(1);
  rejudgement.changed([change('token', 't1')]);
  ticks(1);
  expect(asked()).toEqual([1]);
  await streams[0]!.stands();
  expect(asked()).toEqual([2]);
});

test('a decision in doubt is made again, unless its request is over', () => {
  const { rejudgement, ticks, asked, streams, set } = open(subjectOf('t1', null), subjectOf('t2', null));
  for (const stream of streams) rejudgement.doubt(stream);
  set.delete(streams[1]!);
  ticks(1);
  expect(asked()).toEqual([1, 0]);
});

test('expiry closes without a question, by what was last known of it', async () => {
  const { rejudgement, ticks, asked, streams, at } = open(subjectOf('t1', null, 2000), subjectOf('t2', null, 2000));
  rejudgement.changed([change('token', 't1')]);
  ticks(1);
  await streams[0]!.stands(subjectOf('t1', null, 3000));
  at(2000);
  ticks(10);
  expect(streams.map(({ fallen }) => fallen)).toEqual([[], ['expired']]);
  at(3000);
  ticks(10);
  expect(streams[0]!.fallen).toEqual(['expired']);
  expect(asked()).toEqual([1, 0]);
});

test('what may outlive its token in shadow mode is asked about when that expires, and once', async () => {
  const lapsing = subjectOf('t1', null, 2000);
  const { rejudgement, ticks, asked, set, at } = open();
  const stream = new Stream(lapsing, true);
  set.add(stream);
  at(2000);
  ticks(10);
  expect([stream.asked.length, stream.fallen]).toEqual([1, []]);
  // Let through as nobody, and remembered as who it is.
  await stream.answer({
    kind: 'permit',
    subject: null,
    shadowed: denyToken('expired', lapsing),
  } as unknown as Decision);
  ticks(30);
  expect([stream.asked.length, stream.fallen]).toEqual([1, []]);
  rejudgement.changed([change('token', 't1')]);
  ticks(1);
  expect(stream.asked).toHaveLength(2);
  await stream.answer(denied);
  expect(stream.fallen).toEqual(['revoked']);
  expect(asked()).toEqual([]);
});
