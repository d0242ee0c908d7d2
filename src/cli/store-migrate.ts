import {
  checked,
  type Migrated,
  migrate as move,
  type OpenSource,
  openSource,
  recordsOf,
  StoreInUse,
} from '../app-store.ts';
import { type Call, type Command, UsageError } from './command.ts';
import { countsText, failed } from './store-backup.ts';
import { askOwner, ownerOfFolder, withOptions } from './store-owner.ts';
import { bytesOf, describe, type Place, placeOf } from './store-place.ts';
import { rows } from './table.ts';
import { clientOptions } from './target.ts';

const { url, 'key-file': keyFile, ca } = clientOptions;

export const migrate: Command = {
  summary: 'Fill a new store with everything of another one, or of a backup',
  usage: '--from PLACE --to PLACE [--url URL] [--key-file FILE] [--ca FILE] [--json]',
  options: {
    from: {
      type: 'string',
      value: 'PLACE',
      about: 'What is copied: a configuration, a folder, redis://host:port/database, or a backup (default: none)',
    },
    to: {
      type: 'string',
      value: 'PLACE',
      about: 'Where the new store is made: a configuration, a folder, redis://host:port/database (default: none)',
    },
    url,
    'key-file': keyFile,
    ca,
  },
  async run(call) {
    const { options, io } = call;
    const [from, to] = [options.text('from'), options.text('to')];
    if (from === undefined || to === undefined) throw new UsageError('store migrate needs --from PLACE and --to PLACE');
    const source = await placeOf(from, '--from', io);
    const target = await placeOf(to, '--to', io);
    if (target.kind === 'backup') throw new UsageError(`--to ${to} is a backup; postern store backup writes those`);
    const opened = await open(source, call);
    try {
      const moved = await move(opened.records, target.settings);
      await report(call, moved, [describe(source, from), describe(target, to)], opened.store);
      return 0;
    } catch (error) {
      throw failed(error);
    } finally {
      await opened.store?.close();
    }
  },
};

interface Opened {
  readonly records: ReturnType<typeof recordsOf>;
  /** The store itself; null where somebody else or a file tells of it. */
  readonly store: OpenSource | null;
}

async function open(place: Place, call: Call): Promise<Opened> {
  if (place.kind === 'backup') return { records: recordsOf(bytesOf(place.file)), store: null };
  try {
    const store = await openSource(place.settings);
    return { records: store.records(), store };
  } catch (error) {
    if (!(error instanceof StoreInUse)) throw failed(error);
    return { records: recordsOf(await fromOwner(place, call)), store: null };
  }
}

/** Its owner serves on: the copy is of the moment at which it was asked. */
async function fromOwner(place: Extract<Place, { kind: 'store' }>, call: Call): Promise<AsyncIterable<Uint8Array>> {
  const { io } = call;
  const { settings, file } = place;
  const folder = settings.kind === 'embedded' ? settings.path : '';
  const config = file === null ? [] : [{ name: 'config', value: file } as const];
  const asked =
    file === null ? ownerOfFolder(call, folder) : { options: withOptions(call, ['url', 'key-file', 'ca'], config), io };
  return checked(await askOwner(asked)).bytes;
}

async function report(
  { options, io }: Call,
  { identity, counts, position }: Migrated,
  [from, to]: readonly [string, string],
  store: OpenSource | null,
): Promise<void> {
  const changes = store === null || position === null ? 0 : await store.changesSince(position).catch(() => null);
  if (options.flag('json')) {
    io.out(JSON.stringify({ from, to, identity, records: counts, changes_since: changes }));
  } else {
    io.out(
      rows([
        ['from', from],
        ['to', to],
        ['identity', identity],
        ['copied', countsText(counts)],
      ]),
    );
  }
  if (changes === 0) return;
  const many = changes === null ? 'the source may have changed' : `${changes} changes were made in the source`;
  io.err(
    `warning: ${many} while it was copied; they are not in the copy: stop those who serve from it, and copy again`,
  );
}
