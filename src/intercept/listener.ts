/**
 * The listeners that take redirected connections (15001, and 15006 for inbound only). Each connection leaves
 * this room exactly once: accepted, with its direction and protocol known, or refused, closed and explained.
 *
 * The listener never closes accepted connections when it stops; they are in the table of live connections.
 */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Address } from '../core/address.ts';
import { formatAddress, plainIp } from '../core/address.ts';
import { messageOf } from '../core/errors.ts';
import { listenFix } from '../core/listen-fix.ts';
import type { ArrivalContext, InterceptHandlers, InterceptSettings } from './arrival.ts';
import { Arrival } from './arrival.ts';
import type { AppTarget, DirectionSettings, ListenerKind } from './direction.ts';
import { decideDirection } from './direction.ts';
import type { HostAddresses } from './host-addresses.ts';
import type { LiveConnections } from './live-connections.ts';
import type { OriginalDestination } from './original-destination.ts';

/** Connections that the kernel holds until we accept them; it cuts this to net.core.somaxconn. */
const LISTEN_BACKLOG = 4_096;

export interface ListenerOptions {
  readonly bind: string;
  readonly port: number;
  /** null: no second listener. */
  readonly inboundPort: number | null;
  /** Several workers share the ports. */
  readonly reusePort: boolean;
  readonly direct: AppTarget | null;
  readonly appHost: string;
  /** Read for every connection: ports that open later may be added. */
  readonly reservedPorts: ReadonlySet<number>;
  readonly originalDestination: OriginalDestination;
  readonly hostAddresses: HostAddresses;
  readonly live: LiveConnections;
  readonly settings: () => InterceptSettings;
  readonly handlers: InterceptHandlers;
}

export interface InterceptCounters {
  /** Connections that the kernel gave us. */
  arrived: number;
  /** Gone before they could be looked at. */
  vanished: number;
  acceptErrors: number;
}

export interface InterceptListeners {
  /** As bound: port 0 has become a number. */
  readonly ports: { readonly intercept: number; readonly inbound: number | null };
  readonly counters: Readonly<InterceptCounters>;
  /** Stops accepting, at once. */
  close(): void;
}

/** Opens all listeners or none; rejects with the reason. */
export async function openListeners(options: ListenerOptions): Promise<InterceptListeners> {
  const { handlers, live, settings } = options;
  const interceptPorts = new Set<number>();
  const counters: InterceptCounters = { arrived: 0, vanished: 0, acceptErrors: 0 };
  const context: ArrivalContext = { live, handlers, settings };
  const directionSettings: DirectionSettings = {
    interceptPorts,
    reservedPorts: options.reservedPorts,
    direct: options.direct,
    appHost: options.appHost,
    hostAddresses: options.hostAddresses,
  };
  const servers: Server[] = [];
  const close = (): void => {
    for (const server of servers) server.close();
  };

  const open = async (kind: ListenerKind, port: number): Promise<number> => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      acceptConnection(socket, kind, options, directionSettings, context, counters);
    });
    await listen(server, options, port, kind === 'main' ? 'port' : 'inboundPort');
    servers.push(server);
    server.on('error', (error) => {
      counters.acceptErrors++;
      handlers.onAcceptError(error);
    });
    const bound = boundPort(server);
    interceptPorts.add(bound);
    return bound;
  };

  try {
    const intercept = await open('main', options.port);
    const inbound = options.inboundPort === null ? null : await open('inbound-only', options.inboundPort);
    return { ports: { intercept, inbound }, counters, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

function listen(
  server: Server,
  options: ListenerOptions,
  port: number,
  setting: 'port' | 'inboundPort',
): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      const where = formatAddress({ ip: options.bind, port });
      reject(
        new Error(
          `Cannot listen on "${where}": ${error.message}; ${listenFix(error, 'intercept', setting)}`,
          {
            cause: error,
          },
        ),
      );
    };
    server.once('error', onError);
    server.listen({ host: options.bind, port, backlog: LISTEN_BACKLOG, reusePort: options.reusePort }, () => {
      server.removeListener('error', onError);
      resolve();
    });
  });
}

function boundPort(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a listener has no TCP port');
  return address.port;
}

/** Failures of a socket end in `close`, which its owner hears; this only keeps them from ending the process. */
function ignoreError(): void {
  // Empty on purpose.
}

function acceptConnection(
  socket: Socket,
  kind: ListenerKind,
  options: ListenerOptions,
  directionSettings: DirectionSettings,
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
    const direction = decideDirection(kind, local, options.originalDestination.of(socket), directionSettings);
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
