import type { Asker } from '../../src/ports/session-source.ts';

/** A client of a network that nothing is held against. */
export const asker: Asker = { network: '192.0.2.7', heldBack: () => false };
