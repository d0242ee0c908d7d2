import { ReplyError } from 'ioredis';
import { StoreUnavailable } from '../../errors.ts';

/** What is there cannot serve as a store, whatever is tried again: somebody has to act. The message says what to do. */
export class StoreUnfit extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'StoreUnfit';
  }
}

/** Nothing is answered from what took the place of the store, and nothing is written to it. */
export class StoreLost extends StoreUnavailable {}

/** The store is there, and has done nothing: it takes no writes from anybody now. */
export class WritesRefused extends StoreUnavailable {}

/**
 * Redis says what is wrong in the first word of an error. The rest of its text may quote arguments, and ioredis adds
 * all of them to the error object (documents, digests, the password of AUTH): only these words of ours go on.
 */
const words: Readonly<Record<string, string>> = {
  LOST: 'it is not the store that was opened: it is empty, or another has taken its place',
  HALF: 'a migration into it is under way or was broken off; it begins anew when postern store migrate is run again',
  TORN: 'its keys contradict each other: postern store check tells how',
  OOM: 'it is out of memory',
  READONLY: 'it is read-only',
  LOADING: 'it is still loading its data',
  MASTERDOWN: 'it has lost its master',
  MISCONF: 'it cannot write to its disk',
  NOREPLICAS: 'it has too few replicas to accept writes',
  CLUSTERDOWN: 'its cluster is down',
  MOVED: 'its keys are at another node',
  ASK: 'its keys are moving to another node',
  TRYAGAIN: 'its keys are moving to another node',
  NOAUTH: 'it asks for a password',
  WRONGPASS: 'it does not accept the user name or password',
  NOPERM: 'its user lacks a permission',
  BUSY: 'it is busy with a script',
  UNBLOCKED: 'it ended a waiting read',
};

/** Said of a command before it has done anything: what was asked for has certainly not happened. */
const untouched = new Set(Object.keys(words).filter(code => code !== 'UNBLOCKED')).add('NOSCRIPT');

/**
 * Said by a node that would take writes if it could. READONLY and NOREPLICAS are not among them: a replica says the one,
 * a master that was cut off from its replicas the other, and then another node may be the master that takes the writes.
 */
const fromAnybody = new Set(['OOM', 'MISCONF']);

/** The first word of what Redis answered; null when the error is no answer of Redis. */
export function replyCode(error: unknown): string | null {
  if (!(error instanceof ReplyError)) return null;
  return /^[A-Z]+/.exec((error as Error).message)?.[0] ?? 'ERR';
}

/** An error without anything of the command that it belongs to. */
export function scrubbed(error: unknown): Error {
  const code = replyCode(error);
  if (code !== null) return new Error(words[code] ?? `it answered ${code}`);
  const { message, code: reason } = error as NodeJS.ErrnoException;
  const clean: NodeJS.ErrnoException = new Error(message);
  if (reason !== undefined) clean.code = reason;
  return clean;
}

/** What a failed command means to its caller. A mutation that may have happened is `sent`. */
export function unavailable(error: unknown, mutation: boolean): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error;
  const code = replyCode(error);
  if (code === null) return new StoreUnavailable('the connection to the store was lost', { sent: mutation });
  if (code === 'LOST') return new StoreLost(`the store cannot be used: ${words[code]}`);
  // An error in the middle of a script names the script: what it did before stays done.
  const before = untouched.has(code) && !(error as Error).message.includes(' script: ');
  const why = `the store cannot do it: ${scrubbed(error).message}`;
  if (before && fromAnybody.has(code)) return new WritesRefused(why);
  return new StoreUnavailable(why, { sent: mutation && !before });
}
