import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it, mock } from 'node:test';
import { LOG_LINES_PER_WINDOW, LOG_WINDOW_MS } from '../../src/observe/line-limiter.ts';
import { createLoggers } from '../../src/observe/loggers.ts';
import type { Loggers, LoggersOptions } from '../../src/observe/loggers.ts';

interface Captured {
  readonly loggers: Loggers;
  readonly lines: string[];
  parsed(): Record<string, unknown>[];
}

function capture(options: LoggersOptions = {}): Captured & Disposable {
  const lines: string[] = [];
  const loggers = createLoggers({ ...options, write: (line) => void lines.push(line) });
  return {
    loggers,
    lines,
    parsed: () => lines.map((line) => JSON.parse(line)),
    [Symbol.dispose]: () => loggers.close(),
  };
}

describe('loggers', () => {
  it('writes one JSON object a line with time, level, logger, code and message', () => {
    using log = capture();
    log.loggers.get('tls').warn('tls_no_certificate', { peer: '10.0.0.9:1' }, 'Handshake refused');
    const [line] = log.parsed();
    assert.equal(line?.['level'], 'warn');
    assert.equal(line?.['logger'], 'tls');
    assert.equal(line?.['code'], 'tls_no_certificate');
    assert.equal(line?.['peer'], '10.0.0.9:1');
    assert.equal(line?.['msg'], 'Handshake refused');
    assert.match(String(line?.['time']), /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  });

  const hostile: Record<string, unknown> = {
    newline: 'a\nb\r\n{"level":"error"}',
    quote: '"}{"',
    nul: 'a\0b',
    'lone high surrogate': 'x\ud800y',
    'lone low surrogate': '\udc00',
    'line separator': '\u2028',
    c1: '\u009b31m',
    'long with a surrogate pair at the cut': '\u{1f600}'.repeat(5_000),
    bigint: 12n,
    bytes: new Uint8Array(5),
    nan: Number.NaN,
    symbol: Symbol('s'),
    error: new Error('x\ny'),
    map: new Map([['a', 1]]),
    date: new Date(Number.NaN),
    getter: {
      get broken(): string {
        throw new Error('no');
      },
    },
    nested: JSON.parse('{"__proto__":{"a":"b"}}'),
  };
  for (const [name, value] of Object.entries(hostile)) {
    it(`writes exactly one valid line for a value: ${name}`, () => {
      using log = capture();
      log.loggers
        .get('http')
        .info('c', { value, [`key\n"${name}`]: 1 }, typeof value === 'string' ? value : 'm');
      assert.equal(log.lines.length, 1);
      assert.equal(log.lines[0]!.indexOf('\n'), log.lines[0]!.length - 1);
      assert.equal(log.parsed()[0]?.['code'], 'c');
      const bytes = Buffer.from(log.lines[0]!);
      assert.ok(new TextDecoder('utf-8', { fatal: true }).decode(bytes).length > 0);
    });
  }

  it('survives a cycle', () => {
    using log = capture();
    const a: Record<string, unknown> = {};
    a['a'] = a;
    log.loggers.get('http').error('c', a, 'm');
    assert.equal(log.parsed().length, 1);
  });

  it('keeps fields from posing as the keys that every line has', () => {
    using log = capture();
    log.loggers.get('http').info('real', { level: 'error', code: 'fake', msg: 'fake', time: 0 }, 'real');
    assert.equal(log.lines[0]!.match(/"code":/g)?.length, 1);
    assert.equal(log.parsed()[0]?.['code'], 'real');
    assert.equal(log.parsed()[0]?.['code_'], 'fake');
    assert.equal(log.parsed()[0]?.['msg'], 'real');
  });

  it('never prints a private key or credentials', () => {
    using log = capture();
    const pem = '-----BEGIN PRIVATE KEY-----\nAAAAsecret\n-----END PRIVATE KEY-----';
    const fields = {
      privateKeyPem: 'AAAAsecret',
      private_key: { inline_bytes: 'AAAAsecret' },
      serverKeyPem: 'AAAAsecret',
      ticketSecret: Buffer.from('AAAAsecret'),
      headers: { Authorization: 'Bearer AAAAsecret', cookie: 'AAAAsecret', 'set-cookie': ['AAAAsecret'] },
      note: `the key is ${pem}`,
      cause: new Error(pem),
    };
    log.loggers.get('identity').error('c', fields, 'm');
    assert.doesNotMatch(log.lines[0]!, /AAAAsecret/);
    assert.match(log.lines[0]!, /\[redacted\]/);
  });

  it('sets levels by logger and for all, as Envoy takes them', () => {
    using log = capture();
    const { loggers } = log;
    loggers.get('rbac').debug('c', {}, 'm');
    assert.equal(log.lines.length, 0);
    assert.equal(loggers.get('rbac').debugEnabled, false);
    const answer = loggers.applyQuery(new URLSearchParams('rbac=debug'));
    assert.equal(answer.ok, true);
    assert.match(answer.text, /^active loggers:\n {2}admin: info\n/);
    assert.match(answer.text, /\n {2}rbac: debug\n/);
    loggers.get('rbac').debug('c', {}, 'm');
    loggers.get('tls').debug('c', {}, 'm');
    assert.equal(log.lines.length, 1);
    loggers.applyQuery(new URLSearchParams('paths=tls:off,http:warning'));
    loggers.get('tls').error('c', {}, 'm');
    loggers.get('http').info('c', {}, 'm');
    assert.equal(log.lines.length, 1);
    assert.ok(loggers.applyQuery(new URLSearchParams('level=error')).ok);
    assert.deepEqual(new Set(Object.values(loggers.levels())), new Set(['error']));
  });

  for (const query of [
    'rbac=loud',
    'nobody=debug',
    'rbac=debug&level=loud',
    'paths=rbac',
    '__proto__=debug',
  ]) {
    it(`refuses the whole of ?${query}`, () => {
      using log = capture();
      const answer = log.loggers.applyQuery(new URLSearchParams(query));
      assert.equal(answer.ok, false);
      assert.match(answer.text, /^error: unknown/);
      assert.equal(log.loggers.levels().rbac, 'info');
    });
  }

  it('bounds the lines of one reason and says how many it left out', () => {
    mock.timers.enable({ apis: ['setTimeout'] });
    try {
      let leftOut = 0;
      using log = capture({ onLeftOut: () => leftOut++ });
      for (let i = 0; i < LOG_LINES_PER_WINDOW + 23; i++) log.loggers.get('tls').warn('refused', { i }, 'm');
      log.loggers.get('tls').warn('another', {}, 'm');
      assert.equal(log.lines.length, LOG_LINES_PER_WINDOW + 1);
      assert.equal(leftOut, 23);
      mock.timers.tick(LOG_WINDOW_MS);
      const last = log.parsed().at(-1);
      assert.equal(last?.['code'], 'log_lines_left_out');
      assert.equal(last?.['leftOut'], 23);
      assert.equal(last?.['of'], 'refused');
      log.loggers.get('tls').warn('refused', {}, 'm');
      assert.equal(log.parsed().at(-1)?.['code'], 'refused');
    } finally {
      mock.timers.reset();
    }
  });
});

const writeMany = (count: number, then: string, pad = 400): string => `
  import { createLoggers } from ${JSON.stringify(join(import.meta.dirname, '../../src/observe/loggers.ts'))};
  const log = createLoggers().get('main');
  for (let i = 0; i < ${count}; i++) log.info('line' + i, { pad: 'x'.repeat(${pad}) }, 'm');
  ${then}`;

describe('the end of the log', () => {
  for (const target of ['pipe', 'file'] as const) {
    for (const then of [
      'process.exit(70)',
      'process.kill(process.pid, "SIGKILL")',
      'throw new Error("bug")',
    ]) {
      // Nobody is left to write what a full pipe (64 KiB) did not take: before SIGKILL no more than it holds.
      const count = target === 'pipe' && then.includes('SIGKILL') ? 100 : 300;
      it(`loses no line to a ${target} at ${then}`, async () => {
        const folder = mkdtempSync(join(tmpdir(), 'postern-log-'));
        const path = join(folder, 'log');
        const fd = openSync(path, 'a');
        try {
          // Through a shell pipe, so that stderr is a FIFO as under a container runtime.
          const child =
            target === 'file'
              ? spawn(process.execPath, ['--input-type=module', '-e', writeMany(count, then)], {
                  stdio: ['ignore', 'ignore', fd],
                })
              : spawn(
                  'sh',
                  [
                    '-c',
                    `"$0" --input-type=module -e "$1" 2>&1 | cat >&2`,
                    process.execPath,
                    writeMany(count, then),
                  ],
                  {
                    stdio: ['ignore', 'ignore', fd],
                  },
                );
          await once(child, 'close');
          const lines = readFileSync(path, 'utf8')
            .split('\n')
            .filter((line) => line.startsWith('{"level"'));
          assert.equal(lines.length, count);
          assert.equal(JSON.parse(lines.at(-1)!).code, `line${count - 1}`);
        } finally {
          closeSync(fd);
          rmSync(folder, { recursive: true });
        }
      });
    }
  }

  it('does not wait for a reader that reads nothing', { timeout: 20_000 }, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-log-'));
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const fd = openSync(path, constants.O_RDWR);
    try {
      // These are more than the pipe (64 KiB) and our queue (1 MiB) hold together.
      const script = writeMany(2_000, 'process.exitCode = 0;', 2_000);
      const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
        stdio: ['ignore', 'ignore', fd],
      });
      await once(child, 'exit');
      assert.equal(child.exitCode, 0);
    } finally {
      closeSync(fd);
      rmSync(folder, { recursive: true });
    }
  });
});
