/**
 * Says when files or folders have changed, once, 100 ms after the last change.
 *
 * Events are only hints: what counts is whether name, place, size or time of anything watched differs. Each folder on
 * the way to a path is watched, links resolved too, so that a folder renamed into place and a `..data` link swapped
 * count; where the system gives no events, it looks every second.
 */
import { readdirSync, readlinkSync, statSync, watch } from 'node:fs';
import type { BigIntStats, FSWatcher } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { CONFIG_LIMITS } from './config-limits.ts';
import { isDocumentName } from './document-files.ts';

/** Quiet time after which a change is told. */
export const SETTLE_MS = 100;
/** A file that never comes to rest is told about at least this often. */
export const MAX_SETTLE_MS = 2_000;
/** Between two looks where the system gives no events. */
export const POLL_MS = 1_000;
/** Links followed from one path: more is a loop. */
const MAX_LINKS = 40;

export interface ConfigWatcher {
  /** Replaces what is watched; a difference between the old and the new is not a change. */
  setPaths(paths: readonly string[]): void;
  /** Releases every watcher and timer; nothing is told after it. */
  close(): void;
  /** Whether it looks by itself, because the system gives no events. */
  readonly polls: boolean;
}

export interface WatchOptions {
  readonly settleMs?: number;
  readonly pollMs?: number;
  /** The system's watcher; tests put one here that fails. */
  readonly watchFolder?: (
    folder: string,
    onEvent: (name: string | null) => void,
    onError: () => void,
  ) => FolderWatch;
}

export interface FolderWatch {
  close(): void;
}

/** Starts watching; `onChange` is never called in the caller's turn. */
export function watchConfig(
  paths: readonly string[],
  onChange: () => void,
  options: WatchOptions = {},
): ConfigWatcher {
  return new Watcher(paths, onChange, options);
}

interface OpenFolder {
  /** Which folder it was when opened: another of the same name needs a watcher of its own. */
  readonly identity: string;
  readonly watch: FolderWatch;
  /** Entries that matter; null: all. */
  names: ReadonlySet<string> | null;
}

class Watcher implements ConfigWatcher {
  readonly #onChange: () => void;
  readonly #settleMs: number;
  readonly #pollMs: number;
  readonly #watchFolder: NonNullable<WatchOptions['watchFolder']>;
  readonly #folders = new Map<string, OpenFolder>();
  #paths: readonly string[];
  #told: string;
  #closed = false;
  #settleTimer: NodeJS.Timeout | null = null;
  #firstEventAtMs = 0;
  #pollTimer: NodeJS.Timeout | null = null;

  constructor(paths: readonly string[], onChange: () => void, options: WatchOptions) {
    this.#onChange = onChange;
    this.#settleMs = options.settleMs ?? SETTLE_MS;
    this.#pollMs = options.pollMs ?? POLL_MS;
    this.#watchFolder = options.watchFolder ?? watchWithSystem;
    this.#paths = paths.map((path) => resolve(path));
    this.#watchAll();
    this.#told = fingerprint(this.#paths);
  }

  get polls(): boolean {
    return this.#pollTimer !== null;
  }

