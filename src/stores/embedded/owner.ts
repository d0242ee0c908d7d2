import type { DatabaseSync } from 'node:sqlite';
import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { openDatabase } from './database.ts';
import { StoreInUse, StoreVersionUnknown } from './faults.ts';
import { makeHandlers } from './handlers.ts';
import type { FromOwner, OwnerSettings, ToOwner } from './messages.ts';
import { Scheduler } from './scheduler.ts';
import { readMeta } from './schema.ts';

/**
 * The thread that owns the store's file. SQLite blocks, for an fsync above all, so it does that here, where nobody
 * is kept from working. An error that nothing here handles ends the thread: the other side starts a new one.
 */
function serve(port: MessagePort, db: DatabaseSync, settings: OwnerSettings): void {
  const scheduler = new Scheduler(db, makeHandlers(db, settings), replies => {
    port.postMessage({ kind: 'replies', replies } satisfies FromOwner);
  });
  let scheduled = false;
  let closing = false;

  // Between two turns the port is emptied, so that a turn knows everything that has arrived.
  const schedule = (): void => {
    if (scheduled) return;
    scheduled = true;
    setImmediate(() => {
      scheduled = false;
      if (scheduler.turn()) schedule();
      else if (closing) close();
    });
  };
  const close = (): void => {
    scheduler.end();
    db.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    db.close();
    port.close();
  };

  port.on('message', (message: ToOwner) => {
    if (message.kind === 'call') scheduler.accept(message);
    else if (message.kind === 'cancel') scheduler.cancel(message.id);
    else closing = true;
    schedule();
  });
}

/** The file, if it is the store that it has to be. */
function open({ folder, identity }: OwnerSettings): { readonly db: DatabaseSync; readonly identity: string } {
  const db = openDatabase(folder, identity === null);
  const found = readMeta(db, 'identity');
  if (identity === null || identity === found) return { db, identity: found };
  db.close();
  throw new Error('another store has taken its place');
}

function refusal(error: unknown): FromOwner {
  const why = error instanceof Error ? error.message : String(error);
  if (error instanceof StoreInUse) return { kind: 'refused', reason: 'in_use', why };
  if (error instanceof StoreVersionUnknown) return { kind: 'refused', reason: 'version', why: error.why };
  return { kind: 'refused', reason: 'failed', why };
}

if (parentPort === null) throw new Error('this is the main module of a worker thread');
const settings = workerData as OwnerSettings;
try {
  const { db, identity } = open(settings);
  serve(parentPort, db, settings);
  parentPort.postMessage({ kind: 'opened', identity } satisfies FromOwner);
} catch (error) {
  parentPort.postMessage(refusal(error));
}
