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
      // While a replica takes over, only the address is already its own. Its configuration has the new epoch by then.
      const asked = ['GET-MASTER-ADDR-BY-NAME', 'MASTER'].map(what => witness.call('SENTINEL', what, name));
      const [address, about] = await Promise.all(asked).catch((error: Error) => {
        throw error.message.includes('No such master') ? new Error('it knows no master of this name') : error;
      });
      const said = pairs(about);
      const [host, port] = Array.isArray(address) ? [String(address[0]), Number(address[1])] : ['', 0];
      const epoch = Number(said.get('config-epoch'));
      if (host === '' || !(port > 0) || !(epoch >= 0)) throw new Error('it names no master');
      const counted = String(said.get('num-slaves') ?? said.get('num-replicas'));
      // A majority of nobody knows how many would be nobody.
      if (!/^\d{1,9}$/.test(counted)) throw new Error('it does not say how many replicas there are');
      const dataNodes = 1 + Number(counted);
      return { epoch, shards: [{ slots: [[0, slotCount - 1]], master: { host, port }, dataNodes }] };
    },
    endpoint: ({ host, port }) => ({ host, port, ...login }),
    fixed: null,
    roles: true,
  };
}
