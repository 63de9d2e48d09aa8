/**
 * Where batches of lines go: a file that can be opened again after rotation, or stdout or stderr.
 *
 * A write never blocks the event loop: files go through the thread pool, pipes are non-blocking descriptions
 * of their own, sockets are written by the event loop.
 */
import { close, constants, openSync, write } from 'node:fs';
import { Socket } from 'node:net';
import { closeStandardStream, openStandardStream } from './standard-stream.ts';
import type { StreamKind } from './standard-stream.ts';

export interface WriteTarget {
  readonly kind: StreamKind;
  /** Calls back once, later, with how many bytes were taken; `EAGAIN` for a full pipe. */
  write(bytes: Buffer, onDone: (error: NodeJS.ErrnoException | null, written: number) => void): void;
  /** Not while a write is under way. */
  close(): void;
}

/** Readable by the group that reads logs, not by everybody: lines hold identities. */
const FILE_MODE = 0o640;

const STANDARD_STREAMS: Readonly<Record<string, 1 | 2>> = {
  '/dev/stdout': 1,
  '/dev/fd/1': 1,
  '/proc/self/fd/1': 1,
  '/dev/stderr': 2,
  '/dev/fd/2': 2,
  '/proc/self/fd/2': 2,
};

/** Whether the path is one of the process's own streams, which rotation does not concern. */
export function isStandardStream(path: string): boolean {
  return Object.hasOwn(STANDARD_STREAMS, path);
}

/** Whether the path is standard output, however it is written. */
export function isStandardOutput(path: string): boolean {
  return isStandardStream(path) && STANDARD_STREAMS[path] === 1;
}

/** Opens for appending; throws what `open` throws. */
export function openWriteTarget(path: string): WriteTarget {
  const standard = Object.hasOwn(STANDARD_STREAMS, path) ? STANDARD_STREAMS[path] : undefined;
  if (standard === undefined) {
    // O_NONBLOCK matters where the path is a FIFO.
    const flags = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
    const fd = openSync(path, flags, FILE_MODE);
    return descriptorTarget(fd, 'file', () => close(fd, () => {}));
  }
  const stream = openStandardStream(standard);
  if (stream.kind === 'socket') return socketTarget(stream.fd);
  return descriptorTarget(stream.fd, stream.kind, () => closeStandardStream(stream));
}

function descriptorTarget(fd: number, kind: StreamKind, onClose: () => void): WriteTarget {
  return {
    kind,
    write(bytes, onDone) {
      write(fd, bytes, 0, bytes.length, null, onDone);
    },
    close: onClose,
  };
}

/** stdout of a supervisor that uses sockets. The descriptor is not ours to close. */
function socketTarget(fd: number): WriteTarget {
  const socket = new Socket({ fd, readable: false, writable: true });
  let failed: NodeJS.ErrnoException | null = null;
  socket.on('error', (error) => {
    failed = error;
  });
  socket.unref();
  return {
    kind: 'socket',
    write(bytes, onDone) {
      if (failed !== null || socket.destroyed) {
        const error = failed ?? new Error('the stream is closed');
        setImmediate(onDone, Object.assign(error, { code: 'EPIPE' }), 0);
        return;
      }
      socket.write(bytes, (error) => {
        if (error) onDone(Object.assign(error, { code: 'EPIPE' }), 0);
        else onDone(null, bytes.length);
      });
    },
    close() {},
  };
}
