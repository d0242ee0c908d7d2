import type { DatabaseSync } from 'node:sqlite';
import type { Ledger } from '../../core/ledger.ts';
import { formerLimit } from '../../core/limit.ts';
import type { Finding } from '../../ports/store-transfer.ts';
import { faultIn } from '../limits.ts';
import type { LimitLedgerRow } from './dump-tables.ts';
import { all, one } from './sqlite.ts';

interface Question {
  readonly name: string;
  /** Counts what is wrong. */
  readonly sql: string;
  readonly wrong: string;
}

/** What has to be true between tables: a row of an index that is missing makes a good token unknown. */
const questions: readonly Question[] = [
  {
    name: 'digests',
    sql: `SELECT (SELECT count(*) FROM tokens t LEFT JOIN digests d ON d.digest = json_extract(t.doc, '$.digest')
                  WHERE d.token IS NOT t.seq)
               + (SELECT count(*) FROM digests d LEFT JOIN tokens t ON t.seq = d.token
                  WHERE t.seq IS NULL
                     OR d.digest NOT IN (json_extract(t.doc, '$.digest'), coalesce(json_extract(t.doc, '$.previous.digest'), '')))
               AS wrong`,
    wrong: 'digests do not lead to their tokens',
  },
  {
    name: 'documents',
    sql: `SELECT (SELECT count(*) FROM tokens WHERE id IS NOT json_extract(doc, '$.id')
                    OR version IS NOT json_extract(doc, '$.version') OR state IS NOT json_extract(doc, '$.state')
                    OR owner IS NOT json_extract(doc, '$.owner') OR expires_at IS NOT json_extract(doc, '$.expiresAt'))
               + (SELECT count(*) FROM accounts WHERE id IS NOT json_extract(doc, '$.id')
                    OR version IS NOT json_extract(doc, '$.version')
                    OR revoked_before IS NOT json_extract(doc, '$.revokedBefore')
                    OR deleted IS NOT json_extract(doc, '$.deleted'))
               + (SELECT count(*) FROM roles WHERE id IS NOT json_extract(doc, '$.id')
                    OR version IS NOT json_extract(doc, '$.version')
                    OR deleted IS NOT json_extract(doc, '$.deleted'))
               AS wrong`,
    wrong: 'tokens, accounts or roles say something else than what they are found by',
  },
  {
    name: 'owners',
    sql: `SELECT count(*) AS wrong FROM tokens t LEFT JOIN accounts a ON a.id = t.owner
          WHERE t.owner IS NOT NULL AND a.id IS NULL`,
    wrong: 'tokens belong to accounts that are not there',
  },
  {
    name: 'roles',
    sql: `WITH said AS (SELECT a.seq AS account, r.value AS role FROM accounts a, json_each(a.doc, '$.roles') r WHERE a.deleted = 0)
          SELECT (SELECT count(*) FROM roles WHERE (place IS NULL) IS NOT (deleted = 1))
               + (SELECT count(*) FROM account_roles h LEFT JOIN roles r ON r.id = h.role WHERE r.place IS NULL)
               + (SELECT count(*) FROM (SELECT account, role FROM said EXCEPT SELECT account, role FROM account_roles))
               + (SELECT count(*) FROM (SELECT account, role FROM account_roles EXCEPT SELECT account, role FROM said))
               AS wrong`,
    wrong: 'roles are out of order, or are not those that accounts have',
  },
  {
    name: 'feed',
    sql: 'SELECT coalesce(max(seq) - min(seq) + 1 - count(*), 0) AS wrong FROM feed',
    wrong: 'events of the feed are missing',
  },
  {
    name: 'audit trail',
    sql: `SELECT (SELECT count(*) FROM tokens t WHERE NOT EXISTS
                   (SELECT 1 FROM audit WHERE kind = 'token' AND subject = t.id))
               + (SELECT count(*) FROM accounts a WHERE NOT EXISTS
                   (SELECT 1 FROM audit WHERE kind = 'account' AND subject = a.id))
               + (SELECT count(*) FROM roles r WHERE NOT EXISTS
                   (SELECT 1 FROM audit WHERE kind = 'role' AND subject = r.id))
               AS wrong`,
    wrong: 'tokens, accounts or roles have no event that tells of their creation',
  },
];

/** Most faults that are told one by one. */
const told = 5;

const remedy = 'stop the program, move the folder away and restore a backup (postern store migrate)';

/** Looks at the whole file. That takes a while, and nothing else is done meanwhile: not for a file that is served from. */
export function examineTables(db: DatabaseSync): readonly Finding[] {
  const faults = all<{ integrity_check: string }>(db.prepare('PRAGMA integrity_check(5)')).map(
    row => row.integrity_check,
  );
  const whole = faults.length === 1 && faults[0] === 'ok';
  const counts = one<Record<string, number>>(
    db.prepare(`SELECT (SELECT count(*) FROM tokens) AS tokens, (SELECT count(*) FROM accounts) AS accounts,
                       (SELECT count(*) FROM roles) AS roles,
                       (SELECT count(*) FROM audit) AS events, (SELECT count(*) FROM usage_totals) AS used`),
  )!;
  const pages = one<{ page_count: number }>(db.prepare('PRAGMA page_count'))!.page_count;
  const size = one<{ page_size: number }>(db.prepare('PRAGMA page_size'))!.page_size;
  return [
    {
      name: 'file',
      state: whole ? 'good' : 'bad',
      detail: whole
        ? `SQLite finds it whole (${pages * size} bytes)`
        : `SQLite finds it damaged: ${faults.join('; ')}; ${remedy}`,
    },
    {
      name: 'counts',
      state: 'good',
      detail: `tokens ${counts['tokens']}, accounts ${counts['accounts']}, roles ${counts['roles']}, audit events ${counts['events']}, tokens with usage ${counts['used']}`,
    },
    ...questions.map(question => ask(db, question)),
    limitsOf(db),
  ];
}

/** A ledger that cannot be read refuses every request of its token or account. */
function limitsOf(db: DatabaseSync): Finding {
  const name = 'limits';
  const wrong: string[] = [];
  let faults = 0;
  let ledgers = 0;
  const rows = db.prepare('SELECT kind, subject, ledger, state FROM limit_ledgers').iterate() as Iterable<
    Pick<LimitLedgerRow, 'kind' | 'subject' | 'ledger' | 'state'>
  >;
  for (const { kind, subject, ledger, state } of rows) {
    ledgers++;
    const fault = formerLimit(ledger) === null ? 'its name is none' : faultOfText(state);
    if (fault === null) continue;
    faults++;
    if (wrong.length < told) wrong.push(`${ledger} of ${kind} ${subject}: ${fault}`);
  }
  if (faults === 0) return { name, state: 'good', detail: `${ledgers} ledgers, consistent` };
  return { name, state: 'bad', detail: `${faults} faults: ${wrong.join('; ')}; ${remedy}` };
}

function faultOfText(state: string): string | null {
  try {
    return faultIn(JSON.parse(state) as Ledger);
  } catch {
    return 'it cannot be read';
  }
}

function ask(db: DatabaseSync, { name, sql, wrong }: Question): Finding {
  try {
    const found = one<{ wrong: number }>(db.prepare(sql))!.wrong;
    if (found === 0) return { name, state: 'good', detail: 'consistent' };
    return { name, state: 'bad', detail: `${found} ${wrong}; ${remedy}` };
  } catch (error) {
    return { name, state: 'bad', detail: `cannot be read: ${(error as Error).message}; ${remedy}` };
  }
}
