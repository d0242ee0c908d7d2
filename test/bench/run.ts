import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { renderProfile } from './profile.ts';

/** Right answers first, then processor time per request, every contestant in turn. See README.md beside this file. */

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const upstreamPort = 9000;
const warmUpSeconds = 8;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '5' },
    only: { type: 'string' },
    profile: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);

interface Running {
  /** Processes whose time counts. */
  pids(): number[];
  stop(): void;
}

interface Contestant {
  readonly name: string;
  readonly port: number;
  /** `Authorization` that the load generator sends. */
  token: string | null;
  start(folder: string): Promise<Running>;
  /** Throws when it does not answer as it must. */
  verify(): Promise<void>;
}

interface Sample {
  readonly micros: number;
  readonly perSecond: number;
  readonly p99: number;
}

function need(): void {
  const missing = [
    ['nginx', 'nginx-light'],
    ['wrk', 'wrk'],
    ['taskset', 'util-linux'],
  ].filter(([program]) => spawnSync('which', [program!]).status !== 0);
  if (cpus().length < 2) fail('two processors are needed: one for the contestant, one for the load');
  if (missing.length === 0) return;
  const packages = missing.map(([, name]) => name!);
  if (process.getuid?.() !== 0) fail(`missing: apt-get install ${packages.join(' ')}`);
  spawnSync('apt-get', ['-qq', 'update'], { stdio: 'inherit' });
  if (spawnSync('apt-get', ['-qq', 'install', '-y', ...packages], { stdio: 'inherit' }).status !== 0)
    fail('apt-get failed');
}

/** Thrown, so that whatever was started is stopped again. */
function fail(message: string): never {
  throw new Error(message);
}

function nginx(conf: string, folder: string, processor: number): Running {
  const file = path.join(folder, conf);
  const text = readFileSync(path.join(here, 'conf', conf), 'utf8').replaceAll('@DIR@', folder);
  writeFileSync(file, text);
  execFileSync('taskset', ['-c', String(processor), 'nginx', '-p', folder, '-c', file]);
  const master = Number(readFileSync(/pid (\S+);/.exec(text)![1]!, 'utf8'));
  return { pids: () => [master, ...children(master)], stop: () => process.kill(master, 'SIGQUIT') };
}

function program(args: readonly string[], env: Record<string, string> = {}): Running & { child: ChildProcess } {
  const child = spawn('taskset', ['-c', '0', process.execPath, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, NODE_ENV: 'production', ...env },
  });
  return { child, pids: () => [child.pid!, ...children(child.pid!)], stop: () => child.kill('SIGINT') };
}

const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);

/** Ticks of user and system time, those of threads included. */
function ticks(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return sum + Number(fields[11]) + Number(fields[12]);
  }, 0);
}

const ticksPerSecond = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

function measure({ port, token }: Contestant, running: Running, length: number): Sample {
  const before = ticks(running.pids());
  const header = token === null ? [] : ['-H', `Authorization: Bearer ${token}`];
  const output = execFileSync(
    'taskset',
    ['-c', '1', 'wrk', '-t1', '-c64', `-d${length}s`, '--latency', ...header, `http://127.0.0.1:${port}/widgets/1`],
    { encoding: 'utf8' },
  );
  const spent = ticks(running.pids()) - before;
  const requests = Number(/(\d+) requests in/.exec(output)?.[1]);
  if (/Non-2xx|Socket errors/.test(output)) fail(`a contestant failed under load:\n${output}`);
  const [, amount, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(output) ?? [];
  const scale = unit === 'us' ? 0.001 : unit === 's' ? 1000 : 1;
  return {
    micros: (spent / ticksPerSecond / requests) * 1e6,
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]),
    p99: Number(amount) * scale,
  };
}

