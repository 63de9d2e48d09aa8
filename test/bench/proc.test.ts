import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import {
  cpuSeconds,
  parseOpenFilesLimit,
  parseBusyTicks,
  parseCpuTicks,
  parseRssBytes,
  processTree,
  rssBytes,
} from '../../bench/measure/proc.ts';

const STAT = '6814 (cat) R 6804 6804 3169 0 -1 4194304 100 0 0 0 123 45 7 8 20 0 1 0 99928 3133440 384\n';
const isLinux = process.platform === 'linux';

function limits(soft: string): string {
  return `Limit  Soft Limit  Hard Limit  Units\nMax open files            ${soft}     9999   files\n`;
}

describe('bench /proc reading', () => {
  it('adds user and system time, and not that of ended children', () => {
    assert.equal(parseCpuTicks(STAT), 168);
  });

  it('is not confused by a command name with blanks and brackets', () => {
    assert.equal(parseCpuTicks(STAT.replace('(cat)', '(a) b (9 8 7 6)')), 168);
  });

  it('refuses a line that is cut short', () => {
    assert.throws(() => parseCpuTicks('1 (x) R 1 2'), /Cannot read CPU time/);
  });

  it('reads resident memory in bytes', () => {
    assert.equal(
      parseRssBytes('Name:\tnode\nVmHWM:\t 9999 kB\nVmRSS:\t   2048 kB\nThreads:\t1\n'),
      2_097_152,
    );
    assert.throws(() => parseRssBytes('Name:\tnode\nState:\tZ (zombie)\n'), /VmRSS/);
  });

  it('counts everything but idle and waiting as busy, of the CPU that was asked for', () => {
    const text =
      'cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 1 5 1000 70 2 3 4 0 0\ncpu10 1 1 1 1 1 1 1 1 0 0\nintr 5\n';
    assert.equal(parseBusyTicks(text, 0), 25);
    assert.equal(parseBusyTicks(text, 10), 6);
    assert.throws(() => parseBusyTicks(text, 1), /Cannot find CPU 1/);
  });

  it('reads how many files may be open, without an end too', () => {
    assert.equal(parseOpenFilesLimit(limits('1024')), 1024);
    assert.equal(parseOpenFilesLimit(limits('unlimited')), Number.POSITIVE_INFINITY);
    assert.throws(() => parseOpenFilesLimit('Max processes 1 1 x\n'), /Max open files/);
  });

  it('sees this process and its child', { skip: isLinux ? false : 'needs /proc' }, async () => {
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    await once(child, 'spawn');
    try {
      assert.ok(processTree(process.pid).includes(child.pid ?? 0));
      assert.ok(cpuSeconds([process.pid]) > 0);
      assert.ok(rssBytes([process.pid]) > 2 ** 20);
    } finally {
      child.stdin.end();
      await once(child, 'exit');
    }
  });
});
