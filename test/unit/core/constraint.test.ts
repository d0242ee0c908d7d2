import { describe, expect, test } from 'vitest';
import {
  type Breach,
  breachOf,
  type Constraints,
  compileConstraints,
  noProofs,
  type Proofs,
} from '../../../src/core/constraint.ts';
import { noBody, type ParameterReading, Parameters } from '../../../src/core/parameters.ts';
import { aForm } from '../../support/request.ts';

interface Asked {
  readonly target?: string;
  readonly method?: string;
  readonly fields?: readonly string[];
  readonly client?: string;
  readonly proofs?: Partial<Proofs>;
  /** What each parameter reads as, call by call. */
  readonly calls?: readonly Readonly<Record<string, ParameterReading>>[];
}

/** Parameters that read as the test says. */
class ReadAs extends Parameters {
  readonly #calls: NonNullable<Asked['calls']>;

  constructor(calls: NonNullable<Asked['calls']>) {
    super(null, noBody);
    this.#calls = calls;
  }

  override get calls(): number {
    return this.#calls.length;
  }

  override read(name: string, call = 0): ParameterReading {
    return this.#calls[call]?.[name] ?? { kind: 'absent' };
  }
}

function breach(
  constraints: Constraints,
  { target = '/x', method = 'GET', fields = [], client = '192.0.2.1', proofs = {}, calls = [{}] }: Asked = {},
): Breach | null {
  const compiled = compileConstraints(constraints);
  if (compiled === null) return null;
  return breachOf(compiled, {
    form: aForm(target, fields, { method }),
    reading: { kind: 'none' },
    client,
    parameters: new ReadAs(calls),
    proofs: { ...noProofs, ...proofs },
  });
}

const codeOf = (found: Breach | null): string | null => found?.code ?? null;

test('nothing that is asked for is nothing that is compiled', () => {
  expect(compileConstraints({})).toBeNull();
});

describe('networks', () => {
  const rows: [networks: string[], client: string, holds: boolean][] = [
    [['10.0.0.0/8'], '10.255.255.255', true],
    [['10.0.0.0/8'], '11.0.0.0', false],
    [['10.0.0.0/8'], '::ffff:10.1.2.3', true],
    [['10.0.0.0/8'], '::ffff:a01:203', true],
    [['::ffff:10.0.0.0/104'], '10.1.2.3', true],
    [['192.0.2.7'], '192.0.2.7', true],
    [['192.0.2.7'], '192.0.2.8', false],
    [['192.0.2.8/31'], '192.0.2.9', true],
    [['0.0.0.0/0'], '203.0.113.9', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['::/0'], '2001:db8::1', true],
    [['::/0'], '203.0.113.9', false],
    [['::/0'], '::ffff:203.0.113.9', false],
    [['2001:db8::/33'], '2001:db8:7fff::1', true],
    [['2001:db8::/33'], '2001:db8:8000::1', false],
    [['fe80::/10'], 'fe80::1%eth0', true],
    [['2001:db8::1'], '2001:DB8:0:0:0:0:0:1', true],
    [['10.0.0.0/8', '2001:db8::/32'], '2001:db8::9', true],
    [['10.0.0.0/8'], 'unknown', false],
    [['10.0.0.0/8'], '', false],
    [[], '10.0.0.1', false],
  ];
  test.each(rows)('%j and %s: %s', (networks, client, holds) => {
    expect(codeOf(breach({ networks }, { client }))).toBe(holds ? null : 'constraint_failed');
  });
});

describe('methods', () => {
  test('are exact', () => {
    expect(codeOf(breach({ methods: ['GET'] }))).toBeNull();
    for (const method of ['HEAD', 'POST', 'get']) {
      expect(codeOf(breach({ methods: ['GET'] }, { method }))).toBe('constraint_failed');
    }
  });
});

describe('paths', () => {
  const rows: [path: string, target: string, holds: boolean][] = [
    ['/db/**', '/db', true],
    ['/db/**', '/db/', true],
    ['/db/**', '/db/a/b?x=/y', true],
    ['/db/**', '/dba', false],
    ['/db/**', '/', false],
    ['/**', '/', true],
    ['/w/{id}', '/w/1', true],
    ['/w/{id}', '/w/', false],
    ['/w/{id}', '/w', false],
    ['/w/{id}', '/w/1/', false],
    ['/w/{id}', '/w/a%20b', true],
    ['/w/a%20b', '/w/%61%20b', true],
    ['/w/v{n}.json', '/w/v1.json', true],
    ['/w/v{n}.json', '/w/v.json', false],
    ['/w', '/W', false],
    ['/w', '/w/', false],
  ];
  test.each(rows)('%s and %s: %s', (path, target, holds) => {
    expect(codeOf(breach({ paths: ['/elsewhere', path] }, { target }))).toBe(holds ? null : 'constraint_failed');
  });
});