const get = (port: number, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://127.0.0.1:${port}/widgets/1`, { headers });

async function answers(port: number): Promise<void> {
  for (let i = 0; i < 200; i++) {
    try {
      await get(port);
      return;
    } catch {
      await new Promise(resolve => setTimeout(resolve, 50));
    }
  }
  fail(`nothing listens on ${port}`);
}

function expect(what: string, got: unknown, wanted: unknown): void {
  if (got !== wanted) fail(`${what}: ${String(got)} instead of ${String(wanted)}`);
}

const forwards = (name: string, port: number) => async (): Promise<void> => {
  const answer = await get(port);
  expect(`${name} status`, answer.status, 200);
  expect(`${name} body`, ((await answer.json()) as { name: string }).name, 'widget');
};

const plain = (name: string, port: number): Contestant => ({
  name,
  port,
  token: null,
  async start() {
    const running = program([
      path.join(here, 'peers', `${name}.mjs`),
      String(port),
      `http://127.0.0.1:${upstreamPort}`,
    ]);
    await answers(port);
    return running;
  },
  verify: forwards(name, port),
});

/** Limits of a token and of its account that no run comes near. */
const limits = {
  ofToken: [
    { name: 'month', max: 1e12, per: '1mo' },
    { name: 'pace', max: 1e9, per: '1s', algorithm: 'bucket' },
  ],
  ofAccount: [{ name: 'all', max: 1e12, per: '1d' }],
} as const;

/** Postern as the package runs it: compiled, from `dist`. */
function postern(name: string, port: number, access: 'all' | 'none', limited = false): Contestant {
  const ports = { admin: port + 1, telemetry: port + 2, witness: port + 3 };
  let key = '';
  const admin = async (body: object, what = 'tokens'): Promise<{ secret: string; token: { id: string } }> => {
    const response = await fetch(`http://127.0.0.1:${ports.admin}/v1/${what}`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    });
    expect(`${name} ${what}`, response.status, 201);
    return (await response.json()) as { secret: string; token: { id: string } };
  };
  const contestant: Contestant = {
    name,
    port,
    token: null,
    async start(folder) {
      const home = path.join(folder, name);
      mkdirSync(home);
      writeFileSync(
        path.join(home, 'postern.yaml'),
        `listen: { proxy: "127.0.0.1:${port}", admin: "127.0.0.1:${ports.admin}", telemetry: "127.0.0.1:${ports.telemetry}" }
upstreams:
  widgets: { url: "http://127.0.0.1:${upstreamPort}" }
  witness: { url: "http://127.0.0.1:${ports.witness}" }
routes:
  - { path: "/widgets/{id}", require: "widgets:read", upstream: widgets }
  - { path: /witness, require: "widgets:read", upstream: witness }
store: { kind: embedded, path: ./data }
shutdown: { delay: 0s }
log: { access: ${access} }
`,
      );
      const flags = values.profile && name === 'postern' ? ['--cpu-prof', `--cpu-prof-dir=${folder}/profile`] : [];
      const running = program([
        ...flags,
        path.join(root, 'dist/main.js'),
        'serve',
        '--config',
        path.join(home, 'postern.yaml'),
      ]);
      await answers(port);
      key = readFileSync(path.join(home, 'data/admin.key'), 'utf8').trim();
      return running;
    },
    async verify() {
      if (limited) await admin({ id: 'acme', limits: limits.ofAccount }, 'accounts');
      const more = limited ? { owner: 'acme', limits: limits.ofToken } : {};
      const reader = await admin({ name: 'reader', permissions: ['widgets:read'], ...more });
      const other = await admin({ name: 'other', permissions: ['other'] });
      const bearer = (secret: string) => ({ Authorization: `Bearer ${secret}` });
      const answer = await get(port, bearer(reader.secret));
      expect(`${name} with a token`, answer.status, 200);
      expect(`${name} limits told`, answer.headers.has('ratelimit'), limited);
      expect(`${name} without a token`, (await get(port)).status, 401);
      expect(`${name} without the permission`, (await get(port, bearer(other.secret))).status, 403);
      const seen = await witness(ports.witness, () =>
        fetch(`http://127.0.0.1:${port}/witness`, { headers: bearer(reader.secret) }),
      );
      expect(`${name} identity at the upstream`, seen['x-postern-token-id'], reader.token.id);
      expect(`${name} credential at the upstream`, seen['authorization'], undefined);
      contestant.token = reader.secret;
    },
  };
  return contestant;
}

