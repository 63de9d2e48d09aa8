/**
 * The demo's own folder: readable by this user alone, gone when the demo ends, however it ends.
 *
 * Configuration and the agents' sockets are in it, and no private key.
 */
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export class DemoFolder {
  readonly path: string;
  #written = 0;
  // Also when a second signal ends the process at once.
  readonly #onExit = (): void => this.remove();

  /** `mkdtemp` makes it with mode 0700. */
  constructor() {
    this.path = mkdtempSync(join(tmpdir(), 'postern-demo-'));
    process.on('exit', this.#onExit);
  }

  join(name: string): string {
    return join(this.path, name);
  }

  /** Written beside and renamed over, so that who watches never sees half a file. Answers the absolute path. */
  write(name: string, text: string, mode = 0o644): string {
    const file = this.join(name);
    mkdirSync(dirname(file), { recursive: true });
    const fresh = this.join(`.fresh-${++this.#written}`);
    writeFileSync(fresh, text, { mode, flag: 'wx' });
    renameSync(fresh, file);
    return file;
  }

  /** Safe to call twice. */
  remove(): void {
    process.off('exit', this.#onExit);
    rmSync(this.path, { recursive: true, force: true });
  }
}