describe('params', () => {
  const params = { cloudId: 'c1', 'meta.zone': 'z' };
  const zone = { 'meta.zone': { kind: 'value', value: 'z' } } as const;
  const one = (reading: ParameterReading): Asked => ({ calls: [{ ...zone, cloudId: reading }] });
  test('each must be there and equal', () => {
    expect(codeOf(breach({ params }, one({ kind: 'value', value: 'c1' })))).toBeNull();
    expect(codeOf(breach({ params }, one({ kind: 'value', value: 'C1' })))).toBe('constraint_failed');
    expect(codeOf(breach({ params }, one({ kind: 'absent' })))).toBe('constraint_failed');
    expect(codeOf(breach({ params: { cloudId: 'c1', other: '' } }, one({ kind: 'value', value: 'c1' })))).toBe(
      'constraint_failed',
    );
  });
  test('what is ambiguous is 400, and what cannot be read is 415', () => {
    expect(codeOf(breach({ params }, one({ kind: 'ambiguous', why: 'it stands twice' })))).toBe('malformed_request');
    expect(codeOf(breach({ params }, one({ kind: 'closed' })))).toBe('unsupported_media');
  });
  test('in every call of a batch', () => {
    const good = { ...zone, cloudId: { kind: 'value', value: 'c1' } } as const;
    const bad = { ...zone, cloudId: { kind: 'value', value: 'c2' } } as const;
    expect(codeOf(breach({ params }, { calls: [good, good] }))).toBeNull();
    expect(breach({ params }, { calls: [good, bad] })?.compared).toMatchObject({ call: 1, found: 'c2', value: 'c1' });
    const [absent, ambiguous] = [zone, { ...zone, cloudId: { kind: 'ambiguous', why: 'is' } } as const];
    expect(breach({ params }, { calls: [good, good, absent, bad] })?.compared).toMatchObject({
      call: 2,
      found: 'absent',
    });
    expect(codeOf(breach({ params }, { calls: [good, ambiguous, bad] }))).toBe('malformed_request');
    expect(breach({ params }, { calls: [bad, good] })?.compared).toMatchObject({ call: 0, found: 'c2' });
    expect(breach({ params }, { calls: [bad, ambiguous] })?.compared).toMatchObject({ call: 0, found: 'c2' });
    expect(codeOf(breach({ params }, { calls: [] }))).toBe('constraint_failed');
  });
});

describe('origins', () => {
  const origins = ['https://app.example.com'];
  test('the one that is sent must be listed, byte for byte', () => {
    expect(codeOf(breach({ origins }, { fields: ['Origin', 'https://app.example.com'] }))).toBeNull();
    for (const fields of [
      [],
      ['Origin', 'https://APP.example.com'],
      ['Origin', 'null'],
      ['Origin', 'https://app.example.com:443'],
    ]) {
      expect(codeOf(breach({ origins }, { fields }))).toBe('constraint_failed');
    }
  });
});

describe('proofs', () => {
  const signature = { sealed: 'v1.x' };
  const basic = { alice: 'hash' };
  const rows: [proofs: Partial<Proofs>, code: string | null][] = [
    [{ signature: 'good', basic: 'good' }, null],
    [{ signature: 'missing', basic: 'good' }, 'constraint_failed'],
    [{ signature: 'wrong', basic: 'good' }, 'constraint_failed'],
    [{ signature: 'expired', basic: 'good' }, 'constraint_failed'],
    [{ signature: 'unverifiable', basic: 'good' }, 'constraint_failed'],
    [{ signature: null, basic: 'good' }, 'constraint_failed'],
    [{ signature: 'ambiguous', basic: 'good' }, 'malformed_request'],
    [{ signature: 'good', basic: null }, 'basic_required'],
    [{ signature: 'good', basic: 'missing' }, 'basic_required'],
    [{ signature: 'good', basic: 'wrong' }, 'basic_required'],
    [{ signature: 'good', basic: 'ambiguous' }, 'ambiguous_credential'],
    [{ signature: 'good', basic: 'busy' }, 'overloaded'],
    [{ signature: 'good', basic: 'held' }, 'too_many_failures'],
  ];
  test.each(rows)('%j: %s', (proofs, code) => {
    expect(codeOf(breach({ signature, basic }, { proofs }))).toBe(code);
  });
  test('only a wrong password is a guess', () => {
    const guessed = (proof: Proofs['basic']) => breach({ basic }, { proofs: { basic: proof } })?.guessed ?? false;
    expect([guessed('wrong'), guessed('missing'), guessed('held'), guessed('busy')]).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('what is kept and cannot be understood', () => {
  test.each([{ networks: ['nowhere'] }, { paths: ['no/slash'] }, { later: true }, { methods: 7 }, { networks: null }])(
    '%j: nothing passes',
    constraints => {
      expect(codeOf(breach(constraints as unknown as Constraints))).toBe('constraint_failed');
    },
  );
});

test('the detail never tells what would have been right', () => {
  const constraints: Constraints = {
    networks: ['10.9.8.7'],
    methods: ['PURGE'],
    paths: ['/only/here'],
    params: { a: 'rightvalue' },
    origins: ['https://right.example'],
  };
  for (const [name, value] of Object.entries(constraints)) {
    const found = breach({ [name]: value });
    expect(found?.detail).toMatch(/^[A-Z].*\.$/);
    expect(found?.detail).not.toMatch(/10\.9|PURGE|only|rightvalue|right\.example/);
    expect(found?.constraint).toBe(name);
  }
});
