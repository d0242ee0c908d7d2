import { existsSync } from 'node:fs';
import path from 'node:path';
import { App, ConfigurationRefused } from '../app.ts';
import { loadConfig } from '../config/load.ts';
import { problemLine } from '../config/problems.ts';
import { installExitHooks } from '../telemetry/exit-hooks.ts';
import { Logger } from '../telemetry/log.ts';
import type { Command } from './command.ts';
import { needSource, sourceOptions } from './source.ts';
import { version } from './version.ts';

export const serve: Command = {
  summary: 'Run the proxy',
  usage: '[--config FILE | --upstream URL]',
  options: sourceOptions,
  async run({ options, io }) {
    const source = needSource(options, io);
    const loaded = await loadConfig(source);
    if (!loaded.ok) {
      for (const problem of loaded.problems) io.err(problemLine(problem));
      return 2;
    }
    const logger = new Logger({ level: loaded.config.log.level });
    const { store } = loaded.config;
    // A Redis makes no key: one is configured.
    const keyFile = store.kind === 'embedded' ? path.join(store.path, 'admin.key') : null;
    const hadKey = keyFile === null || existsSync(keyFile);
    // Before anything can crash, and before somebody can ask for an end: what comes early is done once it has started.
    const unhook = installExitHooks(logger, logger.sink);
    const starting = App.start({ loaded, source, version, logger });
    const onceStarted = (act: (app: App) => unknown) => (): void => void starting.then(act, () => {});
    process.on(
      'SIGTERM',
      onceStarted(app => app.drain()),
    );
    process.on(
      'SIGINT',
      onceStarted(app => app.drain({ skipDelay: true })),
    );
    process.on(
      'SIGHUP',
      onceStarted(app => app.reload()),
    );
    let app: App;
    try {
      app = await starting;
    } catch (error) {
      unhook();
      const lines = error instanceof ConfigurationRefused ? error.lines : [`postern: ${startFault(error)}`];
      for (const line of lines) io.err(line);
      return error instanceof ConfigurationRefused ? 2 : 1;
    }
    if (app.generatedKey !== null && !hadKey) logger.info({ file: keyFile }, 'an admin key was made');
    if (loaded.config.tokens.peppers.length === 0) {
      logger.info({}, 'tokens are kept under plain digests: no pepper is configured');
    }
    logger.sink.flush();
    await app.closed;
    // Nothing is under way any more; what a library may have left behind must not keep the process.
    logger.sink.flushSync();
    process.exit(0);
  },
};

function startFault(error: unknown): string {
  const { code, message, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number };
  if (code === 'EADDRINUSE') return `${address ?? ''}:${port ?? ''} is in use by another process`;
  if (code === 'ENOTSUP' && port !== undefined)
    return `port ${port} cannot be shared on this system: leave reuse_port out`;
  if (code === 'EACCES' && port !== undefined) return `port ${port} may not be listened on by this user`;
  return message;
}
