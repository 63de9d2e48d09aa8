/** The messages in `src/wire/gen` are what buf makes of `src/wire/proto`, byte for byte. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { TempFolder } from '../support/temp-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const BIN = path.join(ROOT, 'node_modules/.bin');
const BUF = path.join(BIN, 'buf');
const run = promisify(execFile);
const environment = { ...process.env, PATH: `${BIN}${path.delimiter}${process.env['PATH'] ?? ''}` };

function readFolder(folder: string): ReadonlyMap<string, string> {
  const files = globSync('**/*.ts', { cwd: folder }).toSorted();
  return new Map(files.map((file) => [file, readFileSync(path.join(folder, file), 'utf8')]));
}

describe(
  'the generated messages',
  { skip: existsSync(BUF) ? false : 'buf is not installed (npm ci without development dependencies)' },
  () => {
    it('are what buf makes of the definitions', async () => {
      using folder = new TempFolder();
      await run(BUF, ['generate', '--output', folder.path], { cwd: ROOT, env: environment, timeout: 15_000 });
      const made = readFolder(folder.join('src/wire/gen'));
      assert.equal(made.size, 10);
      assert.deepEqual(readFolder(path.join(ROOT, 'src/wire/gen')), made);
    });

    it('come from definitions that buf finds nothing wrong with', async () => {
      const { stdout } = await run(BUF, ['lint'], { cwd: ROOT, env: environment, timeout: 15_000 });
      assert.equal(stdout, '');
    });
  },
);
