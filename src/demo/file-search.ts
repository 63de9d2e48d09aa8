/**
 * The regular files of a folder, and those that this process has open, read one by one within bounds.
 *
 * A folder that has more than a fresh one is not searched: who runs the demo at home has no fresh one.
 */
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Of one folder with all below it. */
export const MAX_ENTRIES = 1_000;
export const MAX_BYTES = 4_194_304;
/** Of one file that is open; standard output may have been led to one. */
const MAX_OPEN_FILE_BYTES = 16_777_216;
const OPEN_FILES = '/proc/self/fd';

export interface Searched {
  readonly files: number;
  /** '' if all of it was read. */
  readonly leftOut: string;
}

/** `look` is given each file once. Symbolic links are not followed: what they lead to is not in the folder. */
export async function searchFolder(
  folder: string,
  look: (file: string, content: Buffer) => void,
): Promise<Searched> {
  const listed = await listFiles(folder);
  if (typeof listed === 'string') return { files: 0, leftOut: listed };
  let files = 0;
  for (const file of listed) {
    const content = await contentOf(file, MAX_BYTES);
    if (content === null) continue;
    files++;
    look(file, content);
  }
  return { files, leftOut: '' };
}

/** The paths, or why it is not a fresh folder. */
async function listFiles(folder: string): Promise<readonly string[] | string> {
  const files: string[] = [];
  const folders = [folder];
  let entries = 0;
  let bytes = 0;
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    let found;
    try {
      found = await readdir(next, { withFileTypes: true });
    } catch (thrown) {
      // Somebody else's, in which nothing of ours can be; or gone by now.
      if (next !== folder) continue;
      return thrown instanceof Error ? thrown.message : String(thrown);
    }
    entries += found.length;
    if (entries > MAX_ENTRIES) return `it has more than ${MAX_ENTRIES} entries`;
    for (const entry of found) {
      const path = join(next, entry.name);
      if (entry.isDirectory()) folders.push(path);
      if (!entry.isFile()) continue;
      bytes += (await sizeOf(path)) ?? 0;
      if (bytes > MAX_BYTES) return `it has more than ${MAX_BYTES} bytes`;
      files.push(path);
    }
  }
  return files;
}

/** Also files that have no name any more. */
export async function searchOpenFiles(look: (file: string, content: Buffer) => void): Promise<Searched> {
  if (process.platform !== 'linux') return { files: 0, leftOut: `there is no ${OPEN_FILES} here` };
  let files = 0;
  let leftOut = '';
  for (const number of await readdir(OPEN_FILES)) {
    const file = join(OPEN_FILES, number);
    const size = await sizeOf(file);
    if (size === null) continue;
    const content = await contentOf(file, MAX_OPEN_FILE_BYTES);
    if (content === null)
      leftOut = `${file} could not be read, or has more than ${MAX_OPEN_FILE_BYTES} bytes`;
    else {
      files++;
      look(file, content);
    }
  }
  return { files, leftOut };
}

/** null: it is no regular file, or gone. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : null;
  } catch {
    return null;
  }
}

/** null: it cannot be read, or is longer than `maxBytes`. */
async function contentOf(path: string, maxBytes: number): Promise<Buffer | null> {
  let file;
  try {
    file = await open(path, 'r');
  } catch {
    return null;
  }
  try {
    const chunks: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const { buffer, bytesRead } = await file.read({ buffer: Buffer.allocUnsafe(65_536), position: bytes });
      if (bytesRead === 0) return Buffer.concat(chunks);
      bytes += bytesRead;
      if (bytes > maxBytes) return null;
      chunks.push(buffer.subarray(0, bytesRead));
    }
  } catch {
    return null;
  } finally {
    await file.close();
  }
}
