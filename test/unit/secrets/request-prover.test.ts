import { scryptSync } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Constraints, Proofs } from '../../../src/core/constraint.ts';
import { Places, readCredential } from '../../../src/core/credential.ts';
import { signedText } from '../../../src/core/signature.ts';
import { compileSubject } from '../../../src/core/token.ts';
import type { Log } from '../../../src/ports/log.ts';
import type { ProofQuestion } from '../../../src/ports/prover.ts';
import { RequestProver } from '../../../src/secrets/request-prover.ts';
import { type Asker, Scrypt } from '../../../src/secrets/scrypt.ts';
import { signatureOf } from '../../../src/secrets/signing.ts';
import { Vault } from '../../../src/secrets/vault.ts';
import { aToken } from '../../contract/harness.ts';
import { testKey } from '../../support/managed.ts';
import { aForm } from '../../support/request.ts';

/** Facts are computed at once where nothing has to be worked out, never wrongly, and no more work is done than needed. */

const now = Date.UTC(2030, 0, 1);
const key = 'k'.repeat(32);
const places = new Places([
  { kind: 'header', name: 'x-api-key', scheme: null },
  { kind: 'query', name: 'auth_token' },
]);
/** Cheap, as an import may be: what is tested is not how long it takes. */
const hashed = new Map<string, string>();
async function cheap(password: string, p = 1): Promise<string> {
  const known = hashed.get(`${password} ${p}`);
  if (known !== undefined) return known;
  const text = (bytes: Buffer) => bytes.toString('base64').replaceAll('=', '');
  const salt = Buffer.alloc(16, 7);
  const hash = `$scrypt$ln=10,r=8,p=${p}$${text(salt)}$${text(scryptSync(password, salt, 32, { N: 1024, r: 8, p }))}`;
  hashed.set(`${password} ${p}`, hash);
  return hash;
}

class CountingScrypt extends Scrypt {
  count = 0;
  readonly hashes: string[] = [];
  override matches(password: string | Buffer, hash: string, asker: Asker): Promise<boolean | null> {
    this.count++;
    this.hashes.push(hash);
    return super.matches(password, hash, asker);
  }
}

/** Finds every password wrong, but not before it is let go. */
class HeldScrypt extends Scrypt {
  readonly held: (() => void)[] = [];
  override matches(): Promise<boolean | null> {
    return new Promise(resolve => this.held.push(() => resolve(false)));
  }
}

function aWorld(waiting = 64) {
  const scrypt = new CountingScrypt({ waiting });
  const vault = new Vault(testKey, scrypt);
  const logged: unknown[] = [];
  const note = (...line: unknown[]): void => void logged.push(line);
  const log: Log = { info: note, warn: note, error: note, fault: note };
  return { scrypt, vault, logged, prover: new RequestProver({ vault, scrypt, log }) };
}

function aQuestion(
  constraints: Constraints,
  target: string,
  fields: string[] = [],
  { id = 't1', ...more }: Partial<ProofQuestion> & { readonly id?: string } = {},
): ProofQuestion {
  const form = aForm(target, ['X-Api-Key', 'pst_x', ...fields]);
  const stored = aToken(id, { constraints });
  return {
    subject: compileSubject(stored, null, [], stored.digest),
    form,
    reading: readCredential(form, places),
    now,
    network: 'n1',
    heldBack: () => false,
    ...more,
  };
}

const basic = (pair: string | Buffer): string[] => ['Authorization', `Basic ${Buffer.from(pair).toString('base64')}`];

const expires = now / 1000 + 60;
function signed(path: string, query: string, at = expires): string {
  const expiring = `${query}${query === '' ? '' : '&'}postern_expires=${at}`;
  return `${path}?${expiring}&postern_signature=${signatureOf(key, signedText('GET', path, expiring))}`;
}

