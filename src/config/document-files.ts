/**
 * Which files a `config` entry means, and their bytes: bounded, in the order of their paths.
 *
 * A folder means its own `*.yaml`, `*.yml` and `*.json`, as with kubectl; hidden names are left out, so that the
 * `..data` folders behind a Kubernetes ConfigMap are read once, through their links.
 */
import { closeSync, fstatSync, openSync, opendirSync, readSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CONFIG_LIMITS } from './config-limits.ts';
import { compareBytes } from './problem.ts';
import type { ProblemList } from './problem.ts';
import type { Position } from './resources.ts';

/** A file or folder of Istio documents; `path` is absolute or relative to the working directory. */
export interface ConfigEntry {
  readonly path: string;
  /** For documents that say none. */
  readonly namespace: string;
  /** Where postern.yaml names it; problems of the entry itself stand there. */
  readonly position?: Position;
}

export interface DocumentFile {
  readonly path: string;
  readonly namespace: string;
}

const EXTENSION = /\.(?:ya?ml|json)$/;

/** Whether a file of this name in a folder is read. */
export function isDocumentName(name: string): boolean {
  return !name.startsWith('.') && EXTENSION.test(name);
}

/** The files of all entries, each once. */
export function listDocumentFiles(entries: readonly ConfigEntry[], problems: ProblemList): DocumentFile[] {
  const files = new Map<string, DocumentFile>();
  for (const entry of entries) {
    for (const path of filesOfEntry(entry, problems)) {
      const known = files.get(path);
      if (known !== undefined && known.namespace !== entry.namespace) {
        const message = `"${path}" is listed for the namespaces "${known.namespace}" and "${entry.namespace}"`;
        problems.add('error', 'conflict', placeOf(entry), '', message, 'list it once');
      }
      if (known === undefined) files.set(path, { path, namespace: entry.namespace });
      if (files.size > CONFIG_LIMITS.maxFiles) {
        const message = `more than ${CONFIG_LIMITS.maxFiles} files are listed`;
        problems.add(
          'error',
          'too_large',
          placeOf(entry),
          '',
          message,
          'put several documents into one file',
        );
        return [];
      }
    }
  }
  return [...files.values()].toSorted((a, b) => compareBytes(a.path, b.path));
}

function filesOfEntry(entry: ConfigEntry, problems: ProblemList): string[] {
  try {
    if (!statSync(entry.path).isDirectory()) return [entry.path];
    const paths = filesOfFolder(entry, problems);
    if (paths.length === 0) {
      const fix = 'put documents there, named *.yaml, *.yml or *.json';
      problems.add(
        'warning',
        'empty',
        placeOf(entry),
        '',
        `the folder "${entry.path}" has no documents`,
        fix,
      );
    }
    return paths;
  } catch (thrown) {
    const message = `cannot read "${entry.path}": ${reasonOf(thrown)}`;
    problems.add('error', 'unreadable', placeOf(entry), '', message, 'correct the path or the permissions');
    return [];
  }
}

function filesOfFolder(entry: ConfigEntry, problems: ProblemList): string[] {
  const paths: string[] = [];
  const folder = opendirSync(entry.path);
  try {
    let left = CONFIG_LIMITS.maxFolderEntries;
    for (let item = folder.readSync(); item !== null; item = folder.readSync()) {
      left -= 1;
      if (left < 0) {
        const message = `the folder "${entry.path}" has more than ${CONFIG_LIMITS.maxFolderEntries} entries`;
        problems.add('error', 'too_large', placeOf(entry), '', message, 'keep other files elsewhere');
        return [];
      }
      if (item.name.startsWith('.')) continue;
      const path = join(entry.path, item.name);
      const isFolder = item.isSymbolicLink() ? statSync(path).isDirectory() : item.isDirectory();
      if (isFolder) {
        // Silence here could leave out a policy that its author believes to be in force.
        const message = `the folder "${path}" inside it is not read`;
        problems.add('warning', 'ignored_kind', placeOf(entry), '', message, 'list it in config, or move it');
      } else if (isDocumentName(item.name)) paths.push(path);
    }
  } finally {
    folder.closeSync();
  }
  return paths;
}

/** The text of a file, or null with a problem. */
export function readDocumentFile(path: string, maxBytes: number, problems: ProblemList): string | null {
  const place = { file: path, line: 1, column: 1 };
  let bytes: Buffer;
  try {
    bytes = readBounded(path, maxBytes);
  } catch (thrown) {
    const message = `cannot read "${basename(path)}": ${reasonOf(thrown)}`;
    problems.add('error', 'unreadable', place, '', message, 'correct the path or the permissions');
    return null;
  }
  if (bytes.length > maxBytes) {
    problems.add('error', 'too_large', place, '', `the file has more than ${maxBytes} bytes`, 'split it');
    return null;
  }
  const firstBad = firstNonUtf8(bytes);
  if (firstBad !== -1) {
    const before = bytes.subarray(0, firstBad).toString();
    const line = before.split('\n').length;
    const column = before.length - before.lastIndexOf('\n');
    problems.add(
      'error',
      'not_utf8',
      { file: path, line, column },
      '',
      'the file is not UTF-8 text',
      'save it as UTF-8',
    );
    return null;
  }
  return bytes.toString();
}

/** Reads one byte more than allowed at most, so that a file that grows or never ends cannot fill memory. */
function readBounded(path: string, maxBytes: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw new Error('it is not a regular file');
    const buffer = Buffer.allocUnsafe(Math.min(stat.size, maxBytes) + 1);
    let length = 0;
    for (;;) {
      const read = readSync(file, buffer, length, buffer.length - length, null);
      length += read;
      if (read === 0 || length === buffer.length) return buffer.subarray(0, length);
    }
  } finally {
    closeSync(file);
  }
}

/** The index of the first byte that is not UTF-8, -1 if all are. */
function firstNonUtf8(bytes: Buffer): number {
  const text = bytes.toString();
  if (!text.includes('\uFFFD')) return -1;
  // A replacement character may be the file's own: then both have the same bytes.
  const again = Buffer.from(text);
  if (again.equals(bytes)) return -1;
  let index = 0;
  while (index < bytes.length && bytes[index] === again[index]) index += 1;
  return index;
}

function placeOf(entry: ConfigEntry): Position {
  return entry.position ?? { file: entry.path, line: 1, column: 1 };
}

/** Why a file cannot be read, in words. */
export function reasonOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown);
  const { code } = thrown as NodeJS.ErrnoException;
  if (code === 'ENOENT') return 'there is no such file or folder';
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied';
  return code ?? thrown.message;
}
