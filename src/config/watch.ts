import { realpath, stat } from 'node:fs/promises';
import { digestFiles } from './files.ts';

/** What a load read: the files, and what they held together. */
export interface Watched {
  readonly files: readonly string[];
  readonly contents: string;
}

/** Calls `tick` every so often; returns how to stop. */
export type Every = (milliseconds: number, tick: () => Promise<void>) => () => void;

export interface ConfigWatch {
  /** Goes on with the files of another load. */
  follow(watched: Watched): void;
  close(): void;
}

const pollMs = 1000;

const byTimer: Every = (milliseconds, tick) => {
  const timer = setInterval(() => void tick(), milliseconds);
  timer.unref();
  return () => clearInterval(timer);
};

/**
 * Calls back once for each change of what the files hold. Their state is polled: events of the file system are lost
 * on network mounts, and a mounted Kubernetes volume changes by a swap of the `..data` link above its files.
 */
export function watchConfig(watched: Watched, onChange: () => void, every: Every = byTimer): ConfigWatch {
  let current = watched;
  /** State of the files when their contents were looked at last. */
  let seen: string | null = null;
  let busy = false;
  let closed = false;

  const poll = async (): Promise<void> => {
    const { files } = current;
    const state = (await Promise.all(files.map(stateOf))).join('\n');
    if (state === seen) return;
    const contents = await digestFiles(files);
    // Another load came in between: what was just read belongs to the one before.
    if (closed || files !== current.files) return;
    seen = state;
    if (contents === current.contents) return;
    current = { files, contents };
    onChange();
  };

  const stop = every(pollMs, async () => {
    if (busy || closed) return;
    busy = true;
    try {
      await poll();
    } finally {
      busy = false;
    }
  });

  return {
    follow: next => {
      current = next;
      seen = null;
    },
    close: () => {
      closed = true;
      stop();
    },
  };
}

/** Changes whenever a file may have changed: its place behind links, identity, size or time. */
async function stateOf(file: string): Promise<string> {
  try {
    const place = await realpath(file);
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(place, { bigint: true });
    return [place, dev, ino, size, mtimeNs, ctimeNs].join(' ');
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
  }
}
