import { DatabaseSync } from 'node:sqlite';
import type { Ledger } from '../../src/core/ledger.ts';
import { type Limit, ledgerName } from '../../src/core/limit.ts';
import {
  answerQuestion,
  defineBook,
  type Entry,
  type Head,
  type LimitAnswer,
  type LimitQuestion,
  type LimitState,
  resetBook,
} from '../../src/core/limit-book.ts';
import type { LimitedSubject } from '../../src/ports/limit-ledger.ts';
import { LimitTables } from '../../src/stores/embedded/limits.ts';
import { migrate } from '../../src/stores/embedded/schema.ts';
import { all } from '../../src/stores/embedded/sqlite.ts';
import { Keys } from '../../src/stores/redis/keys.ts';
import { ledgerOf, parseHead, parseLedger } from '../../src/stores/redis/limit-records.ts';
import type { Link } from '../../src/stores/redis/link.ts';
import { readText } from '../../src/stores/redis/scripts/dump.ts';
import { monotonic } from '../../src/stores/redis/store-clock.ts';
import { leadLimits } from '../support/redis.ts';
import type { TestedStore } from './harness.ts';

/** One step of the store's side, at a time of its clock. */
export type Step =
  | {
      readonly kind: 'exchange';
      readonly at: number;
      readonly question: LimitQuestion;
      readonly roll: { readonly at: number; readonly live: ReadonlySet<string> } | null;
      readonly processes: number;
    }
  | { readonly kind: 'define'; readonly at: number; readonly version: number; readonly limits: readonly Limit[] }
  | { readonly kind: 'reset'; readonly at: number; readonly ledger: string };

/** What is kept of a subject, after a step. */
export interface Kept {
  readonly head: Head | null;
  readonly ledgers: Readonly<Record<string, Ledger>>;
}

/** What a step was answered, without what only the store's own clock can tell. */
export type Told = Omit<LimitAnswer, 'behind'> | LimitState | null;

/** Somebody who keeps the ledgers of one subject: `core` itself, or what a store makes of it. */
export interface Keeper {
  take(step: Step): Promise<Told>;
  kept(): Promise<Kept>;
}

const subject: LimitedSubject = { kind: 'token', id: 'tok_1' };

const withoutBehind = ({ behind: _, ...told }: LimitAnswer): Told => told;

/** The functions of `core` over a map. `forgets`: windows that have ended long ago are dropped. */
export function coreKeeper(forgets: boolean): Keeper {
  let head: Head | null = null;
  const entries = new Map<string, Entry>();
  const isOver = ({ until }: Entry, at: number): boolean => forgets && until !== null && until <= at;
  const finder =
    (at: number) =>
    (ledger: string, label: number): Ledger | null => {
      const entry = entries.get(`${ledger} ${label}`);
      return entry === undefined || isOver(entry, at) ? null : entry.state;
    };
  const keep = (next: Head, more: readonly Entry[]): void => {
    head = next;
    for (const entry of more) entries.set(`${entry.ledger} ${entry.label}`, entry);
  };
  return {
    take: async step => {
      const { at } = step;
      const find = finder(at);
      switch (step.kind) {
        case 'define': {
          const done = defineBook(head, find, step, at);
          keep(done.head, done.entries);
          return null;
        }
        case 'reset': {
          const done = resetBook(head, find, step.ledger, at);
          if (done !== null) keep(done.head, [done.entry]);
          return done?.state ?? null;
        }
        case 'exchange': {
          const { roll, processes } = step;
          const done = answerQuestion(head, find, step.question, { roll, processes, storeTime: at });
          keep(done.head, done.entries);
          for (const [name, entry] of entries) if (isOver(entry, at)) entries.delete(name);
          return withoutBehind(done.answer);
        }
      }
    },
    kept: async () => ({
      head,
      ledgers: Object.fromEntries([...entries].map(([name, { state }]) => [name, state])),
    }),
  };
}

/** The tables of the embedded store, in memory. */
export function tablesKeeper(): Keeper {
  const db = new DatabaseSync(':memory:');
  migrate(db);
  const tables = new LimitTables(db);
  return {
    take: async step => {
      const { at } = step;
      switch (step.kind) {
        case 'define':
          tables.define(subject, step.version, step.limits, at);
          return null;
        case 'reset':
          return tables.reset(subject, step.ledger, at)?.state ?? null;
        case 'exchange':
          return withoutBehind(tables.exchange([{ ...step.question, subject }], step, at)[0]!);
      }
    },
    kept: async () => {
      const rows = all<{ ledger: string; label: number; state: string }>(
        db.prepare('SELECT ledger, label, state FROM limit_ledgers'),
      );
      const ledgers = rows.map(row => [`${row.ledger} ${row.label}`, JSON.parse(row.state) as Ledger]);
      return { head: tables.head(subject), ledgers: Object.fromEntries(ledgers) };
    },
  };
}

/** The scripts of the Redis store. Its clock is the server's: its ledgers are made to have seen the time of each step. */
export function scriptsKeeper(store: TestedStore, link: Link, prefix: string): Keeper {
  const keys = new Keys(prefix);
  const head = keys.limits(subject);
  const deadline = (): number => monotonic() + 20_000;
  const textOf = (key: string): Promise<unknown> => link.call({ script: readText, keys: [key], args: [] }, deadline());
  let seen = Number.NEGATIVE_INFINITY;
  return {
    take: async step => {
      // Where there is nothing to reset, nothing is seen.
      const known = step.kind === 'reset' ? parseHead(((await textOf(head)) as string | null) ?? '-1 0\n').limits : [];
      const isVain = step.kind === 'reset' && !known.some(limit => ledgerName(limit) === step.ledger);
      if (step.at > seen && !isVain) {
        seen = step.at;
        await link.call({ script: leadLimits, keys: [head], args: [seen] }, deadline());
      }
      switch (step.kind) {
        case 'define':
          await store.limits.define(subject, step.version, step.limits);
          return null;
        case 'reset':
          return store.limits.reset(subject, step.ledger);
        case 'exchange': {
          const [answer] = await store.limits.exchange([{ ...step.question, subject }], step);
          return withoutBehind(answer!);
        }
      }
    },
    kept: async () => {
      const ledgers: [string, Ledger][] = [];
      for await (const names of link.scan(keys.everything, deadline)) {
        for (const name of names) {
          const window = keys.limitWindow(name);
          if (window === null) continue;
          const text = (await textOf(name)) as string;
          ledgers.push([`${ledgerOf(window.word)} ${window.label}`, parseLedger(text)]);
        }
      }
      const text = (await textOf(head)) as string | null;
      return { head: text === null ? null : parseHead(text), ledgers: Object.fromEntries(ledgers) };
    },
  };
}
