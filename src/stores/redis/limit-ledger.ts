import type { Answer, Circumstances } from '../../core/ledger.ts';
import type { Limit } from '../../core/limit.ts';
import {
  type LimitAnswer,
  type LimitClaim,
  type LimitState,
  readBook,
  type WindowAnswer,
} from '../../core/limit-book.ts';
import { StoreUnavailable } from '../../errors.ts';
import type { LimitedSubject, LimitLedger, LimitNotice, SubjectQuestion } from '../../ports/limit-ledger.ts';
import { partsOf } from '../limits.ts';
import { StoreLost, WritesRefused } from './faults.ts';
import type { Keys } from './keys.ts';
import type { LimitNotices } from './limit-notices.ts';
import { limitsText, parseHead, parseLedger, wordOf } from './limit-records.ts';
import type { Link, ScriptCall } from './link.ts';
import type { Script } from './script.ts';
import { checkStore } from './scripts/check-store.ts';
import { defineLimits, exchangeLimits, readLimits, resetLimit, settleLimits } from './scripts/exchange-limits.ts';
import { readTime } from './scripts/read-time.ts';
import { monotonic, StoreClock } from './store-clock.ts';
import type { Argument, Unit } from './unit.ts';

/** Questions that go to one script, and where their answers belong. */
interface Group {
  readonly places: readonly number[];
  readonly questions: readonly SubjectQuestion[];
}

type Around = Pick<Circumstances, 'roll' | 'processes'>;
type Answered = { readonly answers: readonly (LimitAnswer | null)[] } | { readonly failed: StoreUnavailable };

export class RedisLimitLedger implements LimitLedger {
  readonly #link: Link;
  readonly #unit: Unit;
  readonly #keys: Keys;
  readonly #notices: LimitNotices;
  /** Each server has a clock of its own. */
  readonly #clocks = new Map<string, StoreClock>();

  constructor(link: Link, unit: Unit, keys: Keys, notices: LimitNotices) {
    this.#link = link;
    this.#unit = unit;
    this.#keys = keys;
    this.#notices = notices;
  }

  async exchange(questions: readonly SubjectQuestion[], around: Around): Promise<readonly (LimitAnswer | null)[]> {
    const answers: (LimitAnswer | null)[] = questions.map(() => null);
    if (questions.length === 0) return answers;
    const groups = this.#groups(questions);
    const outcomes = await this.#exchange(groups, around);
    let failed: StoreUnavailable | null = null;
    for (const [i, outcome] of outcomes.entries()) {
      if ('failed' in outcome) failed = outcome.failed;
      else for (const [k, place] of groups[i]!.places.entries()) answers[place] = outcome.answers[k]!;
    }
    if (failed instanceof StoreLost) {
      // Whoever watches the store hears of it.
      this.#unit.check().catch(() => {});
      throw failed;
    }
    if (failed !== null && answers.every(answer => answer === null)) throw failed;
    return answers;
  }

