import { describe, expect, it } from 'vitest';
import { codeOf } from '../../../src/core/decision.ts';
import { codes } from '../../../src/errors.ts';
import { outcomes, type RequestRecord } from '../../../src/ports/recorder.ts';
import { reasonLabels } from '../../../src/telemetry/labels.ts';
import { isSampled, RequestLog, type RequestLogOptions } from '../../../src/telemetry/request-log.ts';
import { below, pick, randomFrom, seed } from '../../support/random.ts';
import { recordOf, routeOf, subjectOf } from './support.ts';

function written(records: RequestRecord[], options: Partial<RequestLogOptions> = {}): string[] {
  const lines: string[] = [];
  const log = new RequestLog(line => lines.push(line), { level: 'info', access: 'all', sample: 1, ...options });
  for (const record of records) log.record(record);
  return lines;
}

const parsed = (record: RequestRecord): Record<string, unknown> =>
  JSON.parse(written([record])[0]!) as Record<string, unknown>;

const refused = recordOf({ status: 403, reason: 'insufficient_scope', outcome: 'refused' });
const failed = recordOf({ status: 502, reason: 'upstream_failed', outcome: 'failed', fault: 'refused' });
const aborted = recordOf({ status: 499, outcome: 'aborted' });
const broken = recordOf({ outcome: 'failed', fault: 'reset' });
const crashed = recordOf({ status: 500, reason: 'internal_error', outcome: 'failed' });

