/**
 * Opens stdout or stderr so that a reader who stopped reading cannot stop us.
 *
 * A pipe or terminal is opened again through /proc: the new file description is non-blocking and ours alone,
 * whereas setting the flag on the inherited one would change it for every process that shares it.
 */
import { closeSync, constants, fstatSync, openSync } from 'node:fs';

/** `socket`: Linux cannot open it again; the caller decides. `file`: a write never waits for a reader. */
export type StreamKind = 'file' | 'pipe' | 'socket';

export interface StandardStream {
  readonly fd: number;
  readonly kind: StreamKind;
  /** Whether `fd` was opened here and is to be closed. */
  readonly owned: boolean;
}

/** Never throws: where the stream cannot be opened again it is used as it was inherited. */
export function openStandardStream(fd: 1 | 2): StandardStream {
  let kind: StreamKind = 'file';
  try {
    const stat = fstatSync(fd);
    if (stat.isSocket()) return { fd, kind: 'socket', owned: false };
    if (!stat.isFIFO() && !stat.isCharacterDevice()) return { fd, kind, owned: false };
    kind = 'pipe';
    const flags = constants.O_WRONLY | constants.O_NONBLOCK | constants.O_APPEND | constants.O_NOCTTY;
    return { fd: openSync(`/proc/self/fd/${fd}`, flags), kind, owned: true };
  } catch {
    // Another user's pipe, no /proc, or a closed descriptor.
    return { fd, kind, owned: false };
  }
}

export function closeStandardStream(stream: StandardStream): void {
  if (stream.owned) closeSync(stream.fd);
}
