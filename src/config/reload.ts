import { hash } from 'node:crypto';
import type { Config } from './config.ts';
import { viewOf } from './view.ts';

/**
 * Keys whose change needs a restart: sockets, the store and the snapshot's folder are opened once. Certificates may be
 * renewed, because only what their files hold changes then.
 */
export function compareForReload(running: Config, next: Config): string[] {
  const changed = (a: unknown, b: unknown): boolean => plain(a) !== plain(b);
  const names = ['proxy', 'admin', 'telemetry'] as const;
  const listeners = names.filter(name => changed(running.listen[name], next.listen[name]));
  const folderOf = ({ outage }: Config): string => outage.snapshot?.folder ?? '';
  return [
    ...listeners.map(name => `listen.${name}`),
    ...(whole(running.store) === whole(next.store) ? [] : ['store']),
    ...(folderOf(running) === folderOf(next) ? [] : ['outage.snapshot.path']),
  ];
}

const plain = (value: unknown): string => JSON.stringify(viewOf(value, () => 'contents'));

/** Another password is another store: its contents count, too. */
const whole = (value: unknown): string => JSON.stringify(viewOf(value, secret => hash('sha256', secret)));
