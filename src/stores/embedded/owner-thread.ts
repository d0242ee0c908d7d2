import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { StoreUnavailable } from '../../errors.ts';
import { StoreInUse, StoreVersionUnknown } from './faults.ts';
import type { FromOwner, OwnerSettings, Reply, ToOwner } from './messages.ts';

/** A running owner thread, seen from the other side. */
export interface OwnerThread {
  readonly identity: string;
  post(message: ToOwner): void;
  /** Ends it where it stands. The file stays whole: to SQLite this is a crash. */
  terminate(): void;
}

export interface OwnerListener {
  replies(replies: readonly Reply[]): void;
  /** It is gone, and its lock with it. Called once, after an `OwnerThread` was handed out. */
  ended(cause: Error): void;
}

export type StartOwner = (settings: OwnerSettings, listener: OwnerListener) => Promise<OwnerThread>;

/**
 * Starts the thread. Resolves when the file is open and its own; rejects with `StoreInUse`, `StoreVersionUnknown` or
 * `StoreUnavailable`.
 */
export const startOwner: StartOwner = (settings, listener) =>
  new Promise((resolve, reject) => {
    // The sources run as they are, and compiled: the neighbour has the extension of this file.
    const file = new URL(`./owner${extname(import.meta.url)}`, import.meta.url);
    const worker = new Worker(file, { workerData: settings, name: 'store' });
    let opened = false;
    let refused: Error | null = null;
    let cause = new Error('it was ended');

    worker.on('message', (message: FromOwner) => {
      switch (message.kind) {
        case 'replies':
          listener.replies(message.replies);
          break;
        case 'refused':
          refused = refusal(settings.folder, message);
          break;
        case 'opened':
          opened = true;
          resolve({
            identity: message.identity,
            post: call => worker.postMessage(call),
            terminate: () => void worker.terminate(),
          });
      }
    });
    worker.on('error', error => {
      cause = error instanceof Error ? error : new Error(String(error));
    });
    worker.on('exit', () => {
      const why = `the store in ${settings.folder} cannot be opened: ${cause.message}`;
      if (opened) listener.ended(cause);
      else reject(refused ?? new StoreUnavailable(why, { sent: false, cause }));
    });
  });

function refusal(folder: string, { reason, why }: FromOwner & { readonly kind: 'refused' }): Error {
  switch (reason) {
    case 'in_use':
      return new StoreInUse(folder);
    case 'version':
      return new StoreVersionUnknown(folder, why);
    case 'failed':
      return new StoreUnavailable(`the store in ${folder} cannot be opened: ${why}`);
  }
}
