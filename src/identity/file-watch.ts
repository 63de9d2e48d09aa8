/**
 * Tells that files may have changed, however they are replaced: written in place, renamed over, or behind a
 * symlink that is swapped anywhere on their path (as Kubernetes swaps `..data`).
 *
 * Folders are watched, never the files: a watch on a file ends with the file that is renamed away.
 */
import { type FSWatcher, watch } from 'node:fs';
import { lstat, readlink, stat } from 'node:fs/promises';
import { join, parse, resolve, sep } from 'node:path';

/** As the kernel: past that many links there is a loop. */
const MAX_LINKS = 40;

interface WatchedFolder {
  readonly watcher: FSWatcher;
  /** The entries that matter; a log written beside a certificate does not. */
  names: ReadonlySet<string>;
  /** Device and inode: a folder made anew under the same name is another one. */
  readonly id: string;
}

/** Owns its watchers; `close` ends them. */
export class FileWatch {
  readonly #files: readonly string[];
  readonly #onChange: () => void;
  readonly #folders = new Map<string, WatchedFolder>();
  #isClosed = false;

  constructor(files: readonly string[], onChange: () => void) {
    this.#files = files.map((file) => resolve(file));
    this.#onChange = onChange;
  }

  /** Watches what the paths lead through now; to be called again after each change. Never rejects. */
  async refresh(): Promise<void> {
    const wanted = new Map<string, Set<string>>();
    for (const file of this.#files) await collectEntries(file, wanted);
    for (const [folder, watched] of this.#folders) {
      const names = wanted.get(folder);
      if (names !== undefined && (await folderId(folder)) === watched.id) watched.names = names;
      else this.#drop(folder, watched.watcher);
    }
    for (const [folder, names] of wanted) if (!this.#folders.has(folder)) await this.#add(folder, names);
  }

  close(): void {
    this.#isClosed = true;
    for (const [folder, { watcher }] of this.#folders) this.#drop(folder, watcher);
  }

  async #add(folder: string, names: ReadonlySet<string>): Promise<void> {
    const id = await folderId(folder);
    if (id === null || this.#isClosed) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        if (name === null || this.#folders.get(folder)?.names.has(name) !== false) this.#onChange();
      });
      // Without a watcher the caller's poll remains.
      watcher.on('error', () => this.#drop(folder, watcher));
      this.#folders.set(folder, { watcher, names, id });
    } catch {
      // No such folder now, or no watches left: the caller's poll remains.
    }
  }

  #drop(folder: string, watcher: FSWatcher): void {
    watcher.close();
    if (this.#folders.get(folder)?.watcher === watcher) this.#folders.delete(folder);
  }
}

/** One line that differs if any of the files was replaced or written; what is absent counts as a state too. */
export async function fingerprintOf(files: readonly string[]): Promise<string> {
  const parts: string[] = [];
  for (const file of files) {
    try {
      const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
      parts.push([dev, ino, size, mtimeNs, ctimeNs].join(':'));
    } catch {
      parts.push('absent');
    }
  }
  return parts.join(' ');
}

/**
 * Adds every folder entry whose change can make the path lead elsewhere: the file's own and each link's on the way.
 * Plain folders on the way are left out: who renames those is seen by the poll.
 */
async function collectEntries(file: string, entries: Map<string, Set<string>>): Promise<void> {
  const add = (folder: string, name: string): void => {
    const names = entries.get(folder);
    if (names === undefined) entries.set(folder, new Set([name]));
    else names.add(name);
  };
  let at = parse(file).root;
  const rest = file.slice(at.length).split(sep);
  let links = 0;
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    if (name === '') continue;
    const next = join(at, name);
    const target = await linkTarget(next);
    if (target !== null && ++links > MAX_LINKS) return;
    if (target !== null || rest.length === 0) add(at, name);
    if (target === null) {
      at = next;
      continue;
    }
    const path = resolve(at, target);
    at = parse(path).root;
    rest.unshift(...path.slice(at.length).split(sep));
  }
}

async function linkTarget(path: string): Promise<string | null> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path) : null;
  } catch {
    return null;
  }
}

async function folderId(folder: string): Promise<string | null> {
  try {
    const { dev, ino } = await stat(folder, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return null;
  }
}
