import type { Answer, Arguments, Operation } from './operations.ts';
import type { UsageRetention } from './usage.ts';

/** What the owner thread is started with. */
export interface OwnerSettings {
  readonly folder: string;
  /** The store that has to be there; null takes what is there, or makes one. */
  readonly identity: string | null;
  readonly feedEvents: number;
  readonly usageRetention: UsageRetention;
}

export interface CallOf<K extends Operation> {
  readonly kind: 'call';
  readonly id: number;
  readonly operation: K;
  readonly args: Arguments<K>;
  /** On `monotonic()`: from then on nobody waits for an answer, and the call must not be carried out. */
  readonly deadline: number;
}

export type Call = { readonly [K in Operation]: CallOf<K> }[Operation];

export type ToOwner =
  | Call
  /** Nobody waits for this call any more: ends the wait of a feed reader. */
  | { readonly kind: 'cancel'; readonly id: number }
  /** Finish what came before this, close the file, end. */
  | { readonly kind: 'close' };

export type Reply =
  | { readonly id: number; readonly kind: 'answer'; readonly answer: Answer<Operation> }
  | { readonly id: number; readonly kind: 'unavailable'; readonly why: string };

export type FromOwner =
  | { readonly kind: 'opened'; readonly identity: string }
  | { readonly kind: 'refused'; readonly reason: 'in_use' | 'version' | 'failed'; readonly why: string }
  | { readonly kind: 'replies'; readonly replies: readonly Reply[] };

/** Milliseconds on a clock that never steps and that all threads of a process share, unlike `performance.now`. */
export const monotonic = (): number => Number(process.hrtime.bigint()) / 1e6;
