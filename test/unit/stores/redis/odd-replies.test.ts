import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Redis } from 'ioredis';
import { afterEach, expect, test } from 'vitest';
import { Link } from '../../../../src/stores/redis/link.ts';
import { keepReportNumber } from '../../../../src/stores/redis/scripts/report-number.ts';
import { monotonic } from '../../../../src/stores/redis/store-clock.ts';
import { sentinel } from '../../../../src/stores/redis/topology/sentinel.ts';
import { patience } from '../../../support/tiers.ts';

/** Answers that no server gives which is what it says that it is. Nothing may follow from them. */

const servers: Server[] = [];
const links: Link[] = [];
const sockets: Socket[] = [];
afterEach(async () => {
  await Promise.all(links.splice(0).map(link => link.close()));
  for (const socket of sockets.splice(0)) socket.destroy();
  for (const server of servers.splice(0)) server.close();
});

const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`;

/** A server that has one replica, does what it is told, and says this of how many replicas have it. */
async function server(waited: string): Promise<number> {
  const info = bulk('loading:0\r\nconnected_slaves:1\r\n');
  const answers: Readonly<Record<string, string>> = { INFO: info, EVALSHA: ':1\r\n', WAIT: waited, CLIENT: '+OK\r\n' };
  const listening = createServer(socket => {
    sockets.push(socket);
    socket.on('data', data => {
      for (const [name] of data.toString('latin1').matchAll(/(?<=\r\n)(INFO|EVALSHA|WAIT|CLIENT)(?=\r\n)/gi)) {
        socket.write(answers[name.toUpperCase()]!);
      }
    });
  });
  servers.push(listening);
  await new Promise<void>(resolve => listening.listen(0, '127.0.0.1', resolve));
  return (listening.address() as AddressInfo).port;
}

async function change(waited: string): Promise<unknown> {
  const place = { host: '127.0.0.1', port: await server(waited) };
  const options = { place, home: '{s}:meta', confirm: 'majority', silenceMs: patience(5000) } as const;
  const link = new Link(options, { lost: () => {}, restored: () => {} });
  links.push(link);
  await link.open(monotonic() + patience(5000));
  const call = { script: keepReportNumber, keys: ['{s}:a'], args: [1, 1000], confirmed: true };
  return link.call(call, monotonic() + 200);
}

test('a change is confirmed by the number of replicas', async () => {
  expect(await change(':1\r\n')).toBe(1);
});

test('a change is not confirmed by what is no number', async () => {
  await expect(change(bulk('many'))).rejects.toMatchObject({ name: 'StoreUnavailable', sent: true });
});

test.each(['many', '-1', '', 'Infinity', undefined])(
  'a sentinel that counts %s replicas is not believed',
  async count => {
    const said = ['config-epoch', '1', ...(count === undefined ? [] : ['num-slaves', count])];
    const call = async (_: string, what: string): Promise<unknown> =>
      what === 'MASTER' ? said : ['127.0.0.1', '6379'];
    const { ask } = sentinel({ sentinels: [{ host: '127.0.0.1', port: 26_379 }], master: 'm' });
    await expect(ask({ call } as unknown as Redis)).rejects.toThrow('how many replicas');
  },
);
