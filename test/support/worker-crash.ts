/**
 * Ends worker threads of a sidecar from outside, by a hook that `node --import` loads into every thread: the
 * program itself has no way to be told to fail.
 */
import { writeFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { TempFolder } from './temp-folder.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

const HOOK = `
import { existsSync, rmSync, watch } from 'node:fs';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
if (!isMainThread) {
  const folder = new URL('./crashes/', import.meta.url);
  const fails = new URL('start-' + workerData.worker, folder);
  const ends = new URL('now-' + workerData.worker, folder);
  const takes = new URL('take-' + workerData.worker, folder);
  if (existsSync(fails)) throw new Error('a start that the test fails');
  const on = parentPort.on;
  parentPort.on = (name, take) =>
    on.call(parentPort, name, (message) => {
      if (message.kind === 'snapshot' && existsSync(takes)) {
        rmSync(takes);
        throw new Error('an end in the middle of a reload');
      }
      take(message);
    });
  watch(folder, () => {
    if (existsSync(ends)) throw new Error('an end that the test asks for');
  }).unref();
}
`;

export class WorkerCrash {
  /** For `SpawnOptions.command`. */
  readonly command: readonly [string, ...string[]];
  readonly #folder: TempFolder;

  constructor(folder: TempFolder) {
    this.#folder = folder;
    folder.write('crashes/.keep', '');
    this.command = [process.execPath, '--import', folder.write('crash.mjs', HOOK), MAIN];
  }

  /** Throws in the worker of this number, where nobody catches it. */
  endNow(worker: number): void {
    const file = this.#folder.join('crashes', `now-${worker}`);
    writeFileSync(file, '');
  }

  /** Throws in the worker of this number at the next snapshot that it is given, once. */
  endAtSnapshot(worker: number): void {
    writeFileSync(this.#folder.join('crashes', `take-${worker}`), '');
  }

  /** Starts of this worker throw, from now on or no more. */
  failStarts(worker: number, fail: boolean): void {
    const file = this.#folder.join('crashes', `start-${worker}`);
    if (fail) writeFileSync(file, '');
    else rmSync(file);
  }

  /** The next worker of this number lives. */
  letLive(worker: number): void {
    rmSync(this.#folder.join('crashes', `now-${worker}`));
  }
}
