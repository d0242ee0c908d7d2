import {
  abandon,
  answered,
  type Charge,
  charge,
  isForgettable,
  type LocalLimit,
  type LocalWindow,
  localLimit,
  noticed,
  overdraw,
  partsOf,
  questionFor,
  redefine,
  type Served,
  sent,
  serve,
  settleCharge,
  type Times,
  tick,
  tickMs,
  unanswered,
  type Waiter,
  wait,
} from '../../src/core/charging.ts';
import { type Holding, idleOf } from '../../src/core/holding.ts';
import { type Claim, keepMs, type Ledger, outOf, remainingOf, reset, sums } from '../../src/core/ledger.ts';
import { capacityOf, type Limit, paceMs, windowAt } from '../../src/core/limit.ts';
import {
  answerQuestion,
  type Head,
  headAfter,
  type LimitAnswer,
  type LimitClaim,
  type LimitQuestion,
} from '../../src/core/limit-book.ts';

/**
 * The world of the limits protocol as one plain value: a store, processes, what is between them, clocks, and the truth,
 * which only the model knows. Everything that could happen is an action; `act` makes it happen, by the functions that
 * the program itself runs, and then holds the truth against what was promised.
 */

export interface Setting {
  /** Of a token, then of an account, in the order in which requests take units. */
  readonly limits: readonly { readonly subject: number; readonly limit: Limit }[];
  /** Which limits a request may be under, by index. */
  readonly under: readonly (readonly number[])[];
  readonly costs: readonly number[];
  readonly processes: number;
  /** Requests go on without units while the store is away. */
  readonly isOpen: boolean;
}

/** What the protocol is made of, where a mutant takes another place. */
export interface Rules {
  readonly name: (slot: number, run: number) => string;
  readonly answer: typeof answerQuestion;
  readonly reset: typeof reset;
  /** `waiters`: all requests of the process that wait. The protocol itself need not know. */
  readonly question: (...said: [...Parameters<typeof questionFor>, waiters: readonly Waiter[]]) => LimitClaim | null;
  readonly answered: typeof answered;
}

export const rules: Rules = {
  name: (slot, run) => `${'PQRS'[slot]}${run}`,
  answer: answerQuestion,
  reset,
  question: questionFor,
  answered,
};

interface Subject {
  head: Head | null;
  ledgers: Record<string, Ledger>;
}

interface Request {
  readonly id: number;
  readonly cost: number;
  readonly under: readonly number[];
  waiter: Waiter | null;
  charge: Charge | null;
  /** Which ghost counts it has been charged to; null: overdrawn. */
  booked: readonly (string | null)[];
  generations: readonly number[];
  /** For each limit, who had no idle units at some moment since the request came. */
  readonly bare: Record<string, true>[];
}

interface Asked {
  readonly local: LocalLimit;
  readonly part: LocalWindow;
  readonly claim: Claim;
}

interface Ask {
  readonly id: number;
  readonly sentAt: Times;
  readonly asked: readonly Asked[];
}

export interface Process {
  readonly slot: number;
  run: number;
  name: string;
  state: 'runs' | 'paused' | 'dead';
  isListed: boolean;
  /** How far its clocks are from the truth. */
  wall: number;
  monotonic: number;
  version: number;
  limits: LocalLimit[];
  requests: Request[];
  asks: Ask[];
  tickedAt: number;
}

type Message =
  | {
      readonly kind: 'question';
      readonly from: string;
      readonly ask: number;
      readonly subject: number;
      readonly question: LimitQuestion;
      readonly roll: { readonly at: number; readonly live: ReadonlySet<string> };
    }
  | { readonly kind: 'answer'; readonly to: string; readonly ask: number; readonly answer: LimitAnswer }
  | {
      readonly kind: 'recall' | 'heard' | 'news';
      readonly to: string;
      readonly subject: number;
      readonly ledger: string;
      readonly label: number;
      readonly recall: number;
    };

/** The truth of one window of a limit, by `subject ledger label`. */
interface Ghost {
  readonly limit: number;
  generation: number;
  /** Units of requests that were let through in this generation, and not refunded. */
  charged: number;
  /** What is the most that may be. */
  bound: number;
  /** By process: units that it uses or has used of this window; and those of them that are settled. */
  readonly using: Record<string, number>;
  readonly settled: Record<string, number>;
  /** Of a bucket: whose units the store has taken back after their life. */
  readonly lapsed: Record<string, true>;
  /** Of a bucket: when how many were let through. */
  admitted: { readonly at: number; readonly request: number; readonly units: number }[];
}

