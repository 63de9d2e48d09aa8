/**
 * The Unix socket of an SDS server: opened where nobody else's is, never open to more users than its mode says, and
 * gone when the server is closed.
 */
import { once } from 'node:events';
import { chmod, lstat, mkdir, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import path from 'node:path';
import { MeshError, messageOf } from '../core/errors.ts';

/** Of `sockaddr_un` on Linux, the final NUL included; macOS has four fewer. */
const MAX_PATH_BYTES = 107;
/** An owner that does not take a connection in this time is there all the same. */
const PROBE_TIMEOUT_MS = 2_000;

/** Listens at `file`; a folder that is missing is made for its owner alone. Rejects with `sds_not_listening`. */
export async function listenOnSocket(server: Server, file: string, mode: number): Promise<void> {
  const refuse = (problem: string): MeshError =>
    new MeshError('sds_not_listening', `Cannot listen on "unix:${file}": ${problem}`);
  if (Buffer.byteLength(file) > MAX_PATH_BYTES)
    throw refuse(`the path is longer than ${MAX_PATH_BYTES} bytes; choose a shorter one`);
  try {
    await mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw refuse(`${messageOf(thrown)}; correct the path or the permissions`);
  }
  const problem = await removeStale(file);
  if (problem !== '') throw refuse(problem);
  try {
    await bind(server, file);
    await chmod(file, mode);
  } catch (thrown) {
    // Closing removes the file, if it was made.
    server.close();
    const isTaken = thrown instanceof Error && 'code' in thrown && thrown.code === 'EADDRINUSE';
    const fix = isTaken ? 'an SDS server is already listening; stop it or' : 'correct the permissions or';
    throw refuse(`${messageOf(thrown)}; ${fix} choose another path`);
  }
}

/**
 * bind(2) makes the file in this turn, with the umask of this turn: nobody but the owner can connect until `chmod`
 * says who may. A private folder and a rename would do as well, but Node removes at close the path that it bound.
 */
async function bind(server: Server, file: string): Promise<void> {
  const listening = once(server, 'listening');
  const before = process.umask(0o177);
  try {
    server.listen(file);
  } finally {
    process.umask(before);
  }
  await listening;
}

/** Removes a socket that nobody answers on; half a sentence if the path is not free then. */
async function removeStale(file: string): Promise<string> {
  try {
    const found = await lstat(file);
    if (!found.isSocket()) return 'there is something that is not a socket; remove it or choose another path';
    if (await isAnswering(file)) return 'an SDS server is already listening; stop it or choose another path';
    await unlink(file);
  } catch (thrown) {
    const isGone = thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT';
    if (!isGone) return `${messageOf(thrown)}; correct the permissions or choose another path`;
  }
  return '';
}

/** False only if the kernel says that nobody listens there: to remove the socket of a living server is worse. */
async function isAnswering(file: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect(file);
  socket.setTimeout(PROBE_TIMEOUT_MS, () => resolve(true));
  socket.once('connect', () => resolve(true));
  socket.once('error', (error: NodeJS.ErrnoException) => {
    resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
  });
  try {
    return await promise;
  } finally {
    socket.destroy();
  }
}
