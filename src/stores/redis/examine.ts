import { formerLimit } from '../../core/limit.ts';
import type { Finding } from '../../ports/store-transfer.ts';
import { faultIn } from '../limits.ts';
import { readTexts } from './dump.ts';
import type { Keys } from './keys.ts';
import { ledgerOf, parseHead, parseLedger } from './limit-records.ts';
import type { Link } from './link.ts';
import { examineFeed, examineRoles, examineTokens } from './scripts/examine.ts';
import { monotonic } from './store-clock.ts';
import type { Unit } from './unit.ts';

/** Most tokens in one script, so that nobody waits long behind one. */
const atOnce = 100;
/** How often the way there and back is taken to time it. */
const trips = 20;
/** Milliseconds; a slower way there and back makes requests of unknown tokens wait. */
const slow = 10;
/** Most faults that are told one by one. */
const told = 5;

const remedy =
  'restore a backup into another prefix (postern store migrate), and keep this one for those who look into it';

/** Looks at the server and at everything that the store has in it, a little at a time: it goes on serving. */
export async function examineRedis(link: Link, unit: Unit, keys: Keys): Promise<readonly Finding[]> {
  return [
    ...(await examineServer(link, unit)),
    ...(await examineContents(unit)),
    await examineLimits(link, unit, keys),
  ];
}

/** A ledger that cannot be read refuses every request of its token or account. */
async function examineLimits(link: Link, unit: Unit, keys: Keys): Promise<Finding> {
  const name = 'limits';
  const wrong: string[] = [];
  let faults = 0;
  let ledgers = 0;
  for await (const names of link.scan(keys.everything, () => unit.deadline())) {
    const found = names.filter(key => keys.limited(key) !== null || keys.limitWindow(key) !== null);
    for (let i = 0; i < found.length; i += atOnce) {
      const places = found.slice(i, i + atOnce).map(key => ({ name: key }));
      const texts = await readTexts(link, unit, places);
      for (const [k, text] of texts.entries()) {
        if (text === null) continue;
        const window = keys.limitWindow(places[k]!.name);
        if (window !== null) ledgers++;
        const fault = window === null ? headFault(text) : ledgerFault(window.word, text);
        if (fault === null) continue;
        faults++;
        if (wrong.length < told) wrong.push(`${places[k]!.name}: ${fault}`);
      }
    }
  }
  if (faults === 0) return { name, state: 'good', detail: `${ledgers} ledgers, consistent` };
  return { name, state: 'bad', detail: `${faults} faults: ${wrong.join('; ')}; ${remedy}` };
}

function headFault(text: string): string | null {
  try {
    const { version, clock, limits } = parseHead(text);
    const units = limits.flatMap(({ max, burst }) => [max, burst]);
    return [version, clock, ...units].every(value => value >= 0) ? null : 'it has numbers that are none';
  } catch {
    return 'it cannot be read';
  }
}

function ledgerFault(word: string, text: string): string | null {
  try {
    return formerLimit(ledgerOf(word)) === null ? 'its name is none' : faultIn(parseLedger(text));
  } catch {
    return 'it cannot be read';
  }
}

async function examineServer(link: Link, unit: Unit): Promise<readonly Finding[]> {
  const findings: Finding[] = [await roundTrip(unit)];
  for (const [section, judge] of sections) {
    const masters = await link.info(section, unit.deadline());
    for (const [i, facts] of masters.entries()) {
      const finding = judge(facts);
      // The one that tokens and accounts are on comes first.
      findings.push(i === 0 ? finding : { ...finding, name: `${finding.name} of master ${i + 1}` });
    }
  }
  return findings;
}

function serverOf(server: Facts): Finding {
  return {
    name: 'server',
    state: 'good',
    detail: `${server.get('valkey_version') === undefined ? 'Redis' : 'Valkey'} ${server.get('valkey_version') ?? server.get('redis_version')}, ${server.get('redis_mode') ?? server.get('server_mode') ?? 'standalone'}`,
  };
}

async function roundTrip(unit: Unit): Promise<Finding> {
  const times: number[] = [];
  for (let i = 0; i < trips; i++) {
    const began = monotonic();
    await unit.check();
    times.push(monotonic() - began);
  }
  times.sort((a, b) => a - b);
  const [median, worst] = [times[trips / 2]!, times.at(-1)!];
  const detail = `there and back takes ${median.toFixed(2)} ms, ${worst.toFixed(2)} ms at worst of ${trips}`;
  if (median <= slow) return { name: 'round trip', state: 'good', detail };
  return { name: 'round trip', state: 'doubtful', detail: `${detail}; put the server closer, or raise store.deadline` };
}

