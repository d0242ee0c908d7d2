import type { Listener } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import type { OptionTable } from './arguments.ts';
import { type Call, type Command, Failed, UsageError } from './command.ts';
import { type Answered, ask } from './request.ts';
import { findSource, sourceOptions } from './source.ts';

/** Commands for the machine that Postern runs on: they speak to the telemetry listener. */

const options = {
  ...sourceOptions,
  url: {
    type: 'string',
    value: 'URL',
    about: 'Where the telemetry listener is (default: the configuration, http://127.0.0.1:9464)',
  },
} as const satisfies OptionTable;

export const healthcheck: Command = {
  summary: 'Exit 0 when the instance on this machine is ready (--live: when it is alive), else 1',
  usage: '[--live] [--config FILE | --upstream URL] [--url URL]',
  options: { ...options, live: { type: 'boolean', about: 'Ask whether it is alive (default: whether it is ready)' } },
  async run(call) {
    const { status, text } = await askTelemetry(call, 'GET', call.options.flag('live') ? '/livez' : '/readyz');
    call.io.out(text);
    return status === 200 ? 0 : 1;
  },
};

export const drain: Command = {
  summary: 'Ask the instance on this machine to finish what it has and stop',
  usage: '[--config FILE | --upstream URL] [--url URL]',
  options,
  async run(call) {
    const { status, text } = await askTelemetry(call, 'POST', '/drain');
    if (status !== 202) throw new Failed(`the instance answered ${status}: ${text}`);
    call.io.out(text);
    return 0;
  },
};

async function askTelemetry(call: Call, method: string, path: string): Promise<Answered> {
  const base = await telemetryUrl(call);
  // The certificate names the service, not this machine; and this connection does not leave the machine.
  const how = { method, timeoutMs: 3000, tls: { rejectUnauthorized: false } };
  return ask(new URL(path, base), how).catch((error: Error) => {
    throw new Failed(`${base}: ${error.message}`);
  });
}

/** Where the telemetry listener is: as said, as configured, or where it is by default. */
async function telemetryUrl({ options: given, io }: Call): Promise<string> {
  const said = given.text('url');
  if (said !== undefined) {
    if (URL.canParse(said) && /^https?:$/.test(new URL(said).protocol)) return said;
    throw new UsageError(`--url ${said} is no http or https URL`);
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