  async define(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<void> {
    await this.#change(subject, defineLimits, [version, limitsText(limits)]);
  }

  async read(subject: LimitedSubject, version: number, limits: readonly Limit[]): Promise<readonly LimitState[]> {
    const call = this.#call(readLimits, [subject], [version, limitsText(limits)]);
    const [now, head, ...found] = (await this.#link.call(call, this.#unit.deadline())) as string[];
    const ledgers = new Map<number, string>();
    for (let i = 0; i < found.length; i += 2) ledgers.set(i / 2, found[i + 1]!);
    const kept = parseHead(head!);
    let next = 0;
    const find = () => {
      // They are asked for in the order of the definitions that hold, which is that of the answer.
      const text = ledgers.get(next++) ?? '';
      return text === '' ? null : parseLedger(text);
    };
    return readBook(kept, find, { version: -1, limits: [] }, Number(now));
  }

  async reset(subject: LimitedSubject, ledger: string): Promise<LimitState | null> {
    const word = wordOf(ledger);
    const [kind, head, state] = await this.#change(subject, resetLimit, [word]);
    if (kind === 'none') return null;
    const kept = parseHead(head!);
    const limits = kept.limits.filter(limit => wordOf(`${limit.name}:${limit.per}:${limit.algorithm}`) === word);
    const [found] = readBook({ ...kept, limits }, () => parseLedger(state!), { version: -1, limits: [] }, 0);
    return found ?? null;
  }

  listen(hear: (notice: LimitNotice) => void, signal: AbortSignal): void {
    this.#notices.listen(hear, signal);
  }

  /** What can be asked in one script each: everything where all keys are on one server, else what shares a slot. */
  #groups(questions: readonly SubjectQuestion[]): readonly Group[] {
    const all = questions.map((question, place) => ({ ...question, place }));
    const together = this.#link.clustered
      ? [...Map.groupBy(all, ({ subject }) => this.#keys.limits(subject)).values()]
      : [all];
    return together.flatMap(partsOf).map(part => ({ questions: part, places: part.map(({ place }) => place) }));
  }

  async #exchange(groups: readonly Group[], around: Around): Promise<readonly Answered[]> {
    const outcomes: Answered[] = new Array(groups.length);
    const [asking, settling] = [[] as number[], [] as number[]];
    for (const [i, { questions }] of groups.entries()) (asksForUnits(questions) ? asking : settling).push(i);
    const run = async (script: Script, places: readonly number[], some: readonly Group[]): Promise<void> => {
      for (const [k, outcome] of (await this.#run(script, some, around)).entries()) outcomes[places[k]!] = outcome;
    };
    await Promise.all([
      run(
        exchangeLimits,
        asking,
        asking.map(i => groups[i]!),
      ),
      run(
        settleLimits,
        settling,
        settling.map(i => groups[i]!),
      ),
    ]);
    // Where memory is out nothing is granted, and what is reported and given back is taken all the same.
    const refused = asking.filter(i => {
      const outcome = outcomes[i]!;
      return 'failed' in outcome && outcome.failed instanceof WritesRefused;
    });
    for (const i of refused) {
      const { questions } = groups[i]!;
      const kept = questions.flatMap((question, k) => (needsUnits(question) ? [] : [k]));
      const modest = kept.map(k => withoutWishes(questions[k]!));
      if (modest.length === 0) continue;
      const [outcome] = await this.#run(settleLimits, [{ places: kept, questions: modest }], around);
      if (outcome === undefined || 'failed' in outcome) continue;
      const all: (LimitAnswer | null)[] = questions.map(() => null);
      for (const [n, k] of kept.entries()) all[k] = outcome.answers[n]!;
      outcomes[i] = { answers: all };
    }
    return outcomes;
  }

  /** Calls a script for each group, in one write to each server. One that comes to it late does nothing, and is asked again. */
  async #run(script: Script, groups: readonly Group[], { roll, processes }: Around): Promise<readonly Answered[]> {
    const outcomes: Answered[] = new Array(groups.length);
    const deadline = this.#unit.deadline();
    const called = roll === null ? '' : [roll.at, ...roll.live].join(' ');
    let left = groups.map((_, i) => i);
    while (left.length > 0) {
      const calls = await Promise.all(
        left.map(async (i): Promise<ScriptCall | StoreUnavailable> => {
          const { questions } = groups[i]!;
          try {
            const until = await this.#until(this.#keys.limits(questions[0]!.subject), deadline);
            const args = [until, this.#channel, processes, called, ...questions.flatMap(questionArgs)];
            const subjects = questions.map(({ subject }) => subject);
            return { ...this.#call(script, subjects, args), confirmed: script === exchangeLimits };
          } catch (error) {
            if (error instanceof StoreUnavailable) return error;
            throw error;
          }
        }),
      );
      const sent = calls.flatMap((call, k) => (call instanceof StoreUnavailable ? [] : [{ call, i: left[k]! }]));
      for (const [k, call] of calls.entries())
        if (call instanceof StoreUnavailable) outcomes[left[k]!] = { failed: call };
      const settled = await this.#link.callEach(
        sent.map(({ call }) => call),
        deadline,
      );
      left = [];
      for (const [k, result] of settled.entries()) {
        const i = sent[k]!.i;
        if ('failed' in result) {
          outcomes[i] = result;
          continue;
        }
        const [time, kind, ...answers] = result.answer as [string, string, ...string[][]];
        this.#observe(sent[k]!.call.keys.at(-1)!, Number(time));
        if (kind === 'done') outcomes[i] = { answers: answers.map(answerOf) };
        else if (monotonic() < deadline) left.push(i);
        else outcomes[i] = { failed: new StoreUnavailable('the store came to it after its deadline') };
      }
    }
    return outcomes;
  }

  async #change(subject: LimitedSubject, script: Script, args: readonly Argument[]): Promise<readonly string[]> {
    const deadline = this.#unit.deadline();
    const key = this.#keys.limits(subject);
    for (;;) {
      const until = await this.#until(key, deadline);
      const call = { ...this.#call(script, [subject], [until, this.#channel, ...args]), confirmed: true };
      const [time, ...outcome] = (await this.#link.call(call, deadline)) as [string, ...string[]];
      this.#observe(key, Number(time));
      if (outcome[0] !== 'late') return outcome;
      if (monotonic() >= deadline) throw new StoreUnavailable('the store came to it after its deadline');
    }
  }

  /** The store's identity is looked at where it is on the same server. */
  #call(script: Script, subjects: readonly LimitedSubject[], args: readonly Argument[]): ScriptCall {
    const heads = subjects.map(subject => this.#keys.limits(subject));
    if (this.#link.clustered) return { script, keys: heads, args: ['', ...args] };
    return { script, keys: [this.#keys.meta, ...heads], args: [this.#unit.identity, ...args] };
  }

  get #channel(): string {
    return this.#keys.notices(this.#unit.identity);
  }

  /** A deadline on the clock of the server that a key is on. */
  async #until(key: string, deadline: number): Promise<number> {
    const known = this.#clocks.get(this.#link.serverOf(key))?.at(deadline) ?? null;
    if (known !== null) return known;
    const call = this.#link.clustered
      ? { script: readTime, keys: [key], args: [] }
      : { script: checkStore, keys: [this.#keys.meta], args: [this.#unit.identity] };
    this.#observe(key, Number(await this.#link.call(call, deadline)));
    return this.#clocks.get(this.#link.serverOf(key))!.at(deadline)!;
  }

  #observe(key: string, time: number): void {
    const server = this.#link.serverOf(key);
    const clock = this.#clocks.get(server) ?? new StoreClock();
    this.#clocks.set(server, clock);
    clock.observe(time, monotonic());
  }
}

const asksForUnits = (questions: readonly SubjectQuestion[]): boolean =>
  questions.some(({ claims }) => claims.some(({ claim: { need, want } }) => need > 0 || want > 0));

const needsUnits = ({ claims }: SubjectQuestion): boolean => claims.some(({ claim: { need } }) => need > 0);

const withoutWishes = (question: SubjectQuestion): SubjectQuestion => ({
  ...question,
  claims: question.claims.map(each => ({ ...each, claim: { ...each.claim, want: 0 } })),
});

const questionArgs = ({ version, limits, claims }: SubjectQuestion): readonly Argument[] => [
  version,
  limitsText(limits),
  claims.length,
  ...claims.map(claimText),
];

function claimText({ ledger, label, claim }: LimitClaim): string {
  const { process, number, granted, returned, spent, overdrawn, back, need, want, answered, recalled, doubtful } =
    claim;
  const numbers = [
    number,
    granted,
    returned,
    spent,
    overdrawn,
    back,
    need,
    want,
    answered,
    recalled,
    doubtful === true ? 1 : 0,
  ];
  return `${label ?? '-'} ${process} ${numbers.join(' ')} ${wordOf(ledger)}`;
}

function answerOf([head = '', ...claims]: readonly string[]): LimitAnswer {
  const [now, behind, version] = head.split(' ').map(Number);
  return { now: now!, behind: behind!, version: version!, answers: claims.map(windowAnswer) };
}

function windowAnswer(text: string): WindowAnswer | null {
  if (text === '') return null;
  const [label, ends, capacity, verdict, ...rest] = text.split(' ');
  const [
    number,
    granted,
    returned,
    spent,
    overdrawn,
    answered,
    generation,
    recall,
    remaining,
    used,
    scarce,
    news,
    heard,
    burned,
    excess,
  ] = rest.map(Number);
  return {
    window: { label: Number(label), ends: ends === '-' ? null : Number(ends) },
    capacity: capacity === '-' ? null : Number(capacity),
    answer: {
      number: number!,
      granted: granted!,
      returned: returned!,
      spent: spent!,
      overdrawn: overdrawn!,
      answered: answered!,
      generation: generation!,
      verdict: verdict as Answer['verdict'],
      recall: recall!,
      remaining: remaining!,
      used: used!,
      scarce: scarce === 1,
      news: news === 1,
      heard: heard === 1,
      burned: burned!,
      excess: excess!,
    },
  };
}