function memoryOf(memory: Facts): Finding {
  const [used, most] = [Number(memory.get('used_memory')), Number(memory.get('maxmemory'))];
  const policy = memory.get('maxmemory_policy') ?? 'unknown';
  const detail = `${used} bytes used of ${most === 0 ? 'all that there is' : most}, eviction policy ${policy}`;
  const name = 'memory';
  if (policy !== 'noeviction') {
    const why = 'it may drop tokens and revocations to make room; set maxmemory-policy to noeviction';
    return { name, state: 'bad', detail: `${detail}: ${why}` };
  }
  if (most > 0 && used > 0.9 * most) {
    return {
      name,
      state: 'doubtful',
      detail: `${detail}; it is nearly full: changes will be refused; raise maxmemory`,
    };
  }
  return { name, state: 'good', detail };
}

function persistenceOf(facts: Facts): Finding {
  const name = 'persistence';
  const failed = ['aof_last_write_status', 'rdb_last_bgsave_status'].filter(key => (facts.get(key) ?? 'ok') !== 'ok');
  if (failed.length > 0) {
    return {
      name,
      state: 'bad',
      detail: `${failed.join(', ')} is not ok: it cannot write to its disk; make room there`,
    };
  }
  if (facts.get('aof_enabled') === '1') return { name, state: 'good', detail: 'append-only file' };
  const changes = facts.get('rdb_changes_since_last_save') ?? '?';
  const detail = `no append-only file, ${changes} changes since the last snapshot: a crash loses what is later than that`;
  return { name, state: 'doubtful', detail: `${detail}; set appendonly to yes` };
}

function replicationOf(facts: Facts): Finding {
  const name = 'replication';
  const role = facts.get('role') ?? 'unknown';
  if (role !== 'master') {
    return { name, state: 'bad', detail: `it is a ${role}: it takes no changes; name its master` };
  }
  const replicas = [...facts].filter(([key]) => /^slave\d+$/.test(key)).map(([, text]) => text);
  const away = replicas.filter(text => !text.includes('state=online'));
  const detail = `master of ${replicas.length} replicas`;
  if (away.length > 0) return { name, state: 'doubtful', detail: `${detail}, ${away.length} of them not online` };
  return { name, state: 'good', detail };
}

type Facts = ReadonlyMap<string, string>;

/** Sections of INFO, and what is to be said of them. */
const sections: readonly (readonly [string, (facts: Facts) => Finding])[] = [
  ['server', serverOf],
  ['memory', memoryOf],
  ['persistence', persistenceOf],
  ['replication', replicationOf],
];

async function examineContents(unit: Unit): Promise<readonly Finding[]> {
  const facts = (await unit.read(examineFeed, [])) as [
    ...[seq: number, length: number, first: string, last: string],
    ...[tokens: number, accounts: number, gone: number, roles: number],
  ];
  const [seq, length, first, last, tokens, accounts, gone, roles] = facts;
  const wrong: string[] = [];
  let found = 0;
  let faults = 0;
  let after = 0;
  for (let more = 1; more === 1; ) {
    const page = (await unit.read(examineTokens, [after, atOnce])) as [number, number, number, string[]];
    [after, more] = page;
    found += page[2];
    faults += page[3].length;
    wrong.push(...page[3].slice(0, told - wrong.length));
  }
  for await (const texts of faultsOfRoles(unit)) {
    faults += texts.length;
    wrong.push(...texts.slice(0, told - wrong.length));
  }
  const counts = `tokens ${found}, accounts ${accounts}, deleted accounts ${gone}, roles ${roles}`;
  return [
    { name: 'counts', state: 'good', detail: counts },
    found < tokens
      ? { name: 'tokens', state: 'bad', detail: `${tokens - found} of ${tokens} are missing; ${remedy}` }
      : { name: 'tokens', state: 'good', detail: 'none is missing' },
    faults === 0
      ? { name: 'indexes', state: 'good', detail: 'consistent' }
      : { name: 'indexes', state: 'bad', detail: `${faults} faults: ${wrong.join('; ')}; ${remedy}` },
    feedOf(seq, length, first, last),
  ];
}

/** What is wrong with roles, and with who has them, a little at a time. */
async function* faultsOfRoles(unit: Unit): AsyncGenerator<readonly string[]> {
  type Page = [wrong: string[], looked: string[]];
  const [wrong, ids] = (await unit.read(examineRoles, ['', 0, atOnce])) as Page;
  yield wrong;
  for (const id of ids) {
    let after = '0';
    for (let more = true; more; ) {
      const [texts, looked] = (await unit.read(examineRoles, [id, after, atOnce])) as Page;
      yield texts;
      after = looked.at(-1) ?? after;
      more = looked.length === atOnce;
    }
  }
}

/** Events have consecutive numbers, the last of which the store remembers beside them. */
function feedOf(seq: number, length: number, first: string, last: string): Finding {
  const name = 'feed';
  const numberOf = (id: string): number => Number(id.slice(0, id.indexOf('-')));
  const whole = length === 0 || (numberOf(last) === seq && numberOf(last) - numberOf(first) + 1 === length);
  if (whole) return { name, state: 'good', detail: `${length} events up to ${seq}` };
  return {
    name,
    state: 'bad',
    detail: `its ${length} events from ${first} to ${last} have gaps, or do not end at ${seq}; ${remedy}`,
  };
}