export interface World {
  readonly setting: Setting;
  time: number;
  /** How far the store's clock is from the truth. */
  storeSkew: number;
  isUp: boolean;
  version: number;
  definitions: Limit[];
  subjects: Subject[];
  /** What the store has on its disk. */
  kept: Subject[];
  processes: Process[];
  messages: Message[];
  ghosts: Record<string, Ghost>;
  ids: number;
  /** A clock was set forward, so that windows end before anybody knows; or the store has lost something. */
  isSkewed: boolean;
  hasLost: boolean;
  /** So long has passed that the store has summed up leases: whoever comes back then is counted twice. */
  hasFolded: boolean;
  isOverdrawn: boolean;
  /** Who counted as gone for a while. */
  readonly hasBeenGone: Record<string, true>;
  /** What happened in this step, in words. */
  told: string;
  refusals: number;
}

export class Violation extends Error {}

const start = Date.UTC(2026, 0, 31, 23, 59, 59);

export function newWorld(setting: Setting, law: Rules = rules): World {
  const world: World = {
    setting,
    time: start,
    storeSkew: 0,
    isUp: true,
    version: 1,
    definitions: setting.limits.map(({ limit }) => limit),
    subjects: [],
    kept: [],
    processes: [],
    messages: [],
    ghosts: {},
    ids: 0,
    isSkewed: false,
    hasLost: false,
    hasFolded: false,
    isOverdrawn: false,
    hasBeenGone: {},
    told: '',
    refusals: 0,
  };
  const subjects = 1 + Math.max(...setting.limits.map(({ subject }) => subject));
  for (let i = 0; i < subjects; i++) world.subjects.push({ head: null, ledgers: {} });
  world.kept = world.subjects.map(snapshot);
  for (let slot = 0; slot < setting.processes; slot++) {
    const process: Process = {
      slot,
      run: 0,
      name: law.name(slot, 0),
      state: 'runs',
      isListed: true,
      wall: 0,
      monotonic: slot * 1000,
      version: 1,
      limits: [],
      requests: [],
      asks: [],
      tickedAt: start,
    };
    world.processes.push(process);
    begin(world, process);
  }
  return world;
}

const snapshot = ({ head, ledgers }: Subject): Subject => ({ head, ledgers: { ...ledgers } });

function begin(world: World, process: Process): void {
  process.limits = world.definitions.map(limit => localLimit(limit, clocks(world, process)));
  process.requests = [];
  process.asks = [];
  process.version = world.version;
}

export const clocks = (world: World, { wall, monotonic }: Process): Times => ({
  wall: world.time + wall,
  monotonic: world.time - start + monotonic,
});

const storeTime = (world: World): number => world.time + world.storeSkew;
const keyOf = (subject: number, ledger: string, label: number): string => `${subject} ${ledger} ${label}`;

// ---- actions --------------------------------------------------------------------------------------------------------

/** One number for what, others for which and how: every tuple means something in every world, or nothing happens. */
export type Action = readonly [kind: ActionKind, first: number, second: number, third: number];

export const actionKinds = [
  'request',
  'finish',
  'refund',
  'ask',
  'deliver',
  'lose',
  'double',
  'muteReply',
  'timeout',
  'pass',
  'tick',
  'giveUp',
  'crash',
  'restart',
  'pause',
  'resume',
  'unlist',
  'reset',
  'define',
  'learn',
  'keep',
  'rollBack',
  'outage',
  'stepStore',
  'stepProcess',
  'suspect',
  'forget',
] as const;
export type ActionKind = (typeof actionKinds)[number];

const passes = [1, 40, 300, 900, 1000, 2500, 5000, 60_000, 3_700_000];
const steps = [-5000, 3_600_000, 300, -300];

const at = <T>(from: readonly T[], index: number): T | undefined => from[index % Math.max(1, from.length)];

/** Makes it happen. False: it could not. Throws `Violation`. */
export function act(world: World, action: Action, law: Rules = rules): boolean {
  world.told = '';
  const happened = perform(world, action, law);
  if (happened) {
    note(world);
    judge(world);
  }
  return happened;
}

const say = (world: World, words: string): true => {
  world.told += `${world.told === '' ? '' : '; '}${words}`;
  return true;
};

