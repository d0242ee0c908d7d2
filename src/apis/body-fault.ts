import type { BodyFault } from '../ports/exchange.ts';

/** What the client did to its body on the way: the listener answers that, and rooms let it pass. */
export const isBodyFault = (error: unknown): error is BodyFault =>
  error instanceof Error && (error as Partial<BodyFault>).bodyFault !== undefined;
