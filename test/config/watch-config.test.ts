import assert from 'node:assert/strict';
import { once, EventEmitter } from 'node:events';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { watchConfig } from '../../src/config/watch-config.ts';
import type { ConfigWatcher, WatchOptions } from '../../src/config/watch-config.ts';

const DEADLINE_MS = 5_000;

describe('watching configuration', () => {
  let folder = '';
  let watcher: ConfigWatcher | null = null;
  let told = 0;
  const events = new EventEmitter();
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'postern-watch-'));
    told = 0;
  });
  afterEach(() => {
    watcher?.close();
    watcher = null;
    rmSync(folder, { recursive: true, force: true });
  });

  const start = (paths: string[], options: WatchOptions = { settleMs: 20 }): ConfigWatcher => {
    watcher = watchConfig(
      paths,
      () => {
        told += 1;
        events.emit('change');
      },
      options,
    );
    return watcher;
  };
  /** Runs the action and waits until it was told about. */
  const expectChange = async (action: () => void): Promise<void> => {
    const change = once(events, 'change', { signal: AbortSignal.timeout(DEADLINE_MS) });
    action();
    await change;
  };
  const at = (...parts: string[]): string => join(folder, ...parts);

  it('tells of a file that is written, once, after the last of several writes', async () => {
    writeFileSync(at('a.yaml'), '1');
    start([at('a.yaml')], {});
    const startedAt = performance.now();
    await expectChange(() => {
      for (let i = 0; i < 20; i += 1) writeFileSync(at('a.yaml'), `${i}`);
    });
    assert.ok(performance.now() - startedAt >= 95);
    // A second change is told of separately: nothing else was in between.
    await expectChange(() => writeFileSync(at('a.yaml'), 'last'));
    assert.equal(told, 2);
  });

  const changes: [string, () => void][] = [
    ['a document that is added', () => writeFileSync(at('mesh', 'new.yaml'), 'x')],
    ['a document that is removed', () => unlinkSync(at('mesh', 'a.yaml'))],
    [
      'a document that is replaced by rename',
      () => {
        writeFileSync(at('mesh', '.a.yaml.tmp'), 'x');
        renameSync(at('mesh', '.a.yaml.tmp'), at('mesh', 'a.yaml'));
      },
    ],
    [
      'the folder replaced by rename',
      () => {
        mkdirSync(at('next'));
        writeFileSync(at('next', 'a.yaml'), 'next');
        renameSync(at('mesh'), at('old'));
        renameSync(at('next'), at('mesh'));
      },
    ],
    ['the folder removed', () => rmSync(at('mesh'), { recursive: true })],
  ];
  for (const [name, action] of changes) {
    it(`tells of ${name}, and of what comes after it`, async () => {
      mkdirSync(at('mesh'));
      writeFileSync(at('mesh', 'a.yaml'), '1');
      start([at('mesh')]);
      await expectChange(action);
      mkdirSync(at('mesh'), { recursive: true });
      await expectChange(() => writeFileSync(at('mesh', 'b.yaml'), '2'));
    });
  }

  it('tells of the swap of a Kubernetes volume, again and again', async () => {
    const swap = (version: string): void => {
      mkdirSync(at('volume', `..${version}`));
      writeFileSync(at('volume', `..${version}`, 'tls.crt'), version);
      symlinkSync(`..${version}`, at('volume', '..data_tmp'));
      renameSync(at('volume', '..data_tmp'), at('volume', '..data'));
    };
    mkdirSync(at('volume'));
    swap('1');
    symlinkSync('..data/tls.crt', at('volume', 'tls.crt'));
    start([at('volume', 'tls.crt')]);
    for (const version of ['2', '3', '4']) {
      await expectChange(() => {
        swap(version);
        rmSync(at('volume', `..${Number(version) - 1}`), { recursive: true });
      });
    }
    assert.equal(told, 3);
  });

  it('tells of a file and its folders that come to be later', async () => {
    start([at('later', 'deep', 'a.yaml')]);
    await expectChange(() => {
      mkdirSync(at('later', 'deep'), { recursive: true });
      writeFileSync(at('later', 'deep', 'a.yaml'), 'x');
    });
  });

  it('tells of a change behind a link to another folder', async () => {
    mkdirSync(at('elsewhere'));
    mkdirSync(at('mesh'));
    writeFileSync(at('elsewhere', 'a.yaml'), '1');
    symlinkSync(at('elsewhere', 'a.yaml'), at('mesh', 'link.yaml'));
    start([at('mesh')]);
    await expectChange(() => writeFileSync(at('elsewhere', 'a.yaml'), '2'));
  });

  it('says nothing of files that are not documents, of touched folders, and of neighbours', async () => {
    mkdirSync(at('mesh'));
    start([at('mesh')]);
    writeFileSync(at('mesh', 'notes.txt'), 'x');
    writeFileSync(at('mesh', '.a.yaml.swp'), 'x');
    writeFileSync(at('neighbour.yaml'), 'x');
    // What is told is one change, the last: the others were not waiting.
    await expectChange(() => writeFileSync(at('mesh', 'a.yaml'), 'x'));
    assert.equal(told, 1);
  });

  it('looks by itself where the system gives no events', async () => {
    writeFileSync(at('a.yaml'), '1');
    const polling = start([at('a.yaml')], {
      pollMs: 20,
      settleMs: 10,
      watchFolder: () => {
        throw new Error('ENOSPC');
      },
    });
    assert.equal(polling.polls, true);
    await expectChange(() => writeFileSync(at('a.yaml'), '22'));
    await expectChange(() => unlinkSync(at('a.yaml')));
  });

  it('looks by itself once a watcher fails', async () => {
    writeFileSync(at('a.yaml'), '1');
    const failures: (() => void)[] = [];
    const failing = start([at('a.yaml')], {
      pollMs: 20,
      settleMs: 10,
      watchFolder: (_folder, _onEvent, onError) => {
        failures.push(onError);
        return { close: () => {} };
      },
    });
    assert.equal(failing.polls, false);
    for (const fail of failures) fail();
    assert.equal(failing.polls, true);
    await expectChange(() => writeFileSync(at('a.yaml'), '22'));
  });

  it('follows new paths without taking them for a change', async () => {
    writeFileSync(at('a.yaml'), '1');
    writeFileSync(at('b.yaml'), '1');
    const moved = start([at('a.yaml')]);
    moved.setPaths([at('b.yaml')]);
    writeFileSync(at('a.yaml'), '2');
    await expectChange(() => writeFileSync(at('b.yaml'), '2'));
    assert.equal(told, 1);
  });

  it('releases everything when closed, also with a change under way', async () => {
    // Those of the tests before are given back in later turns of the event loop, ours too.
    await noneOpen('FSEventWrap');
    const timersBefore = countOpen('Timeout');
    mkdirSync(at('mesh'));
    const closed = start([at('mesh'), at('none')]);
    assert.ok(countOpen('FSEventWrap') > 0);
    writeFileSync(at('mesh', 'a.yaml'), 'x');
    closed.setPaths([at('mesh')]);
    assert.equal(countOpen('Timeout'), timersBefore + 1);
    closed.close();
    closed.close();
    closed.setPaths([at('mesh')]);
    await noneOpen('FSEventWrap');
    assert.equal(countOpen('FSEventWrap'), 0);
    assert.equal(countOpen('Timeout'), timersBefore);
    assert.equal(told, 0);
  });
});

function countOpen(kind: string): number {
  return process.getActiveResourcesInfo().filter((name) => name === kind).length;
}

async function noneOpen(kind: string): Promise<void> {
  for (let turn = 0; turn < 1_000 && countOpen(kind) > 0; turn += 1) await setImmediate();
}
