import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { problemLine } from '../../src/config/problems.ts';
import { metricPrefix, metricsTable } from '../../src/telemetry/metrics-table.ts';

const root = path.resolve(import.meta.dirname, '../..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter(file => file !== '' && existsSync(path.join(root, file)));
const read = (file: string): string => readFileSync(path.join(root, file), 'utf8');

/** Files of which this is not true. */
const failing = (holds: (text: string, file: string) => boolean): string[] =>
  files.filter(file => !holds(read(file), file));

describe('no file of the repository', () => {
  test('names the host of a registry', () => {
    expect(failing(text => !/registry\.(?:npm|yarn)|"resolved":/.test(text))).toEqual(['test/docs/repository.test.ts']);
  });
  test('names a folder of the machine that it was written on', () => {
    const isOwn = /(?<![\w./-])\/(?:work|home|Users)\/\w/;
    expect(failing((text, file) => file === 'package-lock.json' || !isOwn.test(text))).toEqual([]);
  });
  test('has blanks at the end of a line', () => {
    expect(failing(text => !/[ \t\r]$/m.test(text))).toEqual([]);
  });
});

const pages = files.filter(file => file.endsWith('.md'));

test('no page has a place left to be filled', () => {
  expect(pages.filter(page => /@[A-Z]+@/.test(read(page)))).toEqual([]);
});

describe('links in prose lead to files and headings', () => {
  const slug = (heading: string): string =>
    heading
      .toLowerCase()
      .replace(/[^\w\s-]/g, '')
      .trim()
      .replaceAll(/\s/g, '-');
  test.each(pages)('%s', page => {
    for (const [, link] of read(page).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link!)) continue;
      const [file, heading] = link!.split('#');
      const target = file === '' ? page : path.join(path.dirname(page), file!);
      expect(existsSync(path.join(root, target)), `${link} of ${page}`).toBe(true);
      if (heading === undefined) continue;
      const headings = [...read(target).matchAll(/^#+ (.*)$/gm)].map(match => slug(match[1]!));
      expect(headings, `${link} of ${page}`).toContain(heading);
    }
  });
  test.each(pages)('%s names files that are there', page => {
    const named = [...read(page).matchAll(/`((?:[\w-]+\/)+[\w.-]+\.(?:ts|json|yaml|md))`/g)].map(match => match[1]!);
    const around = [root, path.dirname(path.join(root, page))];
    expect(named.filter(name => !around.some(folder => existsSync(path.join(folder, name))))).toEqual([]);
  });
});

describe('a configuration that is shipped to be copied is good', () => {
  const folders: string[] = [];
  afterAll(() => {
    for (const folder of folders) rmSync(folder, { recursive: true });
  });
  /** Loads a text whose files of keys are there, as their owner would make them. */
  async function problemsOf(text: string): Promise<string[]> {
    const folder = mkdtempSync(path.join(tmpdir(), 'postern-docs-'));
    folders.push(folder);
    let count = 0;
    const withKeys = text.replace(/key_file: ([\w./-]+)/g, () => {
      const name = `key-${++count}`;
      writeFileSync(path.join(folder, name), randomBytes(32).toString('hex'), { mode: 0o600 });
      return `key_file: ${name}`;
    });
    writeFileSync(path.join(folder, 'postern.yaml'), withKeys);
    const loaded = await loadConfig({ file: path.join(folder, 'postern.yaml'), env: {} });
    return (loaded.ok ? loaded.warnings : loaded.problems).map(problemLine);
  }

  test('config/postern.example.yaml', async () => {
    const text = read('config/postern.example.yaml');
    expect(await problemsOf(text)).toEqual([]);
    // What it holds out in comments, too.
    const uncommented = text
      .replace(/^# (admin:\n)# ( {2}keys:\n)# (.*role: admin.*\n)# .*\n/m, '$1$2$3')
      .replace('# peppers:', 'peppers:');
    expect(uncommented).not.toBe(text);
    expect(await problemsOf(uncommented)).toEqual([]);
  });
  test.each(files.filter(file => /^config\/examples\/.*\.yaml$/.test(file)))('%s', async file => {
    expect(await problemsOf(read(file))).toEqual([]);
  });
  test('the one of README.md', async () => {
    const blocks = [...read('README.md').matchAll(/```yaml\n([\s\S]*?)```/g)].map(match => match[1]!);
    const whole = blocks.filter(block => block.includes('upstreams:'));
    expect(whole.length).toBeGreaterThan(0);
    for (const block of whole) expect(await problemsOf(block)).toEqual([]);
  });

  const manifests = parseAllDocuments(read('deploy/kubernetes/sidecar.yaml')).map(document => document.toJS());
  const [configMap, , deployment] = manifests;
  test('the one of deploy/kubernetes/sidecar.yaml', async () => {
    expect(await problemsOf(configMap.data['postern.yaml'])).toEqual([]);
  });
  test('the manifest and its configuration speak of the same ports, paths and times', () => {
    const { spec } = deployment.spec.template;
    const [sidecar] = spec.initContainers;
    const config = parse(configMap.data['postern.yaml']);
    const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(':') + 1));
    const ports = Object.fromEntries(
      sidecar.ports.map((port: { name: string; containerPort: number }) => [port.name, port.containerPort]),
    );
    expect(ports).toEqual({ http: portOf(config.listen.proxy), metrics: portOf(config.listen.telemetry) });
    const mounts: string[] = sidecar.volumeMounts.map((mount: { mountPath: string }) => mount.mountPath);
    for (const file of [config.admin.keys[0].key_file, config.tokens.peppers[0].key_file, config.store.path]) {
      expect(
        mounts.some(mount => file === mount || file.startsWith(`${mount}/`)),
        file,
      ).toBe(true);
    }
    expect(sidecar.restartPolicy).toBe('Always');
    // The defaults of shutdown.delay and shutdown.grace.
    expect(spec.terminationGracePeriodSeconds).toBeGreaterThan(5 + 20);
  });
  test('the manifest runs the sidecar as the image does, and leaves the user of the API alone', () => {
    const { spec } = deployment.spec.template;
    const [sidecar] = spec.initContainers;
    const [, user, group] = /^USER (\d+):(\d+)$/m.exec(read('Dockerfile'))!.map(Number);
    expect(sidecar.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: user, runAsGroup: group });
    expect(spec.securityContext).toEqual({ fsGroup: group });
    for (const container of spec.containers) expect(container.securityContext).toBeUndefined();
  });
  test('what the manifest tells to run is there, and runs with the same file', () => {
    const text = read('deploy/kubernetes/sidecar.yaml');
    const { metadata, spec } = deployment;
    const [sidecar] = spec.template.spec.initContainers;
    const file = sidecar.args.at(-1);
    expect(sidecar.args).toEqual(['serve', '--config', file]);
    expect(sidecar.lifecycle.preStop.exec.command).toEqual(['postern', 'drain', '--config', file]);
    expect(text).toContain(
      `kubectl exec deploy/${metadata.name} -c ${sidecar.name} -- postern token create --config ${file} `,
    );
    const admin = parse(configMap.data['postern.yaml']).listen.admin;
    const port = admin.slice(admin.lastIndexOf(':') + 1);
    expect(text).toContain(`kubectl port-forward deploy/${metadata.name} ${port}:${port}`);
  });
  test('deploy/prometheus/scrape.yaml asks the port that the telemetry listener has by default', () => {
    const scrape = parse(read('deploy/prometheus/scrape.yaml'));
    expect(scrape.scrape_configs[0].static_configs[0].targets).toEqual(['127.0.0.1:9464']);
  });
  test('the image and the package are of one Node', () => {
    const { engines } = JSON.parse(read('package.json'));
    const images = [...read('Dockerfile').matchAll(/^FROM node:(\d+)/gm)].map(match => Number(match[1]));
    expect(images).toEqual([26, 26]);
    expect(engines.node).toBe('>=26');
  });
  test('the image has the command that the package installs', () => {
    const { bin } = JSON.parse(read('package.json'));
    expect(bin).toEqual({ postern: 'dist/main.js' });
    const image = read('Dockerfile');
    expect(image).toMatch(/^RUN ln -s \/app\/dist\/main\.js \/usr\/local\/bin\/postern$/m);
    // The compiler makes a file that may not be run; what is copied keeps its mode.
    expect(image.indexOf('chmod 0755 dist/main.js')).toBeGreaterThan(image.indexOf('tsc -p'));
    expect(image.indexOf('chmod 0755 dist/main.js')).toBeLessThan(image.indexOf('COPY --from=build /src/dist'));
  });
});

test('metrics that prose names are metrics', () => {
  const names = new Set(Object.keys(metricsTable).map(name => `${metricPrefix}${name}`));
  const pagesAndRules = files.filter(file => file.endsWith('.md') || file.startsWith('deploy/'));
  for (const file of pagesAndRules) {
    for (const [name] of read(file).matchAll(/\bpostern_[a-z_]+_(?:total|seconds|bytes|connections)\b/g)) {
      expect(names, `${name} of ${file}`).toContain(name);
    }
  }
});