function perform(world: World, [kind, first, second, third]: Action, law: Rules): boolean {
  const { setting, processes, messages } = world;
  const process = at(processes, first)!;
  const runs = process.state === 'runs';
  const now = clocks(world, process);
  switch (kind) {
    case 'request':
      return runs && request(world, process, at(setting.under, second)!, at(setting.costs, third)!);
    case 'finish':
    case 'refund': {
      const mine = process.requests.filter(each => each.charge !== null);
      const one = at(mine, second);
      if (!runs || one === undefined) return false;
      return finish(world, process, one, kind === 'refund' ? 0 : one.cost);
    }
    case 'ask':
      return runs && ask(world, process, second, law);
    case 'deliver':
    case 'lose':
    case 'double':
    case 'muteReply': {
      if (messages.length === 0) return false;
      const index = first % messages.length;
      const message = messages[index]!;
      if (kind === 'muteReply' && message.kind !== 'question') return false;
      if (kind === 'double') {
        messages.push(message);
        return say(world, `the network doubles ${named(message)}`);
      }
      messages.splice(index, 1);
      if (kind === 'lose') return say(world, `the network loses ${named(message)}`);
      return deliver(world, message, kind === 'muteReply', law);
    }
    case 'timeout': {
      const one = at(process.asks, second);
      if (!runs || one === undefined) return false;
      process.asks = process.asks.filter(each => each !== one);
      for (const { part } of one.asked) unanswered(part);
      return say(world, `${process.name} waits no longer for the answer to ${one.id}`);
    }
    case 'pass': {
      const before = world.time;
      if (at(passes, second)! >= keepMs) world.hasFolded = true;
      world.time += at(passes, second)!;
      return say(world, `${world.time - before} ms pass`);
    }
    case 'tick':
      if (!runs) return false;
      for (const local of process.limits) tick(local, now, world.time - process.tickedAt);
      process.tickedAt = world.time;
      say(world, `${process.name} ticks`);
      return serveAll(world, process);
    case 'giveUp': {
      const one = at(
        process.requests.filter(each => each.waiter !== null),
        second,
      );
      if (!runs || one === undefined) return false;
      say(world, `request ${one.id} gives up`);
      return giveUp(world, process, one);
    }
    case 'crash':
      if (process.state === 'dead') return false;
      say(world, `${process.name} dies`);
      process.state = 'dead';
      process.isListed = false;
      begin(world, process);
      return true;
    case 'restart':
      if (process.state !== 'dead') return false;
      process.state = 'runs';
      process.run++;
      process.name = law.name(process.slot, process.run);
      process.isListed = true;
      begin(world, process);
      return say(world, `it starts again as ${process.name}`);
    case 'pause':
      if (!runs) return false;
      process.state = 'paused';
      return say(world, `${process.name} is paused`);
    case 'resume':
      if (process.state !== 'paused') return false;
      process.state = 'runs';
      process.isListed = true;
      say(world, `${process.name} goes on`);
      return serveAll(world, process);
    case 'unlist':
      if (!process.isListed) return false;
      process.isListed = false;
      world.hasBeenGone[process.name] = true;
      return say(world, `${process.name} counts as gone`);
    case 'reset':
      return world.isUp && resetLimit(world, first % setting.limits.length, law);
    case 'define':
      return world.isUp && define(world, first % setting.limits.length, second % 7);
    case 'learn':
      if (!runs || process.version === world.version) return false;
      process.version = world.version;
      for (const [i, local] of process.limits.entries()) redefine(local, world.definitions[i]!);
      say(world, `${process.name} hears of the new limits`);
      return serveAll(world, process);
    case 'keep':
      world.kept = world.subjects.map(snapshot);
      return say(world, 'the store reaches its disk');
    case 'rollBack':
      return rollBack(world);
    case 'outage':
      world.isUp = !world.isUp;
      return say(world, world.isUp ? 'the store is back' : 'the store is away');
    case 'stepStore':
      world.storeSkew += at(steps, first)!;
      if (at(steps, first)! > 0) world.isSkewed = true;
      if (at(steps, first)! >= keepMs) world.hasFolded = true;
      return say(world, `the store's clock steps by ${at(steps, first)} ms`);
    case 'stepProcess':
      process.wall += at(steps, second)!;
      return say(world, `the wall clock of ${process.name} steps by ${at(steps, second)} ms`);
    case 'suspect':
      if (!runs) return false;
      for (const local of process.limits) noticed(local, 'lost', 0, 0);
      say(world, `${process.name} may have missed notices`);
      return serveAll(world, process);
    case 'forget': {
      const index = second % process.limits.length;
      if (!runs || !isForgettable(process.limits[index]!, now)) return false;
      process.limits[index] = localLimit(process.limits[index]!.limit, now);
      return say(world, `${process.name} forgets limit ${index}`);
    }
  }
}