describe('signatures', () => {
  const world = aWorld();
  const constraints = { signature: { sealed: world.vault.seal('t1', key) } };
  const proof = (target: string, more: Partial<ProofQuestion> = {}): Proofs['signature'] =>
    (world.prover.prove(aQuestion(constraints, target, [], more)) as Proofs).signature;

  test('a good one holds until the second that it names', () => {
    expect(proof(signed('/x', 'a=1'))).toBe('good');
    expect(proof(signed('/x', ''), { now: expires * 1000 - 1 })).toBe('good');
    expect(proof(signed('/x', ''), { now: expires * 1000 })).toBe('expired');
    expect(proof(signed('/x', ''), { now: expires * 1000 + 1000 })).toBe('expired');
  });
  test('what is no number of seconds is no expiry, whoever signed it', () => {
    for (const at of ['1e99', '-1', '01', '', '9'.repeat(13), 'Infinity', '1.5', '%31']) {
      expect(proof(signed('/x', '', at as unknown as number)), at).toBe('wrong');
    }
  });
  test('none, half of one, and two', () => {
    expect(proof('/x')).toBe('missing');
    expect(proof('/x?postern_expires=5')).toBe('missing');
    expect(proof('/x?postern_signature=5')).toBe('missing');
    expect(proof(`${signed('/x', '')}&postern_expires=5`)).toBe('ambiguous');
    expect(proof(`${signed('/x', '')}&postern_signature=`)).toBe('ambiguous');
    for (const name of [
      'Postern_Signature',
      'postern%5Fsignature',
      'postern_signature[]',
      'POSTERN_EXPIRES',
      'postern_expires%5B0%5D',
    ]) {
      expect(proof(signed('/x', `${name}=1`)), name).toBe('ambiguous');
    }
  });
  test('a key that cannot be opened proves nothing, and is told of once', () => {
    const { vault, logged, prover } = aWorld();
    const question = aQuestion({ signature: { sealed: vault.seal('t2', key) } }, signed('/x', ''));
    for (let i = 0; i < 3; i++) expect(prover.prove(question)).toEqual({ signature: 'unverifiable', basic: null });
    expect(logged).toHaveLength(1);
    expect(JSON.stringify(logged)).not.toContain('v1.');
  });
});

