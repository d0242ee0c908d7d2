import { createHash } from 'node:crypto';
import type { Config } from './config.ts';

/** What can be written as JSON. */
export type View = null | boolean | number | string | readonly View[] | { readonly [name: string]: View };

/** The configuration for people and programs to read: every secret is masked. */
export const redactedView = (config: Config): View => viewOf(config, () => '[masked]');

/** Members that say where something was written, not what holds. */
const places = ['file', 'declaredAt', 'keyFile'];

/** A digest that is the same for configurations that do the same. Secrets are in it as digests. */
export function configHash(config: Config): string {
  const view = viewOf(config, secret => createHash('sha256').update(secret).digest('hex'), places);
  return createHash('sha256').update(JSON.stringify(view)).digest('hex');
}

/** A value as JSON would have it, with every `Buffer` as `shown` says, and without some members. */
export function viewOf(value: unknown, shown: (secret: Buffer) => string, without: readonly string[] = []): View {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  if (Buffer.isBuffer(value)) return shown(value);
  if (value instanceof RegExp) return value.source;
  if (Array.isArray(value)) return value.map(item => viewOf(item, shown, without));
  if (value instanceof Set) return [...value].map(item => viewOf(item, shown, without));
  if (typeof value !== 'object' || value === null) return null;
  const members = Object.entries(value).filter(([name]) => !without.includes(name));
  return Object.fromEntries(members.map(([name, item]) => [name, viewOf(item, shown, without)]));
}
