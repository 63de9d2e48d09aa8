/**
 * getsockopt(2) through `node:ffi`, because Node has no call for it. Linux only; loaded on first use, 2–4 µs a call.
 */
import type { Socket } from 'node:net';

export type Getsockopt = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;

/** Throws where `node:ffi` cannot be used. */
export function loadGetsockopt(): Getsockopt {
  const { functions } = withoutFfiWarning(() => process.getBuiltinModule('node:ffi')).dlopen(null, {
    getsockopt: { return: 'i32', arguments: ['i32', 'i32', 'i32', 'pointer', 'pointer'] },
  });
  return functions.getsockopt;
}

/** Node has no public name for the descriptor; -1 once the socket is closed. */
export function descriptorOf(socket: Socket): number {
  const handle: unknown = Reflect.get(socket, '_handle');
  if (typeof handle !== 'object' || handle === null) return -1;
  const fd: unknown = Reflect.get(handle, 'fd');
  return typeof fd === 'number' ? fd : -1;
}

/** Loading `node:ffi` warns that it is experimental, in the same turn; that one warning is dropped. */
function withoutFfiWarning<T>(load: () => T): T {
  // oxlint-disable-next-line typescript/unbound-method -- it is put back as it was, and called on process
  const { emitWarning } = process;
  process.emitWarning = (...call: unknown[]): void => {
    if (call[1] === 'ExperimentalWarning' && String(call[0]).startsWith('FFI ')) return;
    Reflect.apply(emitWarning, process, call);
  };
  try {
    return load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
