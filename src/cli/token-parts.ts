import type { Call } from './command.ts';

/** What commands about one token have in common. */

export const tokenPath = ({ args }: Pick<Call, 'args'>): string => `/v1/tokens/${encodeURIComponent(args[0] ?? '')}`;

/** Prints an answer, for programs or for people. */
export function show({ options, io }: Pick<Call, 'options' | 'io'>, body: unknown, text: () => string): number {
  io.out(options.flag('json') ? JSON.stringify(body) : text());
  return 0;
}
