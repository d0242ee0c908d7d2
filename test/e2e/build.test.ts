import { execFile } from 'node:child_process';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Program, postern, root } from '../support/program.ts';
import { RecordingUpstream } from '../support/recording-upstream.ts';
import { Served } from '../support/served.ts';

/** The package as it is published: built once, run with nothing but its dependencies. */

const execute = promisify(execFile);
const main = path.join(root, 'dist/main.js');
const upstream = new RecordingUpstream();
let elsewhere = '';

beforeAll(async () => {
  await upstream.listen();
  elsewhere = await mkdtemp(path.join(tmpdir(), 'postern-elsewhere-'));
  await execute('npm', ['run', 'build'], { cwd: root });
});
afterAll(async () => {
  await Program.killAll();
  await rm(elsewhere, { recursive: true, force: true });
  await upstream.close();
});

test('it runs from any folder, and knows its version', async () => {
  const { version } = JSON.parse(await readFile(path.join(root, 'package.json'), 'utf8')) as { version: string };
  const { code, stdout, stderr } = await postern(['version'], { main, cwd: elsewhere });
  expect([code, stdout, stderr]).toEqual([0, `${version}\n`, '']);
  const schema = await postern(['config', 'schema'], { main, cwd: elsewhere });
  expect(schema.stdout).toBe(await readFile(path.join(root, 'config/schema.json'), 'utf8'));
});

test('its first line names what runs it, for a link on the path', async () => {
  expect(await readFile(main, 'utf8')).toMatch(/^#!\/usr\/bin\/env node\n/);
});

test('it opens its store, which has a thread of its own, and a store that the sources wrote', async () => {
  const config = `upstreams: { u: { url: "${upstream.url}" } }\nroutes: [{ path: /** }]\n`;
  const built = await Served.start({ config, main });
  const { id, secret } = await built.mint({ name: 'from the build' });
  expect(await built.status('/x', secret)).toBe(200);
  expect(await built.stop({ keep: true })).toBe(0);
  const { folder } = built;
  const sources = await Served.start({ config, folder });
  expect(await sources.status('/x', secret)).toBe(200);
  expect((await sources.admin('GET', `/v1/tokens/${id}`)).body['name']).toBe('from the build');
  expect(await sources.stop()).toBe(0);
});

test('it is published with the program and its schema, and without what only its makers need', async () => {
  const { stdout } = await execute('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], { cwd: root });
  const [{ files, name }] = JSON.parse(stdout) as [{ name: string; files: { path: string }[] }];
  const paths = files.map(file => file.path);
  expect(name).toBe('postern');
  for (const needed of ['dist/main.js', 'config/schema.json', 'package.json', 'LICENSE']) {
    expect(paths).toContain(needed);
  }
  expect(paths.filter(each => !/^(?:dist\/|config\/|deploy\/|src\/README\.md$|[^/]+$)/.test(each))).toEqual([]);
  expect(paths.filter(each => /\.test\.|(?:^|\/)test\/|\.key$|node_modules/.test(each))).toEqual([]);
  // What the README leads to is there, but for the tests.
  const readme = await readFile(path.join(root, 'README.md'), 'utf8');
  const links = [...readme.matchAll(/\]\(([^)#\s]+)[^)]*\)/g)].map(match => match[1]!);
  expect(links).toContain('Dockerfile');
  expect(links.filter(link => !/^(?:https?:|test\/)/.test(link) && !paths.includes(link))).toEqual([]);
  // Maps have their sources in them.
  for (const file of paths.filter(each => each.endsWith('.map'))) {
    const map = JSON.parse(await readFile(path.join(root, file), 'utf8')) as { sourcesContent?: unknown[] };
    expect(
      map.sourcesContent?.every(source => typeof source === 'string'),
      file,
    ).toBe(true);
  }
  // Imports were rewritten: nothing names a source that is not there.
  for (const file of paths.filter(each => each.endsWith('.js'))) {
    const text = await readFile(path.join(root, file), 'utf8');
    for (const [, target] of text.matchAll(/from '(\.[^']+)'/g)) {
      await access(path.resolve(root, path.dirname(file), target!));
      expect(target).not.toMatch(/\.ts$/);
    }
  }
});
