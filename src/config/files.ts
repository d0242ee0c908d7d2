import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { readUtf8 } from '../core/body-text.ts';
import type { Problems } from './problems.ts';

/** A file as it was found. */
type Reading =
  | { readonly ok: true; readonly data: Buffer; readonly worldReadable: boolean }
  | { readonly ok: false; readonly why: string };

/** Most bytes of one file. */
const limit = 1024 * 1024;

/** Reads the files that a configuration consists of, and remembers them for watching. */
export class Files {
  readonly #folder: string;
  readonly #problems: Problems;
  readonly #read = new Map<string, Promise<Reading>>();

  /** Relative paths start at `folder`. */
  constructor(folder: string, problems: Problems) {
    this.#folder = folder;
    this.#problems = problems;
  }

  resolve(name: string): string {
    return path.resolve(this.#folder, name);
  }

  /** The contents of a file that a key names; null after a problem. A secret that everybody may read is warned of. */
  async contents(name: string, key: string, secret = false): Promise<Buffer | null> {
    const file = this.resolve(name);
    let reading = this.#read.get(file);
    if (reading === undefined) {
      reading = readBounded(file);
      this.#read.set(file, reading);
    }
    const found = await reading;
    if (!found.ok) {
      this.#problems.add(key, `${file} ${found.why}; allowed: a file that can be read`);
      return null;
    }
    if (secret && found.worldReadable) this.#problems.warn(key, `${file} can be read by everybody: chmod o-r`);
    return found.data;
  }

  /** Text of a file; null after a problem. */
  async text(name: string, key: string): Promise<string | null> {
    const data = await this.contents(name, key);
    if (data === null) return null;
    const text = decode(data);
    if (text === null) this.#problems.add(key, `${this.resolve(name)} is not UTF-8; allowed: text in UTF-8`);
    return text;
  }

  /** A secret, less one newline at its end. */
  async secret(name: string, key: string): Promise<Buffer | null> {
    const data = await this.contents(name, key, true);
    if (data === null) return null;
    const end = data.at(-1) !== 0x0a ? data.length : data.at(-2) === 0x0d ? data.length - 2 : data.length - 1;
    return data.subarray(0, end);
  }

  /** Every file that was read, or could not be. */
  get paths(): readonly string[] {
    return [...this.#read.keys()];
  }

  /** What the files held, as one digest. */
  async digest(): Promise<string> {
    return digestOf(await Promise.all([...this.#read].map(async ([file, reading]) => [file, await reading] as const)));
  }
}

/** What files hold now, as one digest, comparable with the digest of a load. */
export async function digestFiles(paths: readonly string[]): Promise<string> {
  return digestOf(await Promise.all(paths.map(async file => [file, await readBounded(file)] as const)));
}

function digestOf(files: readonly (readonly [string, Reading])[]): string {
  const hash = createHash('sha256');
  for (const [file, reading] of files) {
    const content = reading.ok ? createHash('sha256').update(reading.data).digest('hex') : 'unreadable';
    hash.update(JSON.stringify([file, content]));
  }
  return hash.digest('hex');
}

/** Reads up to the limit, whatever the size is said to be: the path may name a pipe. */
async function readBounded(file: string): Promise<Reading> {
  try {
    await using handle = await open(file, 'r');
    const stats = await handle.stat();
    const chunks: Buffer[] = [];
    let size = 0;
    for (;;) {
      const { buffer, bytesRead } = await handle.read(Buffer.allocUnsafe(64 * 1024));
      if (bytesRead === 0) break;
      size += bytesRead;
      if (size > limit) return { ok: false, why: 'is larger than 1 MiB' };
      chunks.push(buffer.subarray(0, bytesRead));
    }
    return { ok: true, data: Buffer.concat(chunks), worldReadable: stats.isFile() && (stats.mode & 0o004) !== 0 };
  } catch (error) {
    return { ok: false, why: reasonOf(error) };
  }
}

/** Editors put a byte order mark at the beginning, which is not of the text. */
const decode = (data: Buffer): string | null => readUtf8(data)?.replace(/^\ufeff/, '') ?? null;

function reasonOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be read: permission denied';
  if (code === 'EISDIR') return 'is a folder';
  return `cannot be read: ${code}`;
}
