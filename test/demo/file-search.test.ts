import assert from 'node:assert/strict';
import { closeSync, openSync, rmSync, symlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { MAX_BYTES, MAX_ENTRIES, searchFolder, searchOpenFiles } from '../../src/demo/file-search.ts';
import { TempFolder } from '../support/temp-folder.ts';

/** What `look` was given: text by path below the folder. */
async function search(folder: TempFolder) {
  const seen = new Map<string, string>();
  const searched = await searchFolder(folder.path, (file, content) =>
    seen.set(file.slice(folder.path.length + 1), content.toString()),
  );
  return { ...searched, seen };
}

describe('searching a folder', () => {
  it('reads every regular file below it, hidden ones too, and follows no link', async () => {
    using folder = new TempFolder();
    using elsewhere = new TempFolder();
    elsewhere.write('secret', 'elsewhere');
    folder.write('a', 'one');
    folder.write('.b/c/d', 'two');
    folder.write('empty', '');
    symlinkSync(elsewhere.path, folder.join('folder'));
    symlinkSync(elsewhere.join('secret'), folder.join('file'));
    const { files, leftOut, seen } = await search(folder);
    assert.deepEqual(Object.fromEntries(seen), { a: 'one', '.b/c/d': 'two', empty: '' });
    assert.deepEqual([files, leftOut], [3, '']);
  });

  it('leaves out a folder that is not fresh, and says so', async () => {
    using many = new TempFolder();
    for (let i = 0; i <= MAX_ENTRIES; i++) many.write(String(i), '');
    assert.match((await search(many)).leftOut, /more than \d+ entries/);
    using large = new TempFolder();
    large.write('large', Buffer.alloc(MAX_BYTES + 1));
    const { leftOut, seen } = await search(large);
    assert.match(leftOut, /more than \d+ bytes/);
    assert.equal(seen.size, 0);
    large.remove();
    assert.match((await search(large)).leftOut, /ENOENT/);
  });
});

describe('searching open files', { skip: process.platform !== 'linux' }, () => {
  it('reads from the beginning what has no name any more', async () => {
    using folder = new TempFolder();
    const file = folder.write('gone', 'content of it');
    const number = openSync(file, 'r');
    rmSync(file);
    try {
      const seen: string[] = [];
      await searchOpenFiles((_file, content) => seen.push(content.toString('latin1')));
      assert.ok(seen.includes('content of it'));
    } finally {
      closeSync(number);
    }
  });
});
