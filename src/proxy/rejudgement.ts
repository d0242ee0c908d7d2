import type { Decision } from '../core/decide.ts';
import { type Fall, hasLapsed, standingOf } from '../core/standing.ts';
import { hasRole, type Millis, type Subject } from '../core/token.ts';
import type { FeedEvent } from '../ports/token-store.ts';

/** An answer under way, as its token sees it. */
export interface Judged {
  /** Whose it is, as last judged; null when nobody's. */
  subject: Subject | null;
  /** Its route is in shadow mode. */
  readonly inShadow: boolean;
  /** The decision as it would be made now. */
  rejudge(): Promise<Decision>;
  /** Ends it, as soon as it can be. */
  fall(by: Fall): void;
}

/** Look-ups at a time: after a gap every stream is asked for, and requests need the store, too. */
const maxAsking = 32;

const ticksOfASecond = 10;

/**
 * Judges answers under way again. Changes are collected and held against what is open ten times a second, so that a
 * flood of them costs one walk; once a second it is looked who has expired, and asked again what was not answered.
 */
export class Rejudgement {
  readonly #open: ReadonlySet<Judged>;
  readonly #wall: () => Millis;
  /** Ids of what has changed. */
  readonly #changed: Readonly<Record<FeedEvent['kind'], Set<string>>> = {
    token: new Set(),
    account: new Set(),
    role: new Set(),
  };
  #all = false;
  /** To be asked for. One that is being asked for may be in here as well: its answer may be older than the change. */
  readonly #owed = new Set<Judged>();
  readonly #asking = new Set<Judged>();
  readonly #unanswered = new Set<Judged>();
  /** Lapsed, and let go on by shadow mode: with the subject that was judged so. */
  readonly #outlived = new WeakMap<Judged, Subject>();
  #ticks = 0;

  constructor(open: ReadonlySet<Judged>, wall: () => Millis) {
    this.#open = open;
    this.#wall = wall;
  }

  /** Null: anything may have changed. */
  changed(events: readonly FeedEvent[] | null): void {
    if (this.#open.size === 0) return;
    if (events === null) this.#all = true;
    else for (const { kind, id } of events) this.#changed[kind].add(id);
  }

  /** A change may have overtaken the decision. */
  doubt(judged: Judged): void {
    this.#owed.add(judged);
  }

  /** Called ten times a second while anything is open, and once after. */
  tick(): void {
    if (this.#all || Object.values(this.#changed).some(({ size }) => size > 0)) this.#collect();
    this.#askNext();
    if (++this.#ticks % ticksOfASecond !== 0 && this.#open.size > 0) return;
    this.#expire();
    for (const judged of this.#unanswered) this.#owed.add(judged);
    this.#unanswered.clear();
    this.#askNext();
  }

  #collect(): void {
    for (const judged of this.#open) {
      if (judged.subject !== null && (this.#all || this.#concerns(judged.subject))) this.#owed.add(judged);
    }
    this.#all = false;
    for (const ids of Object.values(this.#changed)) ids.clear();
  }

  #concerns({ token, account }: Subject): boolean {
    const { token: tokens, account: owners, role: roles } = this.#changed;
    if (tokens.has(token.id) || (token.owner !== null && owners.has(token.owner))) return true;
    for (const role of roles) if (hasRole(account, role)) return true;
    return false;
  }

  /** By what is known: the store is not asked. A change on its way may have moved the end, and is waited for. */
  #expire(): void {
    const now = this.#wall();
    for (const judged of this.#open) {
      const { subject } = judged;
      if (subject === null || !hasLapsed(subject, now) || this.#asking.has(judged)) continue;
      // Shadow mode may let it go on: that is for the decision to say, once.
      if (!judged.inShadow && subject.token.mode !== 'shadow') judged.fall('expired');
      else if (this.#outlived.get(judged) !== subject) this.#owed.add(judged);
    }
  }

  #askNext(): void {
    for (const judged of this.#owed) {
      if (this.#asking.size >= maxAsking) return;
      if (this.#asking.has(judged)) continue;
      this.#owed.delete(judged);
      if (this.#open.has(judged)) void this.#ask(judged);
    }
  }

  async #ask(judged: Judged): Promise<void> {
    this.#asking.add(judged);
    try {
      const decision = await judged.rejudge();
      const standing = standingOf(decision);
      if (standing === 'unknown') this.#unanswered.add(judged);
      else if (standing === 'stands') this.#goesOn(judged, decision);
      else judged.fall(standing);
    } catch {
      // A fault of ours is no denial either.
      this.#unanswered.add(judged);
    }
    this.#asking.delete(judged);
    this.#askNext();
  }

  /** Whom shadow mode lets pass as nobody is still somebody whose changes matter: not all of them are let through. */
  #goesOn(judged: Judged, decision: Decision): void {
    judged.subject = subjectOf(decision);
    if (judged.subject !== null && hasLapsed(judged.subject, this.#wall())) this.#outlived.set(judged, judged.subject);
  }
}

/** Whose a decision is, whether or not the upstream is told. */
export const subjectOf = (decision: Decision): Subject | null =>
  decision.subject ?? (decision.kind === 'permit' ? (decision.shadowed?.subject ?? null) : null);
