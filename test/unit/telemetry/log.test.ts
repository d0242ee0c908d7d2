import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, createReadStream, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LineSink } from '../../../src/telemetry/line-sink.ts';
import { Logger } from '../../../src/telemetry/log.ts';
import { quietLog } from '../../../src/telemetry/quiet-log.ts';
import { createRecorder } from '../../../src/telemetry/recorder.ts';
import { ManualClock } from '../../support/manual-clock.ts';
import { memoryLog, recordOf } from './support.ts';

let folder: string;
let fd: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'log-'));
  fd = openSync(join(folder, 'out'), 'w');
});
afterEach(() => {
  closeSync(fd);
  rmSync(folder, { recursive: true });
});

const text = (): string => readFileSync(join(folder, 'out'), 'utf8');
const lines = (): Record<string, unknown>[] =>
  text()
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Record<string, unknown>);

describe('the log', () => {
  it('is JSON lines with the level in words and the time in RFC 3339', () => {
    const log = new Logger({ level: 'info', fd });
    log.info({ port: 8080, tls: false, name: null, left: undefined }, 'listening');
    log.sink.flushSync();
    const [line] = lines();
    expect(line).toEqual({ level: 'info', time: line!.time, port: 8080, tls: false, name: null, msg: 'listening' });
    expect(line!.time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  it('leaves out what is below its level, which can be changed', () => {
    const log = new Logger({ level: 'warn', fd });
    log.info({}, 'no');
    log.warn({}, 'one');
    log.level = 'error';
    log.warn({}, 'no');
    log.fault(new Error('x'), 'two');
    log.level = 'info';
    log.info({}, 'three');
    log.sink.flushSync();
    expect(lines().map(({ msg }) => msg)).toEqual(['one', 'two', 'three']);
  });

  it('scrubs every string: fields, message and error; the stack only when debugging', () => {
    const secret = 'pst_w9Kd02LmPq7RsT4uVx8YzA1bC3eFgH5iJ6kLmN';
    for (const level of ['info', 'debug'] as const) {
      const log = new Logger({ level, fd });
      const error = Object.assign(new Error(`bad ${secret}`), { args: [secret] });
      log.error({ url: `http://u:hunter2@h/p?t=${secret}`, raw: secret }, `failed with ${secret}`, error);
      log.sink.flushSync();
    }
    expect(text()).not.toContain('w9Kd02LmPq7R');
    expect(text()).not.toContain('hunter2');
    expect(lines().map(line => 'error_stack' in line)).toEqual([false, true]);
    expect(lines()[0]).toMatchObject({ error_name: 'Error', error_message: 'bad [redacted]' });
  });

  it('has each of its own members once, whatever fields are called', () => {
    const log = new Logger({ level: 'info', fd });
    log.info({ level: 'x', time: 1, msg: 'y' }, 'said');
    log.sink.flushSync();
    expect(lines()[0]).toMatchObject({ level: 'info', msg: 'said', level_: 'x', time_: 1, msg_: 'y' });
    expect(text().match(/"msg":/g)).toHaveLength(1);
  });

  it('is one line, whatever it is given', () => {
    const log = new Logger({ level: 'info', fd });
    log.info({ name: 'a\nb\x1b[31m' }, 'c\r\nd %s %o', new Error('e\nf'));
    log.sink.flushSync();
    expect(text().trimEnd().split('\n')).toHaveLength(1);
    expect(lines()[0]).toMatchObject({ name: 'a\\x0ab\\x1b[31m', msg: 'c\\x0d\\x0ad %s %o', error_message: 'e\\x0af' });
  });

  it('is written within a second or so of being said, and in the order in which it was said', async () => {
    const log = new Logger({ level: 'info', fd });
    const said: string[] = [];
    for (let i = 0; i < 5000; i++) {
      said.push(`line ${i}`);
      log.info({ filler: 'x y '.repeat(20) }, `line ${i}`);
    }
    await vi.waitFor(() => expect(lines().map(({ msg }) => msg)).toEqual(said), { timeout: 5000 });
  });
});

describe('a log that nobody reads', () => {
  it('holds a bounded backlog, drops whole lines beyond it, and says how many once it is read again', async () => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    const pipe = openSync(fifo, 'r+');
    const sink = new LineSink(pipe);
    const line = `{"filler":"${'x'.repeat(1000)}"}\n`;
    const written = 20_000;
    for (let i = 0; i < written; i++) sink.write(line);
    sink.flush();
    expect(sink.dropped).toBeGreaterThan(1000);
    expect(sink.dropped).toBeLessThan(written - 16_000);

    let said = '';
    const reader = createReadStream(fifo);
    reader.on('data', data => {
      said += data.toString();
    });
    await vi.waitFor(() => expect(said.length).toBe((written - sink.dropped) * line.length), { timeout: 10_000 });
    sink.write('{"msg":"back"}\n');
    sink.flush();
    await vi.waitFor(() => expect(said).toContain('log lines were dropped'), { timeout: 10_000 });
    const last = said
      .trimEnd()
      .split('\n')
      .map(one => JSON.parse(one) as Record<string, unknown>)
      .slice(-2);
    expect(last).toMatchObject([{ msg: 'back' }, { level: 'warn', lines: sink.dropped }]);
    closeSync(pipe);
    await once(reader, 'end');
  }, 30_000);

  it('takes no more of it, and breaks nothing, when its reader has gone', async () => {
    const pipe = openSync('/dev/full', 'w');
    const log = new Logger({ level: 'info', fd: pipe });
    for (let i = 0; i < 3; i++) {
      log.info({}, 'no space left');
      log.sink.flush();
      await new Promise(resolve => setTimeout(resolve, 10));
    }
    expect(() => log.sink.flushSync()).not.toThrow();
    log.info({}, 'nor now');
    expect(() => log.sink.flush()).not.toThrow();
    log.sink.flushSync();
    closeSync(pipe);
  });
});

describe('the end of the process', () => {
  const room = fileURLToPath(new URL('../../../src/telemetry/', import.meta.url));

  const start = (body: string) => {
    const script = `
      import { Logger } from ${JSON.stringify(`${room}log.ts`)};
      import { installExitHooks } from ${JSON.stringify(`${room}exit-hooks.ts`)};
      const log = new Logger({ level: 'info' });
      installExitHooks(log, log.sink);
      ${body}`;
    return spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'pipe'] });
  };

  const program = (body: string): Promise<{ out: string; err: string; code: number | null }> =>
    new Promise(resolve => {
      const child = start(body);
      let out = '';
      let err = '';
      child.stdout.on('data', (data: Buffer) => {
        out += data.toString();
      });
      child.stderr.on('data', (data: Buffer) => {
        err += data.toString();
      });
      child.on('close', code => resolve({ out, err, code }));
    });

  it('loses no line when it exits', async () => {
    const { out, code } = await program(
      `for (let i = 0; i < 3000; i++) log.info({ filler: 'x y '.repeat(30) }, 'line ' + i);
       process.exit(3);`,
    );
    expect(code).toBe(3);
    expect(out.trimEnd().split('\n')).toHaveLength(3000);
    expect(out.endsWith('"msg":"line 2999"}\n')).toBe(true);
  });

  it('is not put off by the log: nothing of it keeps the process alive', async () => {
    const { out, code } = await program(`log.info({}, 'only');`);
    expect(code).toBe(0);
    expect(out).toContain('"msg":"only"');
  });

  it.each([
    ['an exception', 'throw error;'],
    ['an exception in a callback', 'setTimeout(() => { throw error; }, 1);'],
    ['a rejection', 'Promise.reject(error); setTimeout(() => {}, 1000);'],
  ])('by %s writes what was said, and no secret on any stream', async (_, crash) => {
    const { out, err, code } = await program(
      `log.info({}, 'before');
       const secret = ['pst_', 'w9Kd02LmPq7RsT4u', 'Vx8YzA1bC3eFgH5iJ6kLmN'].join('');
       const error = Object.assign(new Error('refused ' + secret), { command: { args: [secret] } });
       ${crash}`,
    );
    expect(code).toBe(1);
    const said = out
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>);
    expect(said.map(({ level, msg }) => [level, msg])).toEqual([
      ['info', 'before'],
      ['error', 'the process crashes: an error was not handled'],
    ]);
    expect(said[1]).toMatchObject({ error_name: 'Error', error_message: 'refused [redacted]' });
    expect(out + err).not.toContain('w9Kd02LmPq7RsT4uVx8');
    expect(err).toBe('');
  });

  it('comes, although nobody reads a log that does not block', async () => {
    const child = start(
      `process.stdout;
       for (let i = 0; i < 20000; i++) log.info({ filler: 'x y '.repeat(30) }, 'line ' + i);
       process.exit(3);`,
    );
    child.stdout.pause();
    expect(await new Promise(resolve => child.on('exit', resolve))).toBe(3);
  }, 20_000);
});

