import type { Redis } from 'ioredis';
import type { ClusterPlace, RedisAddress, RedisEndpoint } from '../settings.ts';
import { pairs } from './pairs.ts';
import { addressText, type Shard, type Topology, type View } from './topology.ts';

/** Most nodes that are asked: an answer of the later epoch wins, it need not be everybody's. */
const mostAsked = 8;

/** A node as `CLUSTER SHARDS` tells of it. */
interface Member extends RedisAddress {
  readonly id: string;
  readonly master: boolean;
  readonly failed: boolean;
}

/** Several masters that share the slots among them. Any node is asked; one that was stopped knows only earlier epochs. */
export function cluster(place: ClusterPlace): Topology {
  const { cluster: nodes, username, password, tls } = place;
  const endpoint = ({ host, port }: RedisAddress): RedisEndpoint => ({
    host,
    port,
    ...(username !== undefined && { username }),
    ...(password !== undefined && { password }),
    ...(tls !== undefined && { tls }),
  });
  const partners = new Partners();
  return {
    witnesses: known => {
      const masters = known?.shards.flatMap(({ master }) => master ?? []) ?? [];
      const all = new Map([...nodes, ...masters].map(address => [addressText(address), address]));
      return [...all.values()].slice(0, Math.max(mostAsked, nodes.length)).map(endpoint);
    },
    ask: witness => ask(witness, tls !== undefined, partners),
    endpoint,
    fixed: null,
    roles: true,
  };
}

async function ask(witness: Redis, secure: boolean, partners: Partners): Promise<View> {
  const asked = Promise.all([witness.call('CLUSTER', 'NODES'), witness.call('CLUSTER', 'SHARDS')]);
  const [nodes, shards] = await asked.catch((error: Error) => {
    throw error.message.includes('cluster support disabled') ? new Error('it is no node of a cluster') : error;
  });
  const epochs = epochsOf(String(nodes));
  const host = witness.options.host!;
  const groups = (shards as unknown[]).map(shard => {
    const said = pairs(shard);
    const members = (said.get('nodes') as unknown[]).map(node => memberOf(node, host, secure));
    return { slots: rangesOf(said.get('slots') as number[]), members };
  });
  const holders = groups.filter(({ slots }) => slots.length > 0);
  partners.forget(groups.flatMap(({ members }) => members));
  const idle = groups.filter(({ slots }) => slots.length === 0).flatMap(({ members }) => members);
  return {
    // Whoever takes over slots does it under a new epoch, greater than all.
    epoch: Math.max(
      0,
      ...holders.flatMap(({ members }) => members.map(({ id, master }) => (master && epochs.get(id)) || 0)),
    ),
    shards: holders.map(({ slots, members }): Shard => {
      // A master that was replaced while it was down stands by itself until it comes back: it is still one of them.
      const fallen = idle.filter(({ id }) => partners.knows(id, members));
      partners.keep(members);
      const master = members.find(member => member.master && !member.failed);
      return {
        slots,
        master: master === undefined ? null : { host: master.host, port: master.port },
        dataNodes: members.length + fallen.length,
      };
    }),
  };
}

/** The epoch that each node has its slots under, by its id. */
function epochsOf(nodes: string): ReadonlyMap<string, number> {
  const lines = nodes.split('\n').map(line => line.split(' '));
  return new Map(lines.map(([id = '', , , , , , epoch]) => [id, Number(epoch)]));
}

function memberOf(node: unknown, askedHost: string, secure: boolean): Member {
  const said = pairs(node);
  // A node that does not know its own address is where it was asked.
  const named = said.get('endpoint');
  const host = typeof named === 'string' && named !== '' && named !== '?' ? named : askedHost;
  return {
    id: String(said.get('id')),
    host,
    port: Number(said.get(secure ? 'tls-port' : 'port')),
    master: said.get('role') === 'master',
    failed: said.get('health') === 'fail',
  };
}

function rangesOf(flat: readonly number[]): [number, number][] {
  const ranges: [number, number][] = [];
  for (let i = 0; i + 1 < flat.length; i += 2) ranges.push([Number(flat[i]), Number(flat[i + 1])]);
  return ranges;
}

/** Who was last seen in one shard with whom, by the ids of nodes. */
class Partners {
  readonly #of = new Map<string, ReadonlySet<string>>();

  knows(id: string, members: readonly Member[]): boolean {
    const partners = this.#of.get(id);
    return partners !== undefined && members.some(member => member.id !== id && partners.has(member.id));
  }

  /** Those that are not known to the cluster any more are none of it. */
  forget(known: readonly Member[]): void {
    const ids = new Set(known.map(({ id }) => id));
    for (const id of this.#of.keys()) if (!ids.has(id)) this.#of.delete(id);
  }

  keep(members: readonly Member[]): void {
    const ids = new Set(members.map(({ id }) => id));
    for (const id of ids) this.#of.set(id, ids);
  }
}
