/**
 * A folder for one test: made empty, removed with everything in it.
 */
import { chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';

export class TempFolder implements Disposable {
  readonly path: string = mkdtempSync(path.join(tmpdir(), 'postern-test-'));

  /** The absolute path of a name inside. */
  join(...names: readonly string[]): string {
    return path.join(this.path, ...names);
  }

  /** Writes a file, folders on the way included, and gives its absolute path. */
  write(name: string, content: string | Uint8Array, mode?: number): string {
    const file = this.join(name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, content);
    if (mode !== undefined) chmodSync(file, mode);
    return file;
  }

  /** Replaces a symbolic link in one step, as Kubernetes does with `..data`. */
  swapLink(name: string, target: string): string {
    const link = this.join(name);
    const fresh = `${link}.fresh`;
    rmSync(fresh, { force: true });
    symlinkSync(target, fresh);
    renameSync(fresh, link);
    return link;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.remove();
  }
}
