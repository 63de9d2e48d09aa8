/**
 * One connection that a listener was given: it leaves this room exactly once, accepted, with its direction and
 * protocol known, or refused, closed and explained.
 */
import type { Socket } from 'node:net';
import type { Address } from '../core/address.ts';
import { plainIp } from '../core/address.ts';
import { messageOf } from '../core/errors.ts';
import type { ArrivalContext } from './arrival.ts';
import { Arrival } from './arrival.ts';
import type { Direction } from './direction.ts';

export interface InterceptCounters {
  /** Connections that the kernel gave us. */
  arrived: number;
  /** Gone before they could be looked at. */
  vanished: number;
  acceptErrors: number;
}

/** Where a connection goes, by the listener that it came to; `local` is the accepted socket's own address. */
export type DecideDirection = (socket: Socket, local: Address) => Direction;

/** Failures of a socket end in `close`, which its owner hears; this only keeps them from ending the process. */
function ignoreError(): void {
  // Empty on purpose.
}

export function acceptConnection(
  socket: Socket,
  decide: DecideDirection,
  context: ArrivalContext,
  counters: InterceptCounters,
): void {
  counters.arrived++;
  socket.on('error', ignoreError);
  const remote = endpoint(socket.remoteAddress, socket.remotePort);
  const local = endpoint(socket.localAddress, socket.localPort);
  if (remote === null || local === null) {
    counters.vanished++;
    socket.destroy();
    return;
  }
  const { handlers, live, settings } = context;
  let arrival: Arrival | null = null;
  try {
    if (live.size >= settings().limits.maxConnections) {
      socket.destroy();
      handlers.onRefused({
        code: 'too_many_connections',
        remote,
        destination: null,
        direction: null,
        receivedBytes: 0,
        detail: `${live.size} connections are open`,
        hint: 'raise limits.maxConnections, or find who holds them open',
      });
      return;
    }
    const direction = decide(socket, local);
    if (direction.kind === 'refused') {
      socket.destroy();
      const { code, destination, detail, hint } = direction;
      handlers.onRefused({ code, remote, destination, direction: null, receivedBytes: 0, detail, hint });
      return;
    }
    arrival = new Arrival(context, socket, direction, remote, local);
    arrival.start();
  } catch (thrown) {
    socket.destroy();
    if (arrival !== null) {
      arrival.fail(thrown);
      return;
    }
    const detail = messageOf(thrown);
    handlers.onRefused({
      code: 'bug',
      remote,
      destination: null,
      direction: null,
      receivedBytes: 0,
      detail,
      hint: '',
    });
  }
}

/** The zone of a link-local address is dropped: the kernel's answer has none. null: the peer is gone. */
function endpoint(ip: string | undefined, port: number | undefined): Address | null {
  if (ip === undefined || port === undefined) return null;
  const zone = ip.indexOf('%');
  return { ip: plainIp(zone < 0 ? ip : ip.slice(0, zone)), port };
}
