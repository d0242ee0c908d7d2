import type { Denial } from '../core/decision.ts';
import type { Form } from '../core/form.ts';
import { type BodyReading, noBody } from '../core/parameters.ts';
import type { Asked } from './judge.ts';

/** A body that rules may read, or why it cannot be. */
export type Inspection =
  | { readonly kind: 'read'; readonly body: BodyReading }
  | { readonly kind: 'refused'; readonly denial: Denial };

/** Reads a body, up to `limit` bytes. It is forwarded as it came. */
export async function inspect(asked: Asked, _form: Form, limit: number): Promise<Inspection> {
  await asked.readBody(limit);
  return { kind: 'read', body: noBody };
}