  setPaths(paths: readonly string[]): void {
    if (this.#closed) return;
    const before = fingerprint(this.#paths);
    const pending = before !== this.#told;
    this.#paths = paths.map((path) => resolve(path));
    this.#watchAll();
    // A change of the old paths that was not told yet stays one.
    this.#told = pending ? '' : fingerprint(this.#paths);
    if (pending) this.#settle();
  }

  close(): void {
    this.#closed = true;
    if (this.#settleTimer !== null) clearTimeout(this.#settleTimer);
    if (this.#pollTimer !== null) clearInterval(this.#pollTimer);
    this.#settleTimer = null;
    this.#pollTimer = null;
    for (const folder of this.#folders.values()) folder.watch.close();
    this.#folders.clear();
  }

  /** Opens a watcher for each folder on the way, closes those no longer on it. */
  #watchAll(): void {
    const wanted = wantedFolders(this.#paths);
    for (const [path, folder] of this.#folders) {
      if (wanted.has(path) && folder.identity === identityOf(path)) continue;
      folder.watch.close();
      this.#folders.delete(path);
    }
    for (const [path, names] of wanted) {
      const open = this.#folders.get(path);
      if (open !== undefined) {
        open.names = names;
        continue;
      }
      const identity = identityOf(path);
      if (identity === '') continue;
      try {
        const opened = this.#watchFolder(path, this.#onEvent.bind(this, path), this.#onFailure);
        this.#folders.set(path, { identity, watch: opened, names });
      } catch {
        this.#onFailure();
      }
    }
  }

  #onEvent(path: string, name: string | null): void {
    const names = this.#folders.get(path)?.names;
    // Names that begin with two dots are how Kubernetes swaps a whole folder.
    if (name !== null && names instanceof Set && !names.has(name) && !name.startsWith('..')) return;
    this.#settle();
  }

  readonly #onFailure = (): void => {
    if (this.#closed || this.#pollTimer !== null) return;
    this.#pollTimer = setInterval(this.#poll, this.#pollMs);
  };

  readonly #poll = (): void => {
    this.#watchAll();
    if (this.#settleTimer === null && fingerprint(this.#paths) !== this.#told) this.#settle();
  };

  #settle(): void {
    if (this.#closed) return;
    const now = performance.now();
    if (this.#settleTimer === null) this.#firstEventAtMs = now;
    else clearTimeout(this.#settleTimer);
    const left = this.#firstEventAtMs + MAX_SETTLE_MS - now;
    this.#settleTimer = setTimeout(this.#settled, Math.max(0, Math.min(this.#settleMs, left)));
  }

  readonly #settled = (): void => {
    this.#settleTimer = null;
    // First watch what is there now, then look: a change in between is an event.
    this.#watchAll();
    const now = fingerprint(this.#paths);
    if (now === this.#told) return;
    this.#told = now;
    this.#onChange();
  };
}

function watchWithSystem(
  folder: string,
  onEvent: (name: string | null) => void,
  onError: () => void,
): FSWatcher {
  const watcher = watch(folder, (_event, name) => onEvent(name));
  watcher.on('error', onError);
  return watcher;
}

/** Folder → the names in it that matter, null for all of them. */
function wantedFolders(paths: readonly string[]): Map<string, ReadonlySet<string> | null> {
  const wanted = new Map<string, Set<string> | null>();
  for (const path of paths) {
    for (const hop of hopsOf(path)) {
      const folder = dirname(hop);
      const names = wanted.get(folder);
      if (names === undefined) wanted.set(folder, new Set([basename(hop)]));
      else names?.add(basename(hop));
    }
    if (statOf(path)?.isDirectory() !== true) continue;
    wanted.set(path, null);
    // A document in the folder may itself be a link to somewhere else.
    for (const name of documentNames(path)) {
      for (const hop of linkHops(join(path, name))) {
        const folder = dirname(hop);
        const names = wanted.get(folder);
        if (names === undefined) wanted.set(folder, new Set([basename(hop)]));
        else names?.add(basename(hop));
      }
    }
  }
  return wanted;
}

/** Every path whose replacement would change what `path` means: its ancestors, and those of what links lead to. */
function hopsOf(path: string): Set<string> {
  const hops = new Set<string>();
  const todo = [path];
  for (let links = 0; todo.length > 0 && links < MAX_LINKS;) {
    const next = todo.pop() ?? '';
    for (let hop = next; hop !== dirname(hop) && !hops.has(hop); hop = dirname(hop)) {
      hops.add(hop);
      const target = linkTarget(hop);
      if (target === null) continue;
      links += 1;
      // What follows the link is looked up in what it leads to.
      todo.push(target + next.slice(hop.length));
    }
  }
  return hops;
}

function linkHops(path: string): Set<string> {
  return linkTarget(path) === null ? new Set() : hopsOf(path);
}

function linkTarget(path: string): string | null {
  try {
    return resolve(dirname(path), readlinkSync(path));
  } catch {
    return null;
  }
}

/** Equal for two looks only if nothing that is watched has changed between them. */
function fingerprint(paths: readonly string[]): string {
  const parts: string[] = [];
  for (const path of paths) {
    const stat = statOf(path);
    parts.push(describeStat(path, stat));
    if (stat?.isDirectory() !== true) continue;
    for (const name of documentNames(path)) {
      const file = join(path, name);
      parts.push(describeStat(file, statOf(file)));
    }
  }
  return parts.join('\n');
}

function describeStat(path: string, stat: BigIntStats | null): string {
  if (stat === null) return `${path} absent`;
  // A folder's own time changes with every file in it, temporary ones too.
  if (stat.isDirectory()) return `${path} folder`;
  return `${path} ${stat.dev} ${stat.ino} ${stat.size} ${stat.mtimeNs} ${stat.ctimeNs}`;
}

function documentNames(folder: string): string[] {
  try {
    return readdirSync(folder).filter(isDocumentName).toSorted().slice(0, CONFIG_LIMITS.maxFiles);
  } catch {
    return [];
  }
}

function identityOf(path: string): string {
  const stat = statOf(path);
  return stat === null ? '' : `${stat.dev} ${stat.ino}`;
}

function statOf(path: string): BigIntStats | null {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return null;
  }
}
