import { createHash } from 'node:crypto';
import { type Counts, type Ending, ending, formatVersion, type Heading, oldestVersion, opening } from './format.ts';

/** It is no backup, not one of ours, or not whole. The message says which line, and what to do. */
export class BackupUnreadable extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'BackupUnreadable';
  }
}

/** Longest line, in bytes: a token has at most a few megabytes. */
const longestLine = 64 * 1024 * 1024;

export interface Line {
  /** From 1. */
  readonly number: number;
  readonly bytes: Buffer;
}

const broken = 'it is damaged or was cut off: use another copy';

/**
 * Takes a backup apart as its bytes come, and tells at its end whether it is whole. Whoever writes it on must not make it
 * look finished, and whoever fills a store with it must not finish that, before `end` has answered.
 */
export class BackupLines {
  readonly #hash = createHash('sha256');
  /** What is left of an unfinished line. */
  #rest: Buffer[] = [];
  #restBytes = 0;
  #lines = 0;
  #ending: Ending | null = null;
  #heading: Heading | null = null;

  /** Null before the first line is complete. */
  get heading(): Heading | null {
    return this.#heading;
  }

  /** Lines of records that are complete with these bytes. Throws `BackupUnreadable`. */
  take(bytes: Uint8Array): readonly Line[] {
    const found: Line[] = [];
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    let from = 0;
    for (let end = buffer.indexOf(10); end !== -1; end = buffer.indexOf(10, from)) {
      const piece = buffer.subarray(from, end + 1);
      const line = this.#rest.length === 0 ? piece : Buffer.concat([...this.#rest, piece]);
      this.#rest = [];
      this.#restBytes = 0;
      from = end + 1;
      this.#lines++;
      if (this.#isRecord(line)) found.push({ number: this.#lines, bytes: line });
    }
    if (from < buffer.length) {
      // Copied: whoever reads may use its memory again.
      this.#rest.push(Buffer.from(buffer.subarray(from)));
      this.#restBytes += buffer.length - from;
    }
    if (this.#lines === 0 && this.#restBytes >= opening.length) this.#refuseOther(Buffer.concat(this.#rest));
    if (this.#restBytes > longestLine) throw new BackupUnreadable(`line ${this.#lines + 1} has no end; ${broken}`);
    return found;
  }

  /** How many records of each kind there were. Throws when it is not whole, or not what it was. */
  end(): Counts {
    if (this.#lines === 0) throw new BackupUnreadable(`it is empty or no backup of Postern; ${broken}`);
    if (this.#ending === null || this.#restBytes > 0) {
      throw new BackupUnreadable(`it has no end after line ${this.#lines}; ${broken}`);
    }
    if (this.#ending.sha256 !== this.#hash.digest('hex')) {
      throw new BackupUnreadable(`its contents are not those that it was made with; ${broken}`);
    }
    return this.#ending.records;
  }

  #isRecord(line: Buffer): boolean {
    if (this.#lines === 1) {
      this.#refuseOther(line);
      this.#heading = this.#readHeading(line);
    } else if (this.#ending !== null) {
      throw new BackupUnreadable(`line ${this.#lines} stands behind the end; ${broken}`);
    } else if (line.subarray(0, ending.length).equals(Buffer.from(ending))) {
      this.#ending = this.#readEnding(line);
      return false;
    }
    this.#hash.update(line);
    return this.#lines > 1;
  }

  #refuseOther(line: Buffer): void {
    if (!line.subarray(0, opening.length).equals(Buffer.from(opening))) {
      throw new BackupUnreadable(`it is no backup of Postern: those begin with ${opening}`);
    }
  }

  #readHeading(line: Buffer): Heading {
    const heading = this.#parse(line) as Partial<Heading>;
    const { version } = heading;
    if (!(Number.isInteger(version) && version! >= oldestVersion && version! <= formatVersion)) {
      const versions = `its format is version ${String(version)}, this program knows those up to ${formatVersion}`;
      throw new BackupUnreadable(`${versions}: use the program that made it, or a newer one`);
    }
    if (typeof heading.identity !== 'string' || typeof heading.at !== 'string') {
      throw new BackupUnreadable(`line 1 lacks identity or at; ${broken}`);
    }
    return heading as Heading;
  }

  #readEnding(line: Buffer): Ending {
    const end = this.#parse(line) as Partial<Ending>;
    if (typeof end.sha256 === 'string' && typeof end.records === 'object' && end.records !== null) return end as Ending;
    throw new BackupUnreadable(`line ${this.#lines} lacks records or sha256; ${broken}`);
  }

  #parse(line: Buffer): object {
    try {
      return JSON.parse(line.toString('utf8')) as object;
    } catch {
      throw new BackupUnreadable(`line ${this.#lines} is no JSON; ${broken}`);
    }
  }
}
