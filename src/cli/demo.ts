import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { App } from '../app.ts';
import { loadConfig } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import { Logger } from '../telemetry/log.ts';
import { type Command, Failed } from './command.ts';
import { startDemoUpstream } from './demo-upstream.ts';
import { version } from './version.ts';

/** An example upstream and Postern in front of it, with a fresh store in a folder that goes with the process. */
export const demo: Command = {
  summary: 'Try it: an example API behind Postern, and curl lines that work as printed',
  usage: '',
  async run({ io }) {
    const folder = await mkdtemp(path.join(tmpdir(), 'postern-demo-'));
    try {
      const upstream = await startDemoUpstream();
      const ports = { proxy: await freePort(8080), admin: await freePort(8081), telemetry: await freePort(9464) };
      const file = path.join(folder, 'postern.yaml');
      await writeFile(file, configuration(upstream.url, ports));
      const source = { file };
      const loaded = await loadConfig(source);
      if (!loaded.ok) throw new Failed(loaded.problems.map(problemLine).join('\n'));
      const app = await App.start({ loaded, source, version, logger: new Logger({ level: 'warn', fd: 2 }) });
      const admin = `http://127.0.0.1:${ports.admin}`;
      const reader = await mint(admin, app.generatedKey, { name: 'reader', permissions: ['widgets:read'] });
      const nobody = await mint(admin, app.generatedKey, { name: 'without permissions' });
      process.on('SIGINT', () => void app.drain({ skipDelay: true }));
      process.on('SIGTERM', () => void app.drain({ skipDelay: true }));
      io.out(lines(folder, ports, reader, nobody));
      await app.closed;
      upstream.close();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    process.exit(0);
  },
};

interface Ports {
  readonly proxy: number;
  readonly admin: number;
  readonly telemetry: number;
}

const configuration = (upstream: string, { proxy, admin, telemetry }: Ports): string => `# What this demonstration runs.
listen: { proxy: "127.0.0.1:${proxy}", admin: "127.0.0.1:${admin}", telemetry: "127.0.0.1:${telemetry}" }
upstreams:
  widgets: { url: "${upstream}" }
routes:
  - { path: /public/**, access: public }
  - { path: "/widgets/{id}", methods: [GET, HEAD], require: "widgets:read" }
  - { path: /events, require: "widgets:read" }
  - { path: /ws, require: "widgets:read" }
store: { kind: embedded, path: ./data }
log: { access: none }
shutdown: { grace: 1s }
`;

async function mint(admin: string, key: string | null, body: object): Promise<{ id: string; secret: string }> {
  const response = await fetch(`${admin}/v1/tokens`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Failed(`no token could be made: ${await response.text()}`);
  const { token, secret } = (await response.json()) as { token: { id: string }; secret: string };
  return { id: token.id, secret };
}

function lines(
  folder: string,
  ports: Ports,
  reader: { id: string; secret: string },
  nobody: { secret: string },
): string {
  const proxy = `http://127.0.0.1:${ports.proxy}`;
  const admin = `http://127.0.0.1:${ports.admin}`;
  return `Postern ${version} stands in front of an example API. Its configuration and store are in ${folder}

# 200: the token has the permission
curl -i -w '\\n' -H 'Authorization: Bearer ${reader.secret}' ${proxy}/widgets/1

# 401: no token
curl -i -w '\\n' ${proxy}/widgets/1

# 403: a token without the permission
curl -i -w '\\n' -H 'Authorization: Bearer ${nobody.secret}' ${proxy}/widgets/1

# 200: a public route
curl -i ${proxy}/public/hello

# an event stream, as it is written
curl -N -H 'Authorization: Bearer ${reader.secret}' ${proxy}/events

# the same decisions, counted
curl -s http://127.0.0.1:${ports.telemetry}/metrics | grep -E '^postern_(requests|decisions)_total' | grep -v ' 0$'

# what the token was used for
curl -s -w '\\n' -H "Authorization: Bearer $(cat ${folder}/data/admin.key)" ${admin}/v1/tokens/${reader.id}/usage

# a WebSocket, decided before the upgrade: 101, and curl hangs up after a second
curl -isN --max-time 1 -H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' -H 'Authorization: Bearer ${reader.secret}' ${proxy}/ws

# revoke it; the first line answers 401 from now on
curl -s -w '\\n' -X DELETE -H "Authorization: Bearer $(cat ${folder}/data/admin.key)" ${admin}/v1/tokens/${reader.id}

The WebSocket echoes what other clients send to ws://127.0.0.1:${ports.proxy}/ws
Ctrl-C ends this.`;
}

/** The port itself where it is free, else another one. */
async function freePort(wanted: number): Promise<number> {
  return (await tryPort(wanted)) ?? (await tryPort(0)) ?? wanted;
}

function tryPort(port: number): Promise<number | null> {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once('error', () => resolve(null));
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      const found = typeof address === 'object' && address !== null ? address.port : null;
      probe.close(() => resolve(found));
    });
  });
}
