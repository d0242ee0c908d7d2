import { describe, expect, it } from 'vitest';
import type { ToldRefusal } from '../../../src/ports/refusal-watch.ts';
import { RefusalTeller } from '../../../src/telemetry/refusals.ts';
import { recordOf } from './support.ts';

const secret = `pst_${'Zq8RkT0mWvYb3XsLd9'.repeat(3).slice(0, 38)}`;

function teller(watched = true) {
  const told: ToldRefusal[] = [];
  return { told, teller: new RefusalTeller({ watched, refused: refusal => void told.push(refusal) }) };
}

describe('refusals that are told', () => {
  it('are those whose outcome says so, with chosen fields', () => {
    const { told, teller: to } = teller();
    for (const outcome of ['allowed', 'failed', 'aborted'] as const) {
      to.record(recordOf({ outcome, reason: 'missing_token' }));
    }
    expect(told).toEqual([]);
    to.record(recordOf({ outcome: 'refused', reason: 'invalid_token_unknown', path: `/${secret}`, detail: secret }));
    expect(told.map(({ code, reason }) => [code, reason])).toEqual([['invalid_token', 'invalid_token_unknown']]);
    expect(JSON.stringify(told)).not.toContain(secret);
  });

  it('are those that shadow mode lets through as well, and say so', () => {
    const { told, teller: to } = teller();
    to.record(recordOf({ outcome: 'shadow', reason: 'allowed', shadow: 'insufficient_scope' }));
    to.record(recordOf({ outcome: 'allowed', reason: 'allowed', shadow: 'allowed' }));
    expect(told.map(({ code, reason, shadow }) => [code, reason, shadow])).toEqual([
      ['insufficient_scope', 'insufficient_scope', true],
    ]);
  });

  it('hold no token and no control character, wherever a client put one, and nothing long', () => {
    const { told, teller: to } = teller();
    const long = 'X'.repeat(5000);
    for (const text of [secret, `\u202e\r\n${secret}`, long]) {
      to.record(recordOf({ outcome: 'refused', reason: 'method_not_allowed', method: text, client: text }));
    }
    const text = JSON.stringify(told);
    expect(text).not.toContain(secret.slice(4, 24));
    expect(text).not.toMatch(/\u202e|\\r|\\n/);
    expect(text.length).toBeLessThan(3000);
  });

  it('are not told while nobody watches', () => {
    const { told, teller: to } = teller(false);
    to.record(recordOf({ outcome: 'refused', reason: 'missing_token' }));
    expect(told).toEqual([]);
  });
});
