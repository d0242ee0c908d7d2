import { setImmediate } from 'node:timers/promises';
import type { Json } from '../../core/token.ts';
import { type ListPosition, listStart } from '../../manage/token-list.ts';
import type { TokenView } from '../../manage/token-view.ts';
import type { Manager } from '../../ports/session-source.ts';
import { Busy, Turns } from '../turns.ts';
import { done, Failure, type Outcome } from './envelope.ts';
import type { Call } from './methods.ts';
import type { ListOptions, Row } from './read-options.ts';
import { grantedTo, isEnabled, namedBy, rowOf } from './row.ts';
import { kind } from './token-form.ts';

/** Most tokens of one account that are gone through, and permissions of those that match, and of those that are answered. */
export const listLimits = { tokens: 10_000, permissions: 250_000 } as const;

/** Tokens that are asked for at a time, and rows that are looked at or made before others have their turn. */
const steps = { page: 1000, rows: 100 } as const;

/** A token that matches. */
interface Listed extends Row {
  readonly view: TokenView;
}

/**
 * The rows that match, in order. Whatever `limit` says, `total` is how many there are: so all are gone through. What would
 * not be whole is refused, and never cut.
 */
export async function list(call: Call, options: ListOptions): Promise<Outcome> {
  try {
    return await turnsOf(call).take(call.manager.account, () => listInTurn(call, options));
  } catch (error) {
    throw error instanceof Busy ? new Failure(503, 'Too many lists of this user') : error;
  }
}

/** By the parts of a mount. */
const turns = new WeakMap<Call['parts'], Turns>();

function turnsOf({ parts }: Call): Turns {
  const known = turns.get(parts) ?? new Turns();
  turns.set(parts, known);
  return known;
}

async function listInTurn(call: Call, options: ListOptions): Promise<Outcome> {
  const { compare, limit, offset } = options;
  const found = await matching(call, options);
  found.sort(compare);
  const rows = await rowsOf(found.slice(offset, limit === null ? undefined : offset + limit), call.manager);
  return done(rows, { total: found.length, rows: rows.length, summary: { total: found.length } });
}

async function matching({ parts, actor }: Call, { has }: ListOptions): Promise<Listed[]> {
  const found: Listed[] = [];
  let seen = 0;
  let permissions = 0;
  let position: ListPosition | null = listStart;
  while (position !== null) {
    const page: Awaited<ReturnType<typeof parts.tokens.list>> = await parts.tokens.list(
      actor,
      { kind },
      steps.page,
      position,
    );
    seen += page.tokens.length;
    if (seen > listLimits.tokens) throw tooMany('tokens to list, read them by id');
    for (const [i, view] of page.tokens.entries()) {
      if (i % steps.rows === 0) await setImmediate();
      const row = { id: view.id, name: view.name, enabled: isEnabled(view), created: view.createdAt, view };
      if (!has(row)) continue;
      permissions += namedBy(view.permissions);
      if (permissions > listLimits.permissions) throw tooMany('permissions to list, narrow the condition');
      found.push(row);
    }
    position = page.next;
  }
  return found;
}

async function rowsOf(listed: readonly Listed[], manager: Manager): Promise<Json[]> {
  const rows: Json[] = [];
  let permissions = 0;
  for (const { view } of listed) {
    const granted = grantedTo(view, manager);
    permissions += granted.length;
    if (permissions > listLimits.permissions) throw tooMany('permissions to list, set a limit');
    if (rows.push(rowOf(view, manager, granted)) % steps.rows === 0) await setImmediate();
  }
  return rows;
}

const tooMany = (what: string): Failure => new Failure(400, `Too many ${what}`);