describe('Basic credentials', () => {
  test('a pair is worked on once, and known at once from then on', async () => {
    const { prover, scrypt } = aWorld();
    const users = { basic: { alice: await cheap('right') } };
    for (const [pair, verdict] of [
      ['alice:right', 'good'],
      ['alice:wrong', 'wrong'],
      ['nobody:right', 'wrong'],
    ] as const) {
      const before = scrypt.count;
      const first = prover.prove(aQuestion(users, '/x', basic(pair)));
      expect(first).toBeInstanceOf(Promise);
      expect(await first).toEqual({ signature: null, basic: verdict });
      expect(prover.prove(aQuestion(users, '/y', basic(pair)))).toEqual({ signature: null, basic: verdict });
      expect(scrypt.count).toBe(before + 1);
    }
  });
  test('requests that come together are worked on together', async () => {
    const { prover, scrypt } = aWorld();
    const users = { basic: { alice: await cheap('right') } };
    const all = await Promise.all(
      Array.from({ length: 50 }, () => prover.prove(aQuestion(users, '/x', basic('alice:right')))),
    );
    expect(new Set(all.map(proofs => proofs.basic))).toEqual(new Set(['good']));
    expect(scrypt.count).toBe(1);
  });
  test('another password of the user is another pair', async () => {
    const { prover } = aWorld();
    expect(
      await prover.prove(aQuestion({ basic: { alice: await cheap('old') } }, '/x', basic('alice:old'))),
    ).toMatchObject({ basic: 'good' });
    const changed = { basic: { alice: await cheap('new') } };
    expect(await prover.prove(aQuestion(changed, '/x', basic('alice:old')))).toMatchObject({ basic: 'wrong' });
  });
  test('users that there are not cost what those cost that there are, the same each time', async () => {
    const { prover, scrypt } = aWorld();
    const users = { basic: { a: await cheap('x', 1), b: await cheap('x', 2) } };
    const costs = new Set<string>();
    for (let i = 0; i < 40; i++) {
      await prover.prove(aQuestion(users, '/x', basic(`user${i}:one`)));
      const first = scrypt.hashes.at(-1)!;
      await prover.prove(aQuestion(users, '/x', basic(`user${i}:two`)));
      expect(scrypt.hashes.at(-1)).toBe(first);
      costs.add(/^\$scrypt\$[^$]+/.exec(first)![0]);
    }
    expect([...costs].sort()).toEqual(['$scrypt$ln=10,r=8,p=1', '$scrypt$ln=10,r=8,p=2']);
  });
  test('names that objects inherit are no users', async () => {
    const { prover } = aWorld();
    const users = { basic: { alice: await cheap('right') } };
    for (const user of ['constructor', '__proto__', 'toString']) {
      expect(await prover.prove(aQuestion(users, '/x', basic(`${user}:right`)))).toMatchObject({ basic: 'wrong' });
    }
  });
  test('what is no single pair is ambiguous, and another scheme is none', () => {
    const { prover, scrypt } = aWorld();
    const proof = (fields: string[]) => (prover.prove(aQuestion({ basic: { a: 'x' } }, '/x', fields)) as Proofs).basic;
    expect(proof([])).toBe('missing');
    expect(proof(['Authorization', 'Digest x'])).toBe('missing');
    expect(proof([...basic('a:b'), ...basic('a:b')])).toBe('ambiguous');
    expect(proof([...basic('a:b'), 'Authorization', 'Digest x'])).toBe('ambiguous');
    for (const value of [
      'Basic',
      'Basic ',
      'Basic  YTpi',
      'Basic\tYTpi',
      'basic YTpi,',
      'Basic YTpi, Basic YTpi',
      'Basic YTpi=',
      'Basic YQ==',
      'Basic YTo_',
    ]) {
      expect(proof(['Authorization', value]), value).toBe('ambiguous');
    }
    expect(proof(basic('a:b\0'))).toBe('ambiguous');
    expect(scrypt.count).toBe(0);
  });
  test('a password may have colons, and be empty', async () => {
    const { prover } = aWorld();
    const users = { basic: { alice: await cheap('a:b:c'), bob: await cheap('') } };
    expect(await prover.prove(aQuestion(users, '/x', basic('alice:a:b:c')))).toMatchObject({ basic: 'good' });
    expect(await prover.prove(aQuestion(users, '/x', basic('alice:a')))).toMatchObject({ basic: 'wrong' });
  });
  test('a network that is held back has nothing worked on, and a known pair passes all the same', async () => {
    const { prover, scrypt } = aWorld();
    const users = { basic: { alice: await cheap('right') } };
    const heldBack = () => true;
    expect(prover.prove(aQuestion(users, '/x', basic('alice:right'), { heldBack }))).toMatchObject({ basic: 'held' });
    expect(scrypt.count).toBe(0);
    await prover.prove(aQuestion(users, '/x', basic('alice:right')));
    expect(prover.prove(aQuestion(users, '/x', basic('alice:right'), { heldBack }))).toMatchObject({ basic: 'good' });
  });
  test('more than wait may is refused as busy, never as wrong, and is not remembered', async () => {
    const { prover, scrypt } = aWorld(2);
    const users = { basic: { alice: await cheap('right') } };
    const from = (i: number) => ({ id: `t${i}`, network: `n${i}` });
    const asked = Array.from({ length: 10 }, (_, i) => prover.prove(aQuestion(users, '/x', basic('alice:9'), from(i))));
    const found = (await Promise.all(asked)).map(proofs => proofs.basic);
    expect(found.filter(each => each === 'busy')).toHaveLength(6);
    expect(scrypt.peak).toBe(2);
    expect(await prover.prove(aQuestion(users, '/x', basic('alice:9')))).toMatchObject({ basic: 'wrong' });
  });
  describe('many guesses at once', () => {
    const users = { basic: { alice: 'x' } };
    const aHeldWorld = () => {
      const scrypt = new HeldScrypt();
      const log: Log = { info: () => {}, warn: () => {}, error: () => {}, fault: () => {} };
      return { scrypt, prover: new RequestProver({ vault: new Vault(testKey, scrypt), scrypt, log }) };
    };
    const ends = async (proofs: Proofs | Promise<Proofs>) => (await proofs).basic;

    test('with one token are four under way: a victim with another token is worked on, from the same network too', async () => {
      const { prover, scrypt } = aHeldWorld();
      const guess = (i: number, network: string) =>
        prover.prove(aQuestion(users, '/x', basic(`alice:${i}`), { id: 'stolen', network }));
      const guesses = Array.from({ length: 80 }, (_, i) => guess(i, `n${i % 20}`));
      expect(scrypt.held).toHaveLength(4);
      expect(guesses.slice(4).every(each => !(each instanceof Promise) && each.basic === 'busy')).toBe(true);
      const victims = ['n0', 'elsewhere'].map(network =>
        prover.prove(aQuestion(users, '/x', basic('alice:mine'), { id: network, network })),
      );
      expect(scrypt.held).toHaveLength(6);
      for (const release of scrypt.held) release();
      for (const each of [...guesses.slice(0, 4), ...victims]) expect(await ends(each)).toBe('wrong');
      // The places are free again.
      void guess(80, 'n1');
      expect(scrypt.held).toHaveLength(7);
    });
    test('from one network are eight under way, whatever tokens they come with', async () => {
      const { prover, scrypt } = aHeldWorld();
      const guess = (i: number, network = 'n1') =>
        prover.prove(aQuestion(users, '/x', basic(`alice:${i}`), { id: `t${i}`, network }));
      const guesses = Array.from({ length: 20 }, (_, i) => guess(i));
      expect(scrypt.held).toHaveLength(8);
      expect(await Promise.all(guesses.slice(8).map(ends))).toEqual(Array.from({ length: 12 }, () => 'busy'));
      void guess(20, 'n2');
      expect(scrypt.held).toHaveLength(9);
      // Asked for twice, it is worked on once, and takes no place.
      expect(guess(0)).toBeInstanceOf(Promise);
      expect(scrypt.held).toHaveLength(9);
      for (const release of scrypt.held) release();
      expect(await Promise.all(guesses.slice(0, 8).map(ends))).toEqual(Array.from({ length: 8 }, () => 'wrong'));
      void guess(21);
      expect(scrypt.held).toHaveLength(10);
    });
    test('count against the guard before they have failed', () => {
      const { prover, scrypt } = aHeldWorld();
      const seen: number[] = [];
      const heldBack = (underWay: number) => {
        seen.push(underWay);
        return underWay >= 3;
      };
      const guesses = Array.from({ length: 5 }, (_, i) =>
        prover.prove(aQuestion(users, '/x', basic(`alice:${i}`), { id: `t${i}`, heldBack })),
      );
      expect(seen).toEqual([0, 1, 2, 3, 3]);
      expect(scrypt.held).toHaveLength(3);
      expect(guesses.slice(3)).toEqual(Array.from({ length: 2 }, () => ({ signature: null, basic: 'held' })));
    });
  });
  test('without a good signature no password is worked on', () => {
    const { prover, scrypt, vault } = aWorld();
    const both = { signature: { sealed: vault.seal('t1', key) }, basic: { alice: 'x' } };
    expect(prover.prove(aQuestion(both, '/x', basic('alice:right')))).toEqual({ signature: 'missing', basic: null });
    expect(scrypt.count).toBe(0);
  });
});

test('what is not asked for is not looked at', () => {
  const { prover } = aWorld();
  expect(prover.prove(aQuestion({}, '/x', basic('a:b')))).toEqual({ signature: null, basic: null });
  expect(prover.prove(aQuestion({ methods: ['GET'] }, '/x'))).toEqual({ signature: null, basic: null });
});
