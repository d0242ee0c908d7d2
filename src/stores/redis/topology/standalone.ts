import type { RedisEndpoint } from '../settings.ts';
import { slotCount } from './slots.ts';
import type { Topology, View } from './topology.ts';

/**
 * One address that leads to the master, now and after whatever failover others arrange behind it. `counted`: it is asked
 * how many replicas it has. Those that are down cannot be known.
 */
export function standalone(endpoint: RedisEndpoint, counted: boolean): Topology {
  const view = (replicas: number): View => ({
    epoch: 0,
    shards: [{ slots: [[0, slotCount - 1]], master: endpoint, dataNodes: 1 + replicas }],
  });
  return {
    witnesses: () => [endpoint],
    ask: async witness => view(Number(/^connected_slaves:(\d+)/m.exec(await witness.info('replication'))?.[1] ?? 0)),
    endpoint: () => endpoint,
    fixed: counted ? null : view(0),
    roles: false,
  };
}
