import { expect, test } from 'vitest';
import { type Problem, Refusal } from '../../../src/errors.ts';
import { Faults } from '../../../src/manage/faults.ts';

function problemOf(fill: (faults: Faults) => void): Problem | null {
  const faults = new Faults();
  fill(faults);
  try {
    faults.throwIfAny();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    return error.problem;
  }
  return null;
}

test('nothing wrong is no refusal', () => {
  expect(problemOf(() => {})).toBeNull();
});

test('the detail speaks of the first fault, and of how many there are', () => {
  const unknown = (faults: Faults): void => faults.add('/nmae', 'is not a member of this');
  expect(problemOf(unknown)).toEqual({
    code: 'validation_failed',
    detail: '/nmae is not a member of this.',
    errors: [{ pointer: '/nmae', detail: 'is not a member of this' }],
  });
  expect(
    problemOf(faults => {
      unknown(faults);
      faults.add('', 'is no map');
    })?.detail,
  ).toBe('/nmae is not a member of this, and 1 more.');
});

test('beside faults of other kinds, code and detail are those of the member that is not supported', () => {
  const problem = problemOf(faults => {
    for (let i = 0; i < 200; i++) faults.add(`/${i}`, 'is not a member of this');
    faults.addUnsupported('/limits');
    faults.addUnsupported('/notify');
  });
  expect(problem).toMatchObject({
    code: 'unsupported_member',
    detail: '/limits is not supported yet, and 201 more.',
  });
  expect(problem?.errors).toHaveLength(100);
});
