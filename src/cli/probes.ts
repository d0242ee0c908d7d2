import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { Listener } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import { type Call, type Command, Failed, UsageError } from './command.ts';
import { findSource, sourceOptions } from './source.ts';

/** Commands for the machine that Postern runs on: they speak to the telemetry listener. */

const options = { ...sourceOptions, url: { type: 'string' } } as const;

export const healthcheck: Command = {
  summary: 'Exit 0 when the instance on this machine is ready (--live: when it is alive), else 1',
  usage: '[--live] [--config FILE] [--url http://127.0.0.1:9464]',
  options: { ...options, live: { type: 'boolean' } },
  async run(call) {
    const { status, body } = await ask(call, 'GET', call.options.flag('live') ? '/livez' : '/readyz');
    call.io.out(body);
    return status === 200 ? 0 : 1;
  },
};

export const drain: Command = {
  summary: 'Ask the instance on this machine to finish what it has and stop',
  usage: '[--config FILE] [--url http://127.0.0.1:9464]',
  options,
  async run(call) {
    const { status, body } = await ask(call, 'POST', '/drain');
    if (status !== 202) throw new Failed(`the instance answered ${status}: ${body}`);
    call.io.out(body);
    return 0;
  },
};

async function ask(call: Call, method: string, path: string): Promise<{ status: number; body: string }> {
  const base = await telemetryUrl(call);
  const request = base.startsWith('https:') ? requestHttps : requestHttp;
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, base),
      // The certificate names the service, not this machine; and this connection does not leave the machine.
      { method, timeout: 3000, rejectUnauthorized: false },
      answer => {
        const pieces: Buffer[] = [];
        answer.on('data', (piece: Buffer) => pieces.push(piece));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body: Buffer.concat(pieces).toString() }));
        answer.on('error', reject);
      },
    );
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in 3 s')));
    outgoing.on('error', (error: Error) => reject(new Failed(`${base}: ${error.message}`)));
    outgoing.end();
  });
}

/** Where the telemetry listener is: as said, as configured, or where it is by default. */
async function telemetryUrl({ options: given, io }: Call): Promise<string> {
  const said = given.text('url');
  if (said !== undefined) {
    if (!URL.canParse(said)) throw new UsageError(`--url ${said} is no URL`);
    return said;
  }
  const source = findSource(given, io);
  if (source === null) return urlOf(io.env['POSTERN_LISTEN_TELEMETRY'] ?? ':9464', false);
  const loaded = await loadConfig(source);
  if (!loaded.ok) throw new UsageError(loaded.problems.map(problemLine).join('\n'));
  const { telemetry } = loaded.config.listen;
  return urlOf(telemetry.address, telemetry.tls !== null);
}

export function urlOf(address: Listener['address'], tls: boolean): string {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon);
  const local = host === '' || host === '0.0.0.0' || host === '[::]' ? '127.0.0.1' : host;
  return `${tls ? 'https' : 'http'}://${local}:${address.slice(colon + 1)}`;
}
