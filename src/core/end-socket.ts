/**
 * The two ways to end a connection at once. `top` is what is written to: the TLS socket above `raw`, or `raw`. A TLS
 * socket that we dialled holds its TCP handle itself and is both.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/** TLS before what it stands on: the other way round, in the turn of a handshake's end, Node crashes (26.10). */
export function destroySocket(raw: Socket, top: Socket): void {
  top.destroy();
  raw.destroy();
}

/**
 * RST in place of FIN, so that the peer cannot take what came for all there was.
 *
 * Node's own (26.10) fails with EINVAL while a FIN is being sent, and then never closes the descriptor nor says
 * `close`: the connection would be counted, and a drain would wait for it, for ever.
 */
export function resetSocket(raw: Socket, top: Socket = raw): void {
  // Ended and all given to the kernel, so the FIN is on its way: a reset would come too late to say anything.
  if (isSendingFin(top) || isSendingFin(raw)) destroySocket(raw, top);
  else if (raw instanceof TLSSocket) resetTlsSocket(raw);
  else raw.resetAndDestroy();
}

/**
 * Node has no reset for a TLS socket that holds its TCP handle itself (ERR_INVALID_HANDLE_TYPE, 26.10): the handle
 * below is made to close by a reset, and the socket is destroyed as ever. Without that handle it just closes.
 */
function resetTlsSocket(socket: TLSSocket): void {
  const wrap: unknown = Reflect.get(socket, '_handle');
  const tcp: unknown = typeof wrap === 'object' && wrap !== null ? Reflect.get(wrap, '_parent') : null;
  if (typeof tcp === 'object' && tcp !== null) {
    const reset: unknown = Reflect.get(tcp, 'reset');
    if (typeof reset === 'function') Reflect.set(tcp, 'close', reset);
  }
  socket.destroy();
}

function isSendingFin(socket: Socket): boolean {
  return socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
}
