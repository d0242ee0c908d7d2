import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../support/ports.ts';
import { Program, root } from '../support/program.ts';
import { Served } from '../support/served.ts';

/** In front of servers that nobody here wrote. */

/** What is moved through: far more than may be kept. The long tier moves a gigabyte. */
const mebibytes = Number(process.env['POSTERN_MEBIBYTES'] ?? 512);
const execute = promisify(execFile);
let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'postern-servers-'));
});
afterAll(async () => {
  await Program.killAll();
  await rm(folder, { recursive: true, force: true });
});

/** Waits until something answers there. */
async function answers(url: string, program: Program): Promise<void> {
  const ready = async (): Promise<boolean> => {
    try {
      return (await fetch(url)).status < 500;
    } catch {
      return false;
    }
  };
  for (const late = Date.now() + 20_000; !(await ready()); await pause(50)) {
    if (program.ended !== null || Date.now() > late)
      throw new Error(`no answer from ${url}: ${program.stderr.slice(-2000)}`);
  }
}

/** Runs curl with a token; answers what it wrote to its standard output. */
async function curl(secret: string, ...args: string[]): Promise<string> {
  const { stdout } = await execute('curl', ['-sS', '-H', `Authorization: Bearer ${secret}`, ...args]);
  return stdout;
}

describe('nginx', () => {
  let served: Served;
  let secret = '';
  let files = '';

  beforeAll(async () => {
    files = path.join(folder, 'files');
    const work = path.join(folder, 'nginx');
    await mkdir(files);
    await mkdir(work);
    const port = await freePort();
    // Started by root it would give its work to another user, who may not write here.
    const user = process.getuid?.() === 0 ? 'user root;' : '';
    await writeFile(
      path.join(work, 'nginx.conf'),
      `${user} daemon off; master_process off; pid nginx.pid; error_log stderr;
       events {}
       http {
         access_log off;
         ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(kind => `${kind}_temp_path ${kind};`).join(' ')}
         server {
           listen 127.0.0.1:${port};
           root ${files};
           autoindex on;
           client_max_body_size 0;
           location / { dav_methods PUT DELETE; }
         }
       }`,
    );
    const program = existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx';
    const nginx = new Program(program, ['-p', work, '-c', path.join(work, 'nginx.conf')]);
    await answers(`http://127.0.0.1:${port}/`, nginx);
    served = await Served.start({
      config: `
upstreams: { files: { url: "http://127.0.0.1:${port}" } }
routes:
  - { path: /**, methods: [GET, HEAD], require: "files:read" }
  - { path: /**, methods: [PUT, DELETE], require: "files:write" }`,
    });
    secret = (await served.mint({ permissions: ['files:read', 'files:write'] })).secret;
  });
  afterAll(() => served.remove());

  test('serves its folder through a token: a list, parts of files, conditions, and nothing without one', async () => {
    await writeFile(path.join(files, 'hello.txt'), 'hello from nginx\n');
    const get = (target: string, headers: Record<string, string> = {}): Promise<Response> =>
      fetch(`${served.proxy}${target}`, { headers: { Authorization: `Bearer ${secret}`, ...headers } });
    expect(await (await get('/')).text()).toContain('<a href="hello.txt">');
    const whole = await get('/hello.txt');
    expect([whole.status, await whole.text()]).toEqual([200, 'hello from nginx\n']);
    const part = await get('/hello.txt', { Range: 'bytes=6-9' });
    expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 6-9/17', 'from']);
    const same = await get('/hello.txt', { 'If-None-Match': whole.headers.get('etag')! });
    expect(same.status).toBe(304);
    expect((await get('/nothing')).status).toBe(404);
    expect(await served.status('/hello.txt', null)).toBe(401);
    const { secret: reader } = await served.mint({ permissions: ['files:read'] });
    expect(await served.status('/new.txt', reader, { method: 'PUT', body: 'x' })).toBe(403);
    expect(existsSync(path.join(files, 'new.txt'))).toBe(false);
  });

  test(`${mebibytes} MiB go down and up unchanged, in little memory`, async () => {
    const source = path.join(files, 'source.bin');
    const expected = await fill(source);
    // What any load brings is there before: the heap of a process that has moved a little is as large as it gets.
    await curl(secret, '-r', `0-${(64 << 20) - 1}`, '-o', '/dev/null', `${served.proxy}/source.bin`);
    const before = served.program.memory.now;

    const downloading = performance.now();
    const download = await execute('bash', [
      '-c',
      `curl -sS -H 'Authorization: Bearer ${secret}' ${served.proxy}/source.bin | sha256sum`,
    ]);
    const downloadMs = performance.now() - downloading;
    expect(download.stdout.split(' ')[0]).toBe(expected);

    const uploading = performance.now();
    const status = await curl(
      secret,
      '-T',
      source,
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      `${served.proxy}/copy.bin`,
    );
    const uploadMs = performance.now() - uploading;
    expect(status).toBe('201');
    expect((await stat(path.join(files, 'copy.bin'))).size).toBe(mebibytes << 20);
    expect(await digestOf(path.join(files, 'copy.bin'))).toBe(expected);

    const growth = served.program.memory.peak - before;
    console.log({
      downloadSeconds: Math.round(downloadMs / 100) / 10,
      uploadSeconds: Math.round(uploadMs / 100) / 10,
      growthMiB: Math.round(growth / (1 << 20)),
    });
    expect(growth, 'bytes of growth').toBeLessThan(100 << 20);
    // Nothing was kept on the way.
    expect((await readdir(served.folder)).sort()).toEqual(['data', 'postern.yaml']);
    await rm(source);
    await rm(path.join(files, 'copy.bin'));
  }, 300_000);
});

