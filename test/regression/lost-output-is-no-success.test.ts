/** `postern token … > FILE` on a full disk once left an empty file and exited 0. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

describe('output that cannot be written', () => {
  it('is told on stderr, exit 1', { skip: process.platform !== 'linux' }, async () => {
    const full = openSync('/dev/full', 'w');
    try {
      const child = spawn(process.execPath, [MAIN, '--help'], { stdio: ['ignore', full, 'pipe'] });
      let stderr = '';
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      const [code] = (await once(child, 'close')) as [number | null];
      assert.equal(code, 1);
      assert.match(stderr, /^postern: Cannot write to standard output: ENOSPC/);
    } finally {
      closeSync(full);
    }
  });
});
