import { readFileSync } from 'node:fs';
import type { RedisServer } from './redis.ts';

/** The user of Redis that the README tells people to make: its lines there, with another password. */
export function documentedUser(whose: 'postern' | 'postern-sentinel', password: string): string {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
  const start = `user ${whose} `;
  const line = readme.split('\n').find(text => text.startsWith(start));
  if (line === undefined) throw new Error(`the README has no line "${start}…"`);
  return line.replace(/>\S+/, `>${password}`);
}

/** Makes a user, from its line in an ACL file. */
export async function setUser(server: RedisServer, line: string): Promise<void> {
  const [, name = '', ...rules] = line.split(' ');
  const client = server.client();
  await client.call('ACL', 'SETUSER', name, ...rules);
  client.disconnect();
}