function named(message: Message): string {
  if (message.kind === 'question') return `question ${message.ask} of ${message.from}`;
  if (message.kind === 'answer') return `the answer ${message.ask} to ${message.to}`;
  return `a notice of ${message.kind} to ${message.to}`;
}

// ---- requests -------------------------------------------------------------------------------------------------------

/** How long requests wait, in milliseconds. */
const patience = 1000;

function request(world: World, process: Process, under: readonly number[], cost: number): true {
  const id = world.ids++;
  const one: Request = {
    id,
    cost,
    under,
    waiter: null,
    charge: null,
    booked: [],
    generations: [],
    bare: under.map(() => ({})),
  };
  const now = clocks(world, process);
  const limits = under.map(index => process.limits[index]!);
  say(world, `${process.name} is asked for ${cost} of ${under.join(' and ')} (request ${id})`);
  const outcome = charge(limits, cost, now);
  if (outcome === 'refused') return say(world, 'refused at once');
  process.requests.push(one);
  if (outcome !== 'short') {
    admit(world, process, one, outcome);
  } else if (!world.isUp && world.setting.isOpen) {
    overdraw(limits, cost, now);
    process.requests.pop();
    world.isOverdrawn = true;
    say(world, 'let through without units');
  } else {
    const { waiter, served } = wait(limits, cost, now, now.monotonic + patience);
    one.waiter = waiter;
    outcomes(world, process, served);
    if (one.waiter !== null) say(world, 'it waits');
  }
  return true;
}

function admit(world: World, process: Process, one: Request, granted: Charge): void {
  one.charge = granted;
  one.waiter = null;
  say(world, `request ${one.id} is let through`);
  const booked = one.under.map((index, i): string | null => {
    const holding = granted.held[i] ?? null;
    if (holding === null) return null;
    const local = process.limits[index]!;
    const part = partsOf(local).find(each => each.holding === holding);
    if (part?.window == null) throw new Violation(`request ${one.id} has units of no window`);
    const { window } = part;
    if (part !== local.current)
      throw new Violation(`request ${one.id} has units of a window that is not the present one`);
    if (window.ends !== null && storeTime(world) >= window.ends && !world.isSkewed && process.state === 'runs') {
      throw new Violation(`request ${one.id} is charged to a window that has ended`);
    }
    const key = ghostKey(world, index, window.label);
    const ghost = ghostOf(world, index, window.label)!;
    ghost.charged += one.cost;
    ghost.using[process.name] = (ghost.using[process.name] ?? 0) + one.cost;
    ghost.admitted.push({ at: world.time, request: one.id, units: one.cost });
    interval(world, ghost);
    return key;
  });
  one.booked = booked;
  one.generations = booked.map(key => (key === null ? 0 : world.ghosts[key]!.generation));
}

const ghostKey = (world: World, index: number, label: number): string =>
  `${world.setting.limits[index]!.subject} ${ledgerAt(world, index)} ${label}`;

const ledgerAt = (world: World, index: number): string => world.processes[0]!.limits[index]!.ledger;

function ghostOf(world: World, index: number, label: number | null): Ghost | null {
  if (label === null) return null;
  const key = ghostKey(world, index, label);
  world.ghosts[key] ??= {
    limit: index,
    generation: 0,
    charged: 0,
    bound: capacityOf(world.definitions[index]!),
    using: {},
    settled: {},
    lapsed: {},
    admitted: [],
  };
  return world.ghosts[key];
}

