import { readdirSync, readFileSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type LoadResult, loadConfig } from '../../../src/config/load.ts';
import { problemLine } from '../../../src/config/problems.ts';

/**
 * A case is one file: a configuration, files that stand beside it, and the lines that loading it gives.
 *
 *     the configuration
 *     === file secrets/admin mode 644 ===
 *     what that file holds
 *     === problems ===            (or `warnings`, of a configuration that loads)
 *     postern.yaml:1:9 routes: is empty; allowed: …
 */
export interface Case {
  readonly name: string;
  readonly config: string;
  readonly files: readonly { readonly name: string; readonly mode: number; readonly text: string }[];
  readonly outcome: 'problems' | 'warnings';
  readonly lines: readonly string[];
}

const folder = path.join(import.meta.dirname, 'cases');

/** Variables that cases may refer to. */
export const caseEnv = {
  KEY: 'k3Zq8vWn2Xr7Tj5Lp9Bm4Hs6Gd1Fc0Yt',
  PEPPER: '9f2c7b1e4d8a6035f7e2c9b4a1d8f360',
  DIGEST: 'b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c',
  WORD: 'widgets',
  NUMBER: '7',
  LINES: 'info\naccess: none',
};

export function readCases(): Case[] {
  return readdirSync(folder)
    .filter(name => name.endsWith('.case'))
    .map(name => parseCase(name.slice(0, -5), readFileSync(path.join(folder, name), 'utf8')));
}

function parseCase(name: string, text: string): Case {
  const [config = '', ...rest] = text.split(/^=== (.+) ===\n/m);
  const files: Case['files'][number][] = [];
  let outcome: Case['outcome'] = 'problems';
  let lines: string[] = [];
  for (let i = 0; i + 1 < rest.length; i += 2) {
    const title = rest[i]!;
    const body = rest[i + 1]!;
    const file = /^file (\S+)(?: mode ([0-7]{3}))?$/.exec(title);
    if (file !== null) files.push({ name: file[1]!, mode: Number.parseInt(file[2] ?? '600', 8), text: body });
    else if (title === 'problems' || title === 'warnings') {
      outcome = title;
      lines = body.split('\n').filter(line => line !== '');
    } else throw new Error(`${name}: === ${title} === is no section of a case`);
  }
  return { name, config, files, outcome, lines };
}

/** Loads a case from a folder of its own, as `postern.yaml`. The folder's name is `<folder>` in the lines. */
export async function loadCase(test: Pick<Case, 'config' | 'files'>): Promise<{ result: LoadResult; lines: string[] }> {
  const own = await mkdtemp(path.join(tmpdir(), 'postern-config-'));
  try {
    await writeFile(path.join(own, 'postern.yaml'), test.config);
    for (const { name, mode, text } of test.files) {
      await mkdir(path.dirname(path.join(own, name)), { recursive: true });
      await writeFile(path.join(own, name), text);
      await chmod(path.join(own, name), mode);
    }
    const result = await loadConfig({ file: path.join(own, 'postern.yaml'), env: caseEnv }, Date.UTC(2026, 0, 1));
    const found = result.ok ? result.warnings : result.problems;
    const lines = found.map(problem =>
      problemLine(problem).replaceAll(`${own}/postern.yaml:`, 'postern.yaml:').replaceAll(own, '<folder>'),
    );
    return { result, lines };
  } finally {
    await rm(own, { recursive: true });
  }
}