describe('Prometheus', () => {
  let served: Served;
  let secret = '';

  beforeAll(async () => {
    const port = await freePort();
    const work = path.join(folder, 'prometheus');
    await mkdir(work);
    served = await Served.start({
      config: `
upstreams: { prometheus: { url: "http://127.0.0.1:${port}" } }
routes: [{ path: /**, require: "metrics:read" }]`,
    });
    secret = (await served.mint({ permissions: ['metrics:read'] })).secret;
    await writeFile(
      path.join(work, 'prometheus.yml'),
      `global: { scrape_interval: 500ms, scrape_timeout: 500ms }
scrape_configs:
  - job_name: postern
    static_configs: [{ targets: ["127.0.0.1:${served.ports.telemetry}"] }]
`,
    );
    const prometheus = new Program('prometheus', [
      `--config.file=${path.join(work, 'prometheus.yml')}`,
      `--storage.tsdb.path=${path.join(work, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    await answers(`http://127.0.0.1:${port}/-/ready`, prometheus);
  });
  afterAll(() => served.remove());

  /** What its API answers to a query, through Postern. */
  async function query(text: string): Promise<{ metric: Record<string, string>; value: [number, string] }[]> {
    const answer = await curl(secret, '-G', '--data-urlencode', `query=${text}`, `${served.proxy}/api/v1/query`);
    const { status, data } = JSON.parse(answer) as { status: string; data: { result: [] } };
    expect(status).toBe('success');
    return data.result;
  }

  test('serves its pages and its API through a token, and nothing without one', async () => {
    expect(await served.status('/graph', null)).toBe(401);
    expect(await served.status('/api/v1/query?query=up', null)).toBe(401);
    const page = await fetch(`${served.proxy}/graph`, { headers: { Authorization: `Bearer ${secret}` } });
    expect(page.status).toBe(200);
    expect(page.headers.get('content-type')).toMatch(/^text\/html/);
    expect(await page.text()).toMatch(/<title>.*Prometheus/s);
    // A POST with a form, which it redirects and answers as well.
    const posted = await curl(secret, '--data-urlencode', 'query=vector(1)', `${served.proxy}/api/v1/query`);
    expect(JSON.parse(posted)).toMatchObject({
      status: 'success',
      data: { result: [{ value: [expect.anything(), '1'] }] },
    });
  });

  test('scrapes ours without a complaint, and answers for what went through', async () => {
    await expect.poll(async () => (await query('up{job="postern"}'))[0]?.value[1], { timeout: 15_000 }).toBe('1');
    await expect
      .poll(async () => Number((await query('sum(postern_requests_total{outcome="allowed"})'))[0]?.value[1]), {
        timeout: 15_000,
      })
      .toBeGreaterThan(2);
    const labels = (await query('postern_requests_total{outcome="refused"}'))[0]!.metric;
    expect(labels).toMatchObject({ route: '/**', method: 'GET', code: '401', outcome: 'refused' });
    // Types and help are those that it was told.
    const answer = await curl(secret, `${served.proxy}/api/v1/targets/metadata?metric=postern_requests_total`);
    expect(JSON.parse(answer)).toMatchObject({
      data: [{ type: 'counter', help: expect.stringContaining('Requests') }],
    });
    const histogram = await query('histogram_quantile(0.5, sum by (le) (postern_request_duration_seconds_bucket))');
    expect(Number(histogram[0]!.value[1])).toBeGreaterThan(0);
    const dropped = await query('scrape_samples_scraped - scrape_samples_post_metric_relabeling');
    expect(dropped[0]!.value[1]).toBe('0');
  });
});

describe('json-server', () => {
  let served: Served;
  const data = { posts: [{ id: 1, title: 'first', views: 7 }], comments: [], profile: { name: 'typicode' } };

  beforeAll(async () => {
    const port = await freePort();
    const file = path.join(folder, 'db.json');
    await writeFile(file, JSON.stringify(data));
    const main = path.join(root, 'node_modules/json-server/lib/cli/bin.js');
    const server = new Program(
      process.execPath,
      [main, '--host', '127.0.0.1', '--port', String(port), '--quiet', file],
      {
        cwd: folder,
      },
    );
    await answers(`http://127.0.0.1:${port}/profile`, server);
    served = await Served.start({
      config: `
upstreams: { api: { url: "http://127.0.0.1:${port}" } }
routes:
  - { path: "/posts/**", methods: [GET, HEAD], require: "posts:read" }
  - { path: "/posts/**", methods: [POST, PUT, PATCH, DELETE], require: "posts:write" }
  - { path: /profile, access: public }`,
    });
  });
  afterAll(() => served.remove());

  test('takes reads from one token, writes from another, and none from nobody', async () => {
    const { secret: reader } = await served.mint({ permissions: ['posts:read'] });
    const { secret: writer } = await served.mint({ permissions: ['posts:read', 'posts:write'] });
    const call = async (secret: string | null, method: string, target: string, body?: unknown) => {
      const response = await fetch(`${served.proxy}${target}`, {
        method,
        headers: {
          ...(secret === null ? {} : { Authorization: `Bearer ${secret}` }),
          ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return {
        status: response.status,
        headers: response.headers,
        body: text === '' ? null : (JSON.parse(text) as unknown),
      };
    };

    expect((await call(null, 'GET', '/profile')).body).toEqual(data.profile);
    expect((await call(null, 'GET', '/posts')).status).toBe(401);
    expect((await call(reader, 'GET', '/posts')).body).toEqual(data.posts);
    expect((await call(reader, 'POST', '/posts', { title: 'no' })).status).toBe(403);
    const made = await call(writer, 'POST', '/posts', { title: 'zweiter – ✓' });
    expect([made.status, made.body]).toEqual([201, { id: 2, title: 'zweiter – ✓' }]);
    expect(made.headers.get('location')).toMatch(/\/posts\/2$/);
    expect((await call(writer, 'PATCH', '/posts/2', { views: 1 })).body).toEqual({
      id: 2,
      title: 'zweiter – ✓',
      views: 1,
    });
    expect((await call(writer, 'PUT', '/posts/2', { title: 'x' })).body).toEqual({ id: 2, title: 'x' });
    const page = await call(reader, 'GET', '/posts?_page=1&_limit=1&_sort=id&_order=desc');
    expect([page.body, page.headers.get('x-total-count')]).toEqual([[{ id: 2, title: 'x' }], '2']);
    expect(page.headers.get('link')).toContain('rel="next"');
    expect((await call(reader, 'HEAD', '/posts/1')).status).toBe(200);
    expect((await call(reader, 'DELETE', '/posts/2')).status).toBe(403);
    expect((await call(writer, 'DELETE', '/posts/2')).status).toBe(200);
    expect((await call(reader, 'GET', '/posts')).body).toEqual(data.posts);
    expect((await call(writer, 'GET', '/comments')).status).toBe(404);
    expect((await call(writer, 'OPTIONS', '/posts')).status).toBe(405);
  });
});

/** A file that does not compress and does not repeat within 64 MiB; its digest. */
async function fill(file: string): Promise<string> {
  const piece = randomBytes(64 << 20);
  const hash = createHash('sha256');
  const handle = await open(file, 'w');
  for (let i = 0; i < mebibytes / 64; i++) {
    piece.writeUInt32BE(i);
    hash.update(piece);
    await handle.write(piece);
  }
  await handle.close();
  return hash.digest('hex');
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const piece of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(piece as Buffer);
  return hash.digest('hex');
}