/** What a bucket lets through in any interval is at most what it holds and what drips in meanwhile. */
function interval(world: World, ghost: Ghost): void {
  const limit = world.definitions[ghost.limit]!;
  if (limit.algorithm !== 'bucket' || ghost.bound > capacityOf(limit) || world.hasLost || world.version > 1) return;
  const pace = limit.per === 'lifetime' ? 0 : limit.max / paceMs(limit.per);
  let units = 0;
  for (let i = ghost.admitted.length - 1; i >= 0; i--) {
    const from = ghost.admitted[i]!;
    units += from.units;
    const most = limit.burst + pace * (world.time - from.at) + 1e-6;
    // A clock that was set forward has let more drip in.
    if (units > most && !world.isSkewed) throw new Violation(`a bucket lets ${units} units through, at most ${most}`);
  }
}

function finish(world: World, process: Process, one: Request, spent: number): true {
  settleCharge(one.charge!, spent);
  process.requests = process.requests.filter(each => each !== one);
  for (const [i, key] of one.booked.entries()) {
    if (key === null) continue;
    const ghost = world.ghosts[key]!;
    ghost.settled[process.name] = (ghost.settled[process.name] ?? 0) + spent;
    ghost.using[process.name]! -= one.cost - spent;
    if (ghost.generation === one.generations[i]) ghost.charged -= one.cost - spent;
    if (spent === 0) ghost.admitted = ghost.admitted.filter(({ request }) => request !== one.id);
  }
  say(world, `request ${one.id} of ${process.name} is ${spent === 0 ? 'refunded' : 'over'}`);
  return serveAll(world, process);
}

function giveUp(world: World, process: Process, one: Request): true {
  const { waiter } = one;
  const now = clocks(world, process);
  const local = waiter!.limits[waiter!.held.length]!;
  outcomes(world, process, abandon(waiter!, now));
  if (local.waiters.includes(waiter!)) throw new Violation('a request that gave up still waits');
  process.requests = process.requests.filter(each => each !== one);
  return true;
}

function serveAll(world: World, process: Process): true {
  for (const local of process.limits) outcomes(world, process, serve(local, clocks(world, process)));
  return true;
}

function outcomes(world: World, process: Process, served: readonly Served[]): void {
  for (const { waiter, outcome } of served) {
    const one = process.requests.find(each => each.waiter === waiter);
    if (one === undefined) throw new Violation('somebody is served who does not wait');
    if (typeof outcome === 'object') {
      admit(world, process, one, outcome);
    } else {
      say(world, `request ${one.id} is ${outcome}`);
      process.requests = process.requests.filter(each => each !== one);
      one.waiter = null;
    }
  }
}

// ---- store and network ----------------------------------------------------------------------------------------------

const maxAsks = 6;

function ask(world: World, process: Process, which: number, law: Rules): boolean {
  const now = clocks(world, process);
  const subject = which % world.subjects.length;
  if (process.asks.length >= maxAsks) return false;
  const waiters = process.requests.flatMap(({ waiter }) => waiter ?? []);
  const asked: Asked[] = [];
  const claims: LimitQuestion['claims'][number][] = [];
  process.limits.forEach((local, i) => {
    if (world.setting.limits[i]!.subject !== subject) return;
    for (const part of partsOf(local)) {
      const said = law.question(local, part, process.name, now, waiters);
      if (said === null) continue;
      asked.push({ local, part, claim: said.claim });
      claims.push(Object.freeze(said));
      sent(local, part);
    }
  });
  if (claims.length === 0) return false;
  const id = world.ids++;
  process.asks.push({ id, sentAt: now, asked });
  const limits = process.limits
    .filter((_, i) => world.setting.limits[i]!.subject === subject)
    .map(({ limit }) => limit);
  const live = new Set(world.processes.filter(({ isListed }) => isListed).map(({ name }) => name));
  const question = Object.freeze({ version: process.version, limits, claims });
  const roll = Object.freeze({ at: storeTime(world), live });
  world.messages.push(Object.freeze({ kind: 'question', from: process.name, ask: id, subject, question, roll }));
  return say(
    world,
    `${process.name} asks (${id}): ${claims.map(({ claim, label }) => claimInWords(claim, label)).join(', ')}`,
  );
}

const claimInWords = ({ number, granted, returned, spent, back, need, want, recalled }: Claim, label: number | null) =>
  `number ${number}, has ${granted}-${returned}, spent ${spent}` +
  `${back > 0 ? `, gives back ${back}` : ''}${need > 0 ? `, needs ${need}` : ''}${want > 0 ? `, wants ${want}` : ''}` +
  `${recalled > 0 ? `, after recall ${recalled}` : ''}${label === null ? '' : ` (window ${label - start})`}`;