describe('the line of a request', () => {
  it('has the chosen fields, and no others', () => {
    expect(parsed(recordOf())).toEqual({
      level: 'info',
      time: '2025-11-22T01:02:03.004Z',
      request_id: '018f3c2e-7b1a-7c3d-9f00-0123456789ab',
      route: '/widgets/{id}',
      method: 'GET',
      path: '/widgets/7',
      status: 200,
      code: null,
      reason: 'allowed',
      outcome: 'allowed',
      token_id: 'tok_9fK2mQ7xR4vB1nZ8cL5w',
      owner: 'acme',
      client_ip: '203.0.113.57',
      peer: '10.1.2.3',
      duration_ms: 12.346,
      overhead_ms: 0.25,
      upstream_ms: null,
      bytes_in: 10,
      bytes_out: 20,
      upstream: 'widgets',
      fault: null,
      msg: 'request',
    });
  });

  it('has a parent’s request id when there is one, and says when it was sent again', () => {
    const line = parsed(recordOf({ parentRequestId: 'theirs', retried: true }));
    expect(line.parent_request_id).toBe('theirs');
    expect(line.retried).toBe(true);
  });

  it('says why it was refused, where that is text of ours', () => {
    const detail = 'The path has a dot segment.';
    expect(parsed(recordOf({ status: 400, reason: 'malformed_request', outcome: 'refused', detail })).detail).toBe(
      detail,
    );
    expect(parsed(recordOf({ status: 404, reason: 'no_route', outcome: 'refused' }))).not.toHaveProperty('detail');
  });

  it('has null for what there is not', () => {
    const nothing = { route: null, path: null, subject: null, upstream: null };
    expect(
      parsed(recordOf({ ...nothing, status: 400, reason: 'malformed_request', outcome: 'refused' })),
    ).toMatchObject({
      route: null,
      path: null,
      token_id: null,
      owner: null,
      upstream: null,
      code: 'malformed_request',
    });
    expect(parsed(recordOf({ subject: subjectOf('tok_1', null) }))).toMatchObject({ token_id: 'tok_1', owner: null });
  });

  it('has the route’s pattern where the path may carry a credential', () => {
    expect(parsed(recordOf({ path: null })).path).toBe('/widgets/{id}');
  });

  it('has the problem code of its reason', () => {
    for (const reason of reasonLabels) {
      const { code } = parsed(recordOf({ reason }));
      if (reason === 'allowed' || reason === 'public') expect(code).toBeNull();
      else expect(Object.keys(codes)).toContain(code);
    }
    expect(parsed(recordOf({ reason: 'invalid_token_expired' }))).toMatchObject({
      code: 'invalid_token',
      reason: 'invalid_token_expired',
    });
  });

  it(`is one line of JSON without control characters, whatever a client sends (seed ${seed})`, () => {
    const random = randomFrom(seed);
    const junk = (): string =>
      Array.from({ length: below(random, 60) }, () =>
        String.fromCharCode(below(random, pick(random, [0x10000, 128, 128]))),
      ).join('');
    for (let i = 0; i < 5000; i++) {
      const record = recordOf({
        requestId: junk(),
        parentRequestId: junk(),
        route: routeOf(junk()),
        method: junk(),
        path: junk(),
        subject: subjectOf(junk(), junk()),
        client: junk(),
        peer: junk(),
        upstream: junk(),
        detail: junk(),
        fault: junk(),
        status: pick(random, [200, Number.NaN, -1, Number.POSITIVE_INFINITY, 1.5]),
        bytesIn: pick(random, [0, Number.NaN, -1, 2 ** 60, Number.POSITIVE_INFINITY]),
        durationMs: pick(random, [0, Number.NaN, -1, 1e300, Number.POSITIVE_INFINITY, 0.0004, 999.9999]),
        at: pick(random, [0, Number.NaN, -1, 1e300, Number.POSITIVE_INFINITY, 8.64e15, 1.5]),
        reason: pick(random, reasonLabels),
        outcome: pick(random, outcomes),
      });
      const [line] = written([record]);
      expect(line!.indexOf('\n')).toBe(line!.length - 1);
      const said = JSON.parse(line!) as Record<string, unknown>;
      expect(Object.values(said).every(value => typeof value !== 'string' || !/[\x00-\x1f\x7f-\x9f]/.test(value))).toBe(
        true,
      );
      expect(said.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    }
  });

  it('is bounded: a path to 2,048 characters', () => {
    const line = parsed(recordOf({ path: `/${'x'.repeat(100_000)}`, method: 'M'.repeat(1000) }));
    expect(line.path).toBe(`/${'x'.repeat(2047)}…`);
    expect(line.method).toBe(`${'M'.repeat(32)}…`);
  });

  it('carries no token of ours, wherever a client put it, and no half of one where text is cut', () => {
    const secret = 'w9Kd02LmPq7RsT4uVx8YzA1bC3eFgH5iJ6kLmN';
    for (let before = 1990; before < 2060; before++) {
      const path = `/${'x'.repeat(before)}/pst_${secret}`;
      expect(written([recordOf({ path })])[0]).not.toContain(secret.slice(0, 8));
    }
    const planted = `pst_${secret}`;
    for (const field of [
      'path',
      'method',
      'requestId',
      'parentRequestId',
      'client',
      'upstream',
      'detail',
      'fault',
    ] as const) {
      expect(written([recordOf({ [field]: planted })])[0], field).not.toContain(secret.slice(0, 8));
    }
    expect(written([recordOf({ path: `/a/pst%5f${secret}` })])[0]).not.toContain(secret.slice(0, 8));
  });

  it('tells the time of each request, in every order', () => {
    const times = [0, 999, 1000, 1_763_773_323_004, 1_763_773_323_999, 1_763_773_324_000, 5, 253402300799999];
    const lines = written(times.map(at => recordOf({ at })));
    expect(lines.map(line => (JSON.parse(line) as { time: string }).time)).toEqual(
      times.map(at => new Date(at).toISOString()),
    );
  });
});

describe('which requests are written', () => {
  it('allowed and refused are info, faults of platform and upstream warn, our own is an error', () => {
    const levels = [recordOf(), refused, aborted, failed, broken, crashed].map(record => parsed(record).level);
    expect(levels).toEqual(['info', 'info', 'info', 'warn', 'warn', 'error']);
    for (const reason of reasonLabels) {
      const code = codeOf(reason);
      const expected =
        code === 'internal_error' ? 'error' : code === null || codes[code].blame === 'client' ? 'info' : 'warn';
      expect(parsed(recordOf({ reason, outcome: 'refused' })).level, reason).toBe(expected);
    }
  });

  it('all of them, all but successes, or none', () => {
    const every = [recordOf(), refused, aborted, failed, broken, crashed, recordOf({ outcome: 'shadow' })];
    expect(written(every, { access: 'all' })).toHaveLength(7);
    expect(written(every, { access: 'refused' })).toHaveLength(6);
    expect(written(every, { access: 'none' })).toHaveLength(0);
  });

  it('none below the level of the log', () => {
    const every = [recordOf(), refused, failed, crashed];
    expect(written(every, { level: 'debug' })).toHaveLength(4);
    expect(written(every, { level: 'warn' })).toHaveLength(2);
    expect(written(every, { level: 'error' })).toHaveLength(1);
  });

  it('samples successes alone, the same ones each time, and about as many as asked', () => {
    const ids = Array.from({ length: 20_000 }, (_, i) => `018f3c2e-7b1a-7c3d-9f00-${i.toString(16).padStart(12, '0')}`);
    for (const sample of [0.01, 0.1, 0.5]) {
      const lines = written(
        ids.map(requestId => recordOf({ requestId })),
        { sample },
      );
      expect(lines.length / ids.length).toBeGreaterThan(sample * 0.8);
      expect(lines.length / ids.length).toBeLessThan(sample * 1.2);
      expect(
        written(
          ids.map(requestId => recordOf({ requestId })),
          { sample },
        ),
      ).toEqual(lines);
    }
    expect(ids.some(id => isSampled(id, 0))).toBe(false);
    expect(ids.every(id => isSampled(id, 1))).toBe(true);
    expect(written([refused, failed, broken, crashed, aborted], { sample: 0 })).toHaveLength(5);
    expect(written([recordOf()], { sample: 0 })).toHaveLength(0);
  });

  it('changes with the configuration, from the next request on', () => {
    const lines: string[] = [];
    const log = new RequestLog(line => lines.push(line), { level: 'info', access: 'none', sample: 1 });
    log.record(recordOf());
    log.configure({ level: 'info', access: 'all', sample: 1 });
    log.record(recordOf());
    expect(lines).toHaveLength(1);
  });
});
