import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  readSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { MeshError } from '../../src/core/errors.ts';
import { AccessLogEntry } from '../../src/observe/access-log-entry.ts';
import { createAccessLog } from '../../src/observe/access-log.ts';
import { BatchedLineWriter, MAX_QUEUED_CHARS } from '../../src/observe/batched-line-writer.ts';
import { ProcessCounters } from '../../src/observe/counters.ts';
import type { WriteTarget } from '../../src/observe/write-target.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-access-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function entry(id: number): AccessLogEntry {
  return Object.assign(new AccessLogEntry(), { connectionId: id });
}

const ids = { encoding: 'TEXT', format: '%CONNECTION_ID%' } as const;
const numbers = (path: string): number[] => readFileSync(path, 'utf8').trimEnd().split('\n').map(Number);
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

describe('access log', () => {
  it('appends every line in order and counts it', async () => {
    const counters = new ProcessCounters();
    const path = join(folder, 'log');
    const log = createAccessLog({ path, ...ids }, counters);
    for (const id of range(0, 50_000)) log.log(entry(id));
    assert.equal(await log.flush(), true);
    assert.deepEqual(numbers(path), range(0, 50_000));
    log.log(entry(50_000));
    assert.equal(await log.close(), true);
    assert.equal(numbers(path).length, 50_001);
    assert.equal(counters.accessLogLines, 50_001);
    log.log(entry(1));
    assert.equal(counters.accessLogDropped, 1);
  });

  it('writes without being asked', async () => {
    const path = join(folder, 'log');
    const log = createAccessLog({ path, ...ids }, new ProcessCounters());
    log.log(entry(1));
    const deadline = performance.now() + 5_000;
    while (readFileSync(path).length === 0) {
      assert.ok(performance.now() < deadline);
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal(readFileSync(path, 'utf8'), '1\n');
    await log.close();
  });

  it('goes to the new file after a rotation and loses no line between them', async () => {
    const path = join(folder, 'log');
    const log = createAccessLog({ path, ...ids }, new ProcessCounters());
    for (const id of range(0, 30_000)) log.log(entry(id));
    renameSync(path, `${path}.1`);
    log.reopen();
    assert.ok(existsSync(path));
    for (const id of range(30_000, 60_000)) log.log(entry(id));
    await log.close();
    assert.deepEqual(
      [...numbers(`${path}.1`), ...numbers(path)].filter(Number.isInteger).toSorted((a, b) => a - b),
      range(0, 60_000),
    );
    assert.ok(readFileSync(path).length > 0);
  });

  it('keeps the old file when the new one cannot be opened', async () => {
    const path = join(folder, 'log');
    const log = createAccessLog({ path, ...ids }, new ProcessCounters());
    renameSync(path, `${path}.1`);
    execFileSync('mkdir', [path]);
    log.reopen();
    log.log(entry(1));
    assert.equal(await log.close(), true);
    assert.equal(readFileSync(`${path}.1`, 'utf8'), '1\n');
  });

  it('refuses a folder that is not there and a format that is not one', () => {
    const settings = { path: join(folder, 'no', 'log'), ...ids };
    for (const bad of [settings, { ...settings, path: join(folder, 'log'), format: '%NOPE%' }]) {
      assert.throws(
        () => createAccessLog(bad, new ProcessCounters()),
        (error) => error instanceof MeshError && error.code === 'access_log_failed' && error.detail !== '',
      );
    }
    assert.equal(existsSync(join(folder, 'log')), false);
  });

  it('drops and counts when a pipe is full, and goes on when it is read', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const counters = new ProcessCounters();
    const log = createAccessLog({ path, encoding: 'TEXT', format: '%REQ(USER-AGENT)%' }, counters);
    const line = Object.assign(new AccessLogEntry(), { userAgent: 'x'.repeat(1_023) });
    const many = Math.ceil(MAX_QUEUED_CHARS / 1_024) + 500;
    for (let i = 0; i < many; i++) log.log(line);
    assert.ok(counters.accessLogDropped >= 400, String(counters.accessLogDropped));
    assert.equal(counters.accessLogLines + counters.accessLogDropped, many);
    // Reading drains what was kept, and not half a line of anything else.
    let text = '';
    const end: { complete: boolean | null } = { complete: null };
    const closed = log.close().then((answer) => (end.complete = answer));
    const buffer = Buffer.alloc(65_536);
    while (end.complete === null) {
      const read = readIfAny(reader, buffer);
      text += buffer.toString('latin1', 0, read);
      if (read === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    await closed;
    text += buffer.toString('latin1', 0, readIfAny(reader, buffer));
    assert.equal(end.complete, true);
    const lines = text.split('\n').slice(0, -1);
    assert.equal(lines.length, counters.accessLogLines);
    assert.ok(lines.every((each) => each.length === 1_023));
    closeSync(reader);
  });

  it('ends within its deadline though nobody reads', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const counters = new ProcessCounters();
    const log = createAccessLog({ path, encoding: 'TEXT', format: 'x'.repeat(1_000) }, counters);
    for (let i = 0; i < 500; i++) log.log(entry(i));
    assert.equal(await log.close(50), false);
    assert.ok(counters.accessLogDropped > 0);
    closeSync(reader);
  });

  it('survives a reader that went away, and works again after a reopen', async () => {
    const path = join(folder, 'fifo');
    execFileSync('mkfifo', [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const counters = new ProcessCounters();
    const failures: unknown[] = [];
    const log = createAccessLog({ path, ...ids }, counters, {
      log: {
        debugEnabled: false,
        error: (code) => failures.push(code),
        warn() {},
        info() {},
        debug() {},
      },
    });
    closeSync(reader);
    log.log(entry(1));
    assert.equal(await log.flush(), false);
    assert.deepEqual(failures, ['access_log_failed']);
    assert.equal(counters.accessLogDropped, 1);
    const again = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    log.reopen();
    log.log(entry(2));
    assert.equal(await log.close(), true);
    assert.equal(readSome(again), '2\n');
    closeSync(again);
  });
});

/** 0 for an empty pipe. */
function readIfAny(fd: number, buffer: Buffer): number {
  try {
    return readSync(fd, buffer);
  } catch {
    return 0;
  }
}

function readSome(fd: number): string {
  return execFileSync('head', ['-c', '2'], { stdio: [fd, 'pipe', 'ignore'] }).toString();
}

describe('access log on standard output', () => {
  const script = `
    import { createAccessLog } from ${JSON.stringify(join(import.meta.dirname, '../../src/observe/access-log.ts'))};
    import { AccessLogEntry } from ${JSON.stringify(join(import.meta.dirname, '../../src/observe/access-log-entry.ts'))};
    import { ProcessCounters } from ${JSON.stringify(join(import.meta.dirname, '../../src/observe/counters.ts'))};
    const log = createAccessLog({ path: '/dev/stdout', encoding: 'JSON', format: '' }, new ProcessCounters());
    process.stdout.write('ready\\n');
    const entry = new AccessLogEntry();
    for (let i = 0; i < 5000; i++) { entry.connectionId = i; log.log(entry); }
    await log.close();
    process.exit(0);`;

  for (const [kind, command] of [
    ['a pipe', ['sh', '-c', '"$0" --input-type=module -e "$1" | cat']],
    ['a socket', ['sh', '-c', 'exec "$0" --input-type=module -e "$1"']],
    ['a file', ['sh', '-c', 'f=$(mktemp); "$0" --input-type=module -e "$1" > $f; cat $f; rm $f']],
  ] as const) {
    it(`is whole behind the ready line on ${kind}`, async () => {
      const child = spawn(command[0], [...command.slice(1), process.execPath, script], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const chunks: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
      await once(child, 'close');
      const lines = Buffer.concat(chunks).toString().split('\n');
      assert.equal(lines[0], 'ready');
      assert.equal(lines.length, 5_002);
      for (const line of lines.slice(1, -1)) JSON.parse(line);
    });
  }
});

describe('batched line writer', () => {
  class FlakyTarget implements WriteTarget {
    readonly kind = 'pipe';
    text = '';
    readonly sizes: number[] = [];
    readonly #answers: (number | string)[];

    constructor(answers: (number | string)[]) {
      this.#answers = answers;
    }

    write(bytes: Buffer, onDone: (error: NodeJS.ErrnoException | null, written: number) => void): void {
      const answer = this.#answers.shift() ?? bytes.length;
      if (typeof answer === 'string') {
        setImmediate(onDone, Object.assign(new Error(answer), { code: answer }), 0);
        return;
      }
      const taken = Math.min(answer, bytes.length);
      this.sizes.push(taken);
      this.text += bytes.toString('utf8', 0, taken);
      setImmediate(onDone, null, taken);
    }

    close(): void {}
  }

  it('finishes a line that a full pipe or disk cut in the middle', async () => {
    const failures: (string | null)[] = [];
    const target = new FlakyTarget([3, 'EAGAIN', 1, 'ENOSPC', 2]);
    const writer = new BatchedLineWriter(target, {
      onDropped: () => assert.fail(),
      onFailure: (why) => failures.push(why),
    });
    writer.add('first line\n');
    writer.add('second line\n');
    assert.equal(await writer.close(), true);
    assert.equal(target.text, 'first line\nsecond line\n');
    assert.deepEqual(failures, ['ENOSPC', null]);
  });

  it('keeps writes of a shared pipe small and ended by a newline', async () => {
    const target = new FlakyTarget([]);
    const writer = new BatchedLineWriter(target, {
      onDropped: () => assert.fail(),
      onFailure: () => assert.fail(),
      shared: true,
    });
    for (let i = 0; i < 100; i++) writer.add(`${'x'.repeat(399)}\n`);
    assert.equal(await writer.close(), true);
    assert.equal(target.text.length, 40_000);
    assert.ok(target.sizes.every((size) => size <= 4_096 && size % 400 === 0));
  });
});