function deliver(world: World, message: Message, isMuted: boolean, law: Rules): boolean {
  if (message.kind === 'question') return execute(world, message, isMuted, law);
  const process = world.processes.find(({ name, state }) => name === message.to && state !== 'dead');
  if (process === undefined) return say(world, `${message.to} is dead and hears nothing`);
  if (process.state === 'paused') {
    world.messages.push(message);
    return false;
  }
  if (message.kind !== 'answer') {
    process.limits.forEach((local, i) => {
      if (world.setting.limits[i]!.subject !== message.subject || local.ledger !== message.ledger) return;
      noticed(local, message.kind, message.label, message.recall);
    });
    say(world, `${process.name} hears of ${message.kind}`);
    return serveAll(world, process);
  }
  const index = process.asks.findIndex(({ id }) => id === message.ask);
  if (index === -1) return say(world, `${process.name} has no use for answer ${message.ask}`);
  const { answer } = message;
  const [one] = process.asks.splice(index, 1);
  for (const [i, { local, part, claim }] of one!.asked.entries()) {
    judgeRefusal(world, process, local, claim, answer.answers[i]!);
    law.answered(local, part, claim, one!.sentAt, message.answer.answers[i]!, answer.now - answer.behind);
  }
  const heard = message.answer.answers.map(each =>
    each === null
      ? 'nothing known'
      : `${each.answer.verdict}, number ${each.answer.number}, has ${each.answer.granted}-${each.answer.returned}, ${each.answer.remaining} left`,
  );
  say(world, `${process.name} hears (${message.ask}): ${heard.join(', ')}`);
  return serveAll(world, process);
}

function execute(world: World, message: Message & { kind: 'question' }, isMuted: boolean, law: Rules): true {
  const asker = world.processes.find(({ name }) => name === message.from);
  if (!world.isUp) {
    const one = asker?.asks.find(({ id }) => id === message.ask);
    if (asker !== undefined && one !== undefined && asker.state === 'runs') {
      asker.asks = asker.asks.filter(each => each !== one);
      for (const { part } of one.asked) unanswered(part);
    }
    return say(world, `question ${message.ask} finds no store`);
  }
  const subject = world.subjects[message.subject]!;
  const circumstances = { storeTime: storeTime(world), roll: message.roll, processes: world.setting.processes };
  const find = (ledger: string, label: number): Ledger | null =>
    subject.ledgers[keyOf(message.subject, ledger, label)] ?? null;
  const { head, entries, answer } = law.answer(subject.head, find, message.question, circumstances);
  world.subjects[message.subject] = {
    head: Object.freeze(head),
    ledgers: {
      ...subject.ledgers,
      ...Object.fromEntries(
        entries.map(({ ledger, label, state }) => [keyOf(message.subject, ledger, label), Object.freeze(state)]),
      ),
    },
  };
  for (const { ledger, label } of entries) {
    const index = world.setting.limits.findIndex(
      (each, i) => each.subject === message.subject && ledgerAt(world, i) === ledger,
    );
    ghostOf(world, index, label);
  }
  say(world, `the store does ${message.ask}${isMuted ? ', and its answer is lost' : ''}`);
  message.question.claims.forEach(({ ledger }, i) => {
    const each = answer.answers[i];
    if (each == null) return;
    const { label } = each.window;
    const { recall, verdict, news, heard } = each.answer;
    if (verdict === 'waiting') notify(world, 'recall', message.subject, ledger, label, recall, message.from);
    if (news) notify(world, 'news', message.subject, ledger, label, recall, '');
    if (heard) notify(world, 'heard', message.subject, ledger, label, recall, '');
  });
  if (!isMuted && asker !== undefined) {
    world.messages.push(
      Object.freeze({ kind: 'answer', to: message.from, ask: message.ask, answer: Object.freeze(answer) }),
    );
  }
  return true;
}

function notify(
  world: World,
  kind: 'recall' | 'heard' | 'news',
  subject: number,
  ledger: string,
  label: number,
  recall: number,
  but: string,
): void {
  for (const { name, state } of world.processes) {
    if (state === 'dead' || name === but) continue;
    world.messages.push(Object.freeze({ kind, to: name, subject, ledger, label, recall }));
  }
}

