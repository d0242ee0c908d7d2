import { expect, test } from 'vitest';
import { failureOf } from '../../../../src/apis/api-tokens/call.ts';
import { type Code, codes } from '../../../../src/errors.ts';

/** What the services refuse with is told in the few statuses that clients of this API know. */

const known: Partial<Record<Code, number>> = {
  forbidden: 403,
  not_found: 404,
  validation_failed: 400,
  unsupported_member: 400,
  conflict: 503,
  version_mismatch: 503,
  overloaded: 503,
  store_unavailable: 503,
};

test.each(Object.keys(codes) as Code[])('%s', code => {
  const failure = failureOf({ code, detail: 'said to managers of /v1 alone' });
  expect(failure.status).toBe(known[code] ?? 500);
  expect(failure.reason).toBe(code === 'forbidden' ? 'Insufficient permissions' : null);
});

test('an owner that is not there is a user who is nobody any more', () => {
  const errors = [{ pointer: '/owner', detail: 'does not exist' }];
  expect(failureOf({ code: 'validation_failed', detail: '', errors })).toMatchObject({
    status: 403,
    reason: 'Insufficient permissions',
  });
});