/** The fields that an upstream sees. */
async function witness(port: number, ask: () => Promise<unknown>): Promise<Record<string, unknown>> {
  const { promise, resolve } = Promise.withResolvers<Record<string, unknown>>();
  const server = createServer((request, response) => {
    response.end();
    resolve(request.headers);
  });
  await new Promise<void>(done => server.listen(port, '127.0.0.1', done));
  await ask();
  const seen = await promise;
  server.closeAllConnections();
  server.close();
  return seen;
}

function quantile(numbers: readonly number[], q: number): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

function report(results: ReadonlyMap<string, Sample[]>): void {
  const micros = (name: string) => results.get(name)!.map(sample => sample.micros);
  const least = Math.min(...micros('nginx_plain'));
  const middle = quantile(micros('nginx_plain'), 0.5);
  console.log('\n| contestant | µs least | µs median | ratio least | ratio median | requests/s | p99 ms |');
  console.log('| --- | --- | --- | --- | --- | --- | --- |');
  for (const [name, samples] of results) {
    const all = micros(name);
    const cells = [
      Math.min(...all).toFixed(1),
      quantile(all, 0.5).toFixed(1),
      (Math.min(...all) / least).toFixed(2),
      (quantile(all, 0.5) / middle).toFixed(2),
      quantile(
        samples.map(sample => sample.perSecond),
        0.5,
      ).toFixed(0),
      quantile(
        samples.map(sample => sample.p99),
        0.5,
      ).toFixed(1),
    ];
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  }
}

need();
execFileSync(process.execPath, [
  path.join(root, 'node_modules/typescript/bin/tsc'),
  '-p',
  path.join(root, 'tsconfig.build.json'),
]);
if (!existsSync(path.join(here, 'node_modules'))) execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: here });

const contestants: Contestant[] = [
  {
    name: 'nginx_plain',
    port: 9001,
    token: null,
    start: async (folder: string) => {
      const running = nginx('nginx_plain.conf', folder, 0);
      await answers(9001);
      return running;
    },
    verify: forwards('nginx_plain', 9001),
  },
  postern('postern', 9100, 'none'),
  postern('postern_log', 9110, 'all'),
  postern('postern_limits', 9130, 'none', true),
  plain('http-proxy', 9120),
  plain('undici-floor', 9123),
  plain('fast-proxy', 9121),
  plain('fastify-http-proxy', 9122),
].filter(({ name }) => values.only === undefined || name === 'nginx_plain' || values.only.split(',').includes(name));

const folder = mkdtempSync(path.join(tmpdir(), 'postern-bench-'));
const started: Running[] = [];
try {
  started.push(nginx('upstream.conf', folder, 1));
  await answers(upstreamPort);
  const running = new Map<string, Running>();
  for (const contestant of contestants) {
    const one = await contestant.start(folder);
    started.push(one);
    running.set(contestant.name, one);
    await contestant.verify();
    // Node's compiler takes its time, and that time would count.
    measure(contestant, one, warmUpSeconds);
  }
  console.log(`answers are right; ${rounds} rounds of ${seconds} s, node ${process.version}`);
  const results = new Map<string, Sample[]>(contestants.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const contestant of contestants) {
      const sample = measure(contestant, running.get(contestant.name)!, seconds);
      results.get(contestant.name)!.push(sample);
      console.log(`round ${round}  ${contestant.name.padEnd(20)} ${sample.micros.toFixed(1)} µs`);
    }
  }
  report(results);
  if (values.profile) {
    running.get('postern')!.stop();
    await new Promise(resolve => setTimeout(resolve, 3000));
    const profiles = path.join(folder, 'profile');
    for (const file of readdirSync(profiles)) console.log(renderProfile(path.join(profiles, file)));
  }
} finally {
  for (const one of started) one.stop();
  await new Promise(resolve => setTimeout(resolve, 500));
  rmSync(folder, { recursive: true, force: true });
}
process.exit(0);