function resetLimit(world: World, index: number, law: Rules): boolean {
  const number = world.setting.limits[index]!.subject;
  const subject = world.subjects[number]!;
  if (subject.head === null) return false;
  const head = headAfter(subject.head, { version: -1, limits: [] }, storeTime(world));
  const limit = world.definitions[index]!;
  const { label } = windowAt(limit, head.clock);
  const key = keyOf(number, ledgerAt(world, index), label);
  const ledger = subject.ledgers[key];
  if (ledger === undefined) return false;
  world.subjects[number] = {
    head: Object.freeze(head),
    ledgers: { ...subject.ledgers, [key]: Object.freeze(law.reset(ledger, limit, head.clock)) },
  };
  const ghost = ghostOf(world, index, label)!;
  ghost.generation++;
  ghost.charged = 0;
  ghost.admitted = [];
  // What a store has lost it cannot carry over.
  const lost = world.hasLost ? ghost.bound : 0;
  ghost.bound = Math.max(capacityOf(limit), outstanding(world.subjects[number]!.ledgers[key]!), lost);
  notify(world, 'news', number, ledgerAt(world, index), label, ledger.recall, '');
  return say(world, `limit ${index} is reset`);
}

function outstanding(ledger: Ledger): number {
  const { spent, burned, leased } = sums(ledger);
  return spent + burned + leased;
}

/** Another maximum, in the store before whoever asked for it is answered. */
function define(world: World, index: number, max: number): boolean {
  const before = world.definitions[index]!;
  if (before.max === max) return false;
  world.version++;
  const limit = { ...before, max, burst: max };
  world.definitions = world.definitions.with(index, limit);
  world.setting.limits.forEach(({ subject: number }) => {
    const limits = world.definitions.filter((_, i) => world.setting.limits[i]!.subject === number);
    const subject = world.subjects[number]!;
    const head = headAfter(subject.head, { version: world.version, limits }, storeTime(world));
    world.subjects[number] = { ...subject, head: Object.freeze(head) };
  });
  const number = world.setting.limits[index]!.subject;
  for (const [key, ghost] of Object.entries(world.ghosts)) {
    if (ghost.limit !== index) continue;
    const ledger = world.subjects[number]!.ledgers[key];
    const total = ledger === undefined ? 0 : outstanding(ledger) + (limit.algorithm === 'bucket' ? ledger.level : 0);
    ghost.bound = Math.max(capacityOf(limit), total, ghost.charged);
    const label = Number(key.split(' ').at(-1));
    notify(world, 'news', number, ledgerAt(world, index), label, ledger?.recall ?? 0, '');
  }
  return say(world, `the maximum of limit ${index} is ${max} from now on`);
}

/** The store loses what it has acknowledged since it last reached its disk. What it had granted may be granted again. */
function rollBack(world: World): boolean {
  for (const [key, ghost] of Object.entries(world.ghosts)) {
    const { subject } = world.setting.limits[ghost.limit]!;
    const now = world.subjects[subject]!.ledgers[key];
    const then = world.kept[subject]!.ledgers[key];
    if (now === undefined) continue;
    for (const [name, { granted, returned }] of Object.entries(now.leases)) {
      const old = then?.leases[name];
      ghost.bound += Math.max(0, granted - (old?.granted ?? 0));
      // What it believes to be out may have been given back, or be given to others as well.
      ghost.bound += Math.abs(returned - (old?.returned ?? 0));
    }
    ghost.bound += ghost.generation > (then?.generation ?? 0) ? Math.abs(now.waived) : 0;
  }
  world.subjects = world.kept.map(snapshot);
  world.hasLost = true;
  return say(world, 'the store loses what its disk does not have');
}

/** Who has nothing idle that a request waits for. */
function note(world: World): void {
  for (const process of world.processes) {
    for (const one of process.requests) {
      const place = one.waiter?.held.length;
      if (place === undefined || place >= one.under.length) continue;
      const index = one.under[place]!;
      const label = process.limits[index]!.current.window?.label;
      for (const other of world.processes) {
        const parts = partsOf(other.limits[index]!).filter(
          ({ window }) => label === undefined || window?.label === label,
        );
        if (parts.every(({ holding }) => idleOf(holding) === 0)) one.bare[place]![other.name] = true;
      }
    }
  }
}

