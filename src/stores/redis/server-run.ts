import type { Redis } from 'ioredis';

/** One run of one server, for as long as it has been a master: nothing that it acknowledged is lost while it is the same. */
export interface ServerRun {
  readonly id: string;
  /** When it became a master that was a replica: whose history it went on with, and where. Empty: never, or it forgot. */
  readonly promoted: string;
}

/** What the server at the other end says that it is; null when it does not. */
export async function serverRun(redis: Redis): Promise<ServerRun | null> {
  const texts = await Promise.all([redis.info('server'), redis.info('replication')]);
  const said = (name: string): string => new RegExp(`^${name}:(\\S+)`, 'm').exec(texts.join('\n'))?.[1] ?? '';
  const [id, former] = [said('run_id'), said('master_replid2')];
  if (id === '') return null;
  return { id, promoted: /[^0]/.test(former) ? `${former}:${said('second_repl_offset')}` : '' };
}

/** A server forgets some time that it was promoted, without anything having happened. */
export const isSameRun = (before: ServerRun, now: ServerRun): boolean =>
  before.id === now.id && (now.promoted === '' || now.promoted === before.promoted);
