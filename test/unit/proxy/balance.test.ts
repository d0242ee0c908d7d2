import { describe, expect, test } from 'vitest';
import { Balancer } from '../../../src/proxy/balance.ts';
import { Health } from '../../../src/proxy/health.ts';
import { randomFrom, seed } from '../../support/random.ts';

class Place {
  load = 0;
  readonly health = new Health({ rise: 1, fall: 1 });
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const places = (names: string): Place[] => [...names].map(name => new Place(name));

describe('the choice', () => {
  test('is none among none', () => {
    expect(new Balancer().choose([], 0)).toBeNull();
  });

  test('takes turns among equals', () => {
    const [all, balancer] = [places('abc'), new Balancer<Place>()];
    expect(Array.from({ length: 7 }, () => balancer.choose(all, 0)!.name).join('')).toBe('abcabca');
  });

  test('falls on the one with the least load', () => {
    const [all, balancer] = [places('abc'), new Balancer<Place>()];
    [all[0]!.load, all[1]!.load, all[2]!.load] = [3, 1, 2];
    for (let i = 0; i < 5; i++) expect(balancer.choose(all, 0)!.name).toBe('b');
  });

  test(`falls on a least-loaded one, whatever begins and ends in between (seed ${seed})`, () => {
    const random = randomFrom(seed);
    const [all, balancer] = [places('abcde'), new Balancer<Place>()];
    for (let i = 0; i < 2000; i++) {
      const least = Math.min(...all.map(({ load }) => load));
      const chosen = balancer.choose(all, 0)!;
      expect(chosen.load).toBe(least);
      chosen.load++;
      const ending = all[Math.floor(random() * all.length)]!;
      if (ending.load > 0 && random() < 0.6) ending.load--;
    }
  });

  test('passes over those that are not healthy, however little they have to do', () => {
    const [all, balancer] = [places('ab'), new Balancer<Place>()];
    all[0]!.load = 50;
    all[1]!.health.unreachable(0);
    for (let i = 0; i < 5; i++) expect(balancer.choose(all, 10)!.name).toBe('a');
    // One of them is due for a trial.
    expect(balancer.choose(all, 1000)!.name).toBe('b');
  });

  test('is among all of them when none is healthy', () => {
    const [all, balancer] = [places('abc'), new Balancer<Place>()];
    for (const { health } of all) health.checked(false);
    expect(Array.from({ length: 6 }, () => balancer.choose(all, 0)!.name).join('')).toBe('abcabc');
    all[1]!.health.checked(true);
    expect(Array.from({ length: 3 }, () => balancer.choose(all, 0)!.name).join('')).toBe('bbb');
  });

  test('is never one that was tried already', () => {
    const [all, balancer] = [places('abc'), new Balancer<Place>()];
    const tried = new Set<Place>();
    for (let i = 0; i < 3; i++) tried.add(balancer.choose(all, 0, tried)!);
    expect(tried.size).toBe(3);
    expect(balancer.choose(all, 0, tried)).toBeNull();
  });

  test('goes on when the list becomes shorter or longer', () => {
    const balancer = new Balancer<Place>();
    for (const names of ['abc', 'abc', 'abc', 'a', 'abcd', 'ab']) {
      expect(balancer.choose(places(names), 0)).not.toBeNull();
    }
  });
});