/** A request is refused only when nobody else who is there has units lying idle. */
function judgeRefusal(
  world: World,
  process: Process,
  local: LocalLimit,
  claim: Claim,
  answer: LimitAnswer['answers'][number],
): void {
  const first = local.waiters[0];
  if (answer?.answer.verdict !== 'refused' || first?.cost !== claim.need || local.limit.algorithm === 'bucket') return;
  const one = process.requests.find(({ waiter }) => waiter === first)!;
  const index = one.under[first.held.length]!;
  const key = ghostKey(world, index, answer.window.label);
  const ledger = world.subjects[world.setting.limits[index]!.subject]!.ledgers[key];
  for (const { name, state } of world.processes) {
    const isThere = state !== 'dead' && name !== process.name && ledger?.leases[name]?.gone === 0;
    if (isThere && one.bare[first.held.length]![name] !== true && !world.hasLost && !world.hasBeenGone[name]) {
      throw new Violation(`request ${one.id} is refused, and ${name} has had idle units all the time`);
    }
  }
}

// ---- what is promised -----------------------------------------------------------------------------------------------

function judge(world: World): void {
  for (const [key, ghost] of Object.entries(world.ghosts)) {
    const limit = world.definitions[ghost.limit]!;
    const isBucket = limit.algorithm === 'bucket';
    if (!isBucket && ghost.charged > ghost.bound && !(world.hasLost && world.version > 1)) {
      throw new Violation(`${ghost.charged} units of ${key} are charged, at most ${ghost.bound}`);
    }
    const { subject } = world.setting.limits[ghost.limit]!;
    const ledger = world.subjects[subject]!.ledgers[key];
    if (ledger === undefined) continue;
    const { spent, leased, burned } = sums(ledger);
    const remaining = remainingOf(ledger, limit);
    // A lost definition: nobody can say what the maximum is until all know the new one.
    if (world.hasLost && world.version > 1) continue;
    const total = (isBucket ? ledger.level : spent) + burned + leased + remaining;
    const capacity = capacityOf(limit);
    const isWhole = isBucket ? total <= capacity + 1e-6 && total > capacity - 1 - 1e-6 : total === capacity;
    const isOver =
      remaining === 0 &&
      total > capacity &&
      (world.hasFolded || world.isOverdrawn || ghost.bound >= Math.floor(total - 1e-6));
    if (!isWhole && !isOver) {
      throw new Violation(
        `${key}: ${spent} spent, ${burned} burned, ${leased} leased and ${remaining} left of ${capacity}`,
      );
    }
    for (const [name, lease] of Object.entries(ledger.leases)) {
      const out = outOf(lease);
      if (out < 0) throw new Violation(`${name} has ${out} units out of ${key}`);
      // A lease that was summed up begins anew, and what was used under the former one is not told apart here.
      if (world.hasLost || world.hasFolded) continue;
      const using = ghost.using[name] ?? 0;
      const settled = ghost.settled[name] ?? 0;
      if (lease.spent > settled)
        throw new Violation(`${name} has spent ${settled} of ${key}, the store believes ${lease.spent}`);
      if (isBucket && lease.gone > 0) ghost.lapsed[name] = true;
      const isLapsed = ghost.lapsed[name] === true;
      if (!isLapsed && using - lease.spent > out) {
        throw new Violation(`${name} uses ${using} of ${key}, of which ${lease.spent} are reported and ${out} are out`);
      }
    }
  }
  for (const process of world.processes) if (process.state !== 'dead') judgeProcess(process);
}

function judgeProcess(process: Process): void {
  const byHolding = new Map<Holding, number>();
  for (const one of process.requests) {
    for (const holding of one.charge?.held ?? one.waiter?.held ?? []) {
      if (holding !== null) byHolding.set(holding, (byHolding.get(holding) ?? 0) + one.cost);
    }
    if (one.charge !== null || one.waiter === null) continue;
    const place = one.waiter.held.length;
    const local = one.waiter.limits[place];
    if (local === undefined || !local.waiters.includes(one.waiter))
      throw new Violation(`request ${one.id} waits nowhere`);
  }
  for (const local of process.limits) {
    for (const { holding } of partsOf(local)) {
      if (holding.flying !== (byHolding.get(holding) ?? 0)) {
        throw new Violation(
          `${process.name}: ${holding.flying} units are under way, requests have ${byHolding.get(holding) ?? 0}`,
        );
      }
      if (holding.offered < 0 || holding.spent < 0 || idleOf(holding) < 0)
        throw new Violation(`${process.name}: below zero`);
    }
  }
}

export const isDead = ({ state }: Process): boolean => state === 'dead';
export { tickMs };