describe('a quiet log', () => {
  it('says the same once per span, and then how often it was kept back', () => {
    const clock = new ManualClock();
    const log = memoryLog();
    const quiet = quietLog(log, clock, 10_000);
    for (let i = 0; i < 100; i++) {
      quiet.warn({ i }, 'the store does not answer');
      clock.advance(1000);
    }
    expect(log.spoken.map(({ fields }) => fields)).toEqual([
      { i: 0 },
      ...Array.from({ length: 9 }, (_, n) => ({ i: (n + 1) * 10, suppressed: 9 })),
    ]);
  });

  it('keeps messages and levels apart, and passes the error on', () => {
    const log = memoryLog();
    const quiet = quietLog(log, new ManualClock(), 10_000);
    const error = new Error('x');
    quiet.warn({}, 'a', error);
    quiet.error({}, 'a');
    quiet.info({}, 'b');
    quiet.fault(error, 'c');
    quiet.fault(error, 'c');
    expect(log.spoken.map(({ level, message, error: e }) => [level, message, e])).toEqual([
      ['warn', 'a', error],
      ['error', 'a', undefined],
      ['info', 'b', undefined],
      ['error', 'c', error],
    ]);
  });

  it('remembers a bounded number of messages', () => {
    const log = memoryLog();
    const quiet = quietLog(log, new ManualClock(), 10_000);
    for (let i = 0; i < 501; i++) quiet.info({}, `message ${i}`);
    quiet.info({}, 'message 500');
    quiet.info({}, 'message 0');
    expect(log.spoken).toHaveLength(502);
  });
});

describe('the recorder', () => {
  it('hands each record to usage, metrics and log, once', () => {
    const seen: string[] = [];
    const sink = (name: string) => ({ record: () => void seen.push(name) });
    createRecorder(
      { metrics: sink('metrics'), requests: sink('log'), usage: sink('usage').record, refusals: sink('refusals') },
      memoryLog(),
    ).record(recordOf());
    expect(seen).toEqual(['usage', 'metrics', 'log', 'refusals']);
  });

  it('keeps the others going when one of them fails, and tells of it', () => {
    const log = memoryLog();
    const seen: string[] = [];
    const broken = (): never => {
      throw new Error('broken');
    };
    const sinks = {
      metrics: { record: broken },
      requests: { record: () => void seen.push('log') },
      usage: broken,
      refusals: { record: broken },
    };
    createRecorder(sinks, log).record(recordOf());
    expect(seen).toEqual(['log']);
    expect(log.spoken.map(({ message }) => message)).toEqual([
      'a request could not be added to usage',
      'a request could not be counted',
      'a refusal could not be told',
    ]);
  });
});
