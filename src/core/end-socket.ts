/**
 * The two ways to end a connection at once. `top` is what is written to: the TLS socket above `raw`, or `raw`.
 */
import type { Socket } from 'node:net';

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
  else raw.resetAndDestroy();
}

function isSendingFin(socket: Socket): boolean {
  return socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
}
