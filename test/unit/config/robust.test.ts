import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { problemLine } from '../../../src/config/problems.ts';
import { Places } from '../../../src/core/credential.ts';
import { RouteTable } from '../../../src/core/route.ts';
import { below, pick, randomFrom, seed } from '../../support/random.ts';
import { caseEnv, readCases } from './cases.ts';

const runs = 600;

it(`any text makes either a configuration or problems with a place, and nothing is thrown (seed ${seed})`, {
  timeout: 60_000,
}, async () => {
  const example = readFileSync(path.resolve(import.meta.dirname, '../../../config/postern.example.yaml'), 'utf8');
  const texts = [example, ...readCases().map(({ config }) => config)];
  const pieces = [
    '{}',
    '[]',
    '""',
    'null',
    '5',
    '[[]]',
    '{ a: 1 }',
    'true',
    `\${KEY}`,
    `\${NONE}`,
    '*',
    '__proto__',
    '- ',
    '\n',
    ': ',
  ];
  const folder = await mkdtemp(path.join(tmpdir(), 'postern-config-'));
  const file = path.join(folder, 'postern.yaml');
  const random = randomFrom(seed);
  try {
    for (let run = 0; run < runs; run++) {
      // Whole words are replaced, so that most results are YAML still, and wrong in another way.
      const words = pick(random, texts).split(/(?<=[\s,[\]{}])|(?=[\s,[\]{}])/);
      for (let i = 0; i < 1 + below(random, 4); i++) words[below(random, words.length)] = pick(random, pieces);
      const text = words.join('');
      await writeFile(file, text);
      const result = await loadConfig({ file, env: caseEnv });
      const context = `run ${run}:\n${text}`;
      if (result.ok) {
        expect(new RouteTable(result.config.routes).routes.length, context).toBeGreaterThan(0);
        expect(new Places(result.config.credentials), context).toBeDefined();
        continue;
      }
      expect(result.problems.length, context).toBeGreaterThan(0);
      for (const problem of result.problems) {
        expect(problemLine(problem), context).toMatch(/^\S+:[1-9]\d*:[1-9]\d*(?: \S.*)?: \S.*; allowed: \S/);
      }
    }
  } finally {
    await rm(folder, { recursive: true });
  }
});
