/**
 * Which user is at the other end of a Unix socket, as the kernel knows it (SO_PEERCRED, unix(7)).
 */
import type { Socket } from 'node:net';
import { MeshError, messageOf } from '../core/errors.ts';
import { descriptorOf, type Getsockopt, loadGetsockopt } from '../core/socket-option.ts';

// <asm-generic/socket.h>; MIPS, PA-RISC and SPARC, where they differ, have no Node.
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
/** `struct ucred`: pid, uid and gid, 32 bits each. */
const UCRED_BYTES = 12;
const UID_AT = 4;

/** Answers the uid of whoever connected; null if the kernel does not say. Throws where it can never be known. */
export function createPeerUser(): (socket: Socket) => number | null {
  if (process.platform !== 'linux') throw refuse(`it needs Linux, this is "${process.platform}"`);
  let getsockopt: Getsockopt;
  try {
    getsockopt = loadGetsockopt();
  } catch (thrown) {
    throw refuse(`node:ffi cannot be used: ${messageOf(thrown)}`);
  }
  const value = Buffer.alloc(UCRED_BYTES);
  const length = Buffer.alloc(4);
  return (socket) => {
    const fd = descriptorOf(socket);
    if (fd < 0) return null;
    length.writeUInt32LE(UCRED_BYTES, 0);
    const isAnswered = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, value, length) === 0;
    return isAnswered && length.readUInt32LE(0) === UCRED_BYTES ? value.readUInt32LE(UID_AT) : null;
  };
}

function refuse(why: string): MeshError {
  const fix = 'leave uids empty and let socket.mode decide';
  return new MeshError('sds_not_listening', `Cannot check socket.uids: ${why}; ${fix}`);
}
