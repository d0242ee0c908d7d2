import type { Log } from '../ports/log.ts';
import type { LineSink } from './line-sink.ts';

/**
 * Keeps the log whole when the process ends, and the secrets in it safe when it crashes: Node would print the error
 * as it is, with its message, its source line and whatever a library hung on it.
 *
 * Answers how to take the hooks away again.
 */
export function installExitHooks(log: Log, sink: LineSink, target: NodeJS.Process = process): () => void {
  const onExit = (): void => sink.flushSync();
  // Rejections that nobody handles arrive here too.
  const onCrash = (error: unknown): void => {
    try {
      log.fault(error, 'the process crashes: an error was not handled');
      sink.flushSync();
    } finally {
      target.exit(1);
    }
  };
  target.on('exit', onExit);
  target.on('uncaughtException', onCrash);
  return () => {
    target.off('exit', onExit);
    target.off('uncaughtException', onCrash);
  };
}
