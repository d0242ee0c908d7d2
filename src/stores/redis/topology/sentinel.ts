import type { RedisEndpoint, SentinelPlace } from '../settings.ts';
import { pairs } from './pairs.ts';
import { slotCount } from './slots.ts';
import type { Topology } from './topology.ts';

/**
 * A master that sentinels watch. Each is asked, because one that was cut off goes on naming the master of before: the
 * epoch of its configuration is the smaller. They remember replicas that are down, and count them.
 */
export function sentinel(place: SentinelPlace): Topology {
  const { sentinels, master: name, sentinelLogin = {}, username, password, database, tls } = place;
  const login = {
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(database !== undefined && { database }),
    ...(tls !== undefined && { tls }),
  };
  const witnesses: readonly RedisEndpoint[] = sentinels.map(({ host, port }) => ({
    host,
    port,
    ...sentinelLogin,
    ...(tls !== undefined && { tls }),
  }));
  return {
    witnesses: () => witnesses,
    ask: async witness => {
      const answer = await witness.call('SENTINEL', 'MASTER', name).catch((error: Error) => {
        throw error.message.includes('No such master') ? new Error('it knows no master of this name') : error;
      });
      const said = pairs(answer);
      const [host, port, epoch] = [said.get('ip'), Number(said.get('port')), Number(said.get('config-epoch'))];
      if (typeof host !== 'string' || !(port > 0) || !(epoch >= 0)) throw new Error('a sentinel names no master');
      const dataNodes = 1 + Number(said.get('num-slaves') ?? said.get('num-replicas') ?? 0);
      return { epoch, shards: [{ slots: [[0, slotCount - 1]], master: { host, port }, dataNodes }] };
    },
    endpoint: ({ host, port }) => ({ host, port, ...login }),
    fixed: null,
    roles: true,
  };
}
