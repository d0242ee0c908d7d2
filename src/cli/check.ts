import { mountText, storeText, upstreamText } from '../app-startup.ts';
import type { Config } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { boundsOf } from '../config/outage.ts';
import { problemLine } from '../config/problems.ts';
import { redactedView } from '../config/view.ts';
import type { Command } from './command.ts';
import { needSource, sourceOptions } from './source.ts';
import { rows } from './table.ts';

export const check: Command = {
  summary: 'Check a configuration, and print what it means for revocation',
  usage: '[--config FILE | --upstream URL] [--json]',
  options: sourceOptions,
  async run({ options, io }) {
    const loaded = await loadConfig(needSource(options, io));
    if (!loaded.ok) {
      const problems = loaded.problems.map(problemLine);
      if (options.flag('json')) io.out(JSON.stringify({ ok: false, problems }));
      else for (const problem of problems) io.err(problem);
      return 2;
    }
    const warnings = loaded.warnings.map(problemLine);
    const { config, hash } = loaded;
    if (options.flag('json')) {
      io.out(JSON.stringify({ ok: true, hash, warnings, bounds: secondsOf(config), config: redactedView(config) }));
      return 0;
    }
    for (const warning of warnings) io.err(`warning: ${warning}`);
    io.out(describe(config, hash));
    return 0;
  },
};

/** Seconds within which a revoked token is refused: with the store in reach, and without. */
function secondsOf(config: Config) {
  const { connectedMs, cutOffMs } = boundsOf(config);
  return { connected: connectedMs / 1000, cut_off: cutOffMs / 1000 };
}

function describe(config: Config, hash: string): string {
  const { listen, upstreams, routes, tokenApis, store } = config;
  const { connected, cut_off } = secondsOf(config);
  return rows([
    ['configuration', `${config.file ?? 'environment'} is good (${hash.slice(0, 12)})`],
    ['proxy', listen.proxy.address],
    ['admin', listen.admin.address],
    ['telemetry', listen.telemetry.address],
    ['upstreams', upstreams.map(upstreamText).join(', ')],
    ['routes', String(routes.length)],
    ...(tokenApis.length === 0 ? [] : [['token APIs', tokenApis.map(mountText).join(', ')] as const]),
    ['store', `${store.kind} ${storeText(store)}`],
    ['revocation', `refused within ${connected}s while the store answers, ${cut_off}s when it does not`],
  ]);
}
