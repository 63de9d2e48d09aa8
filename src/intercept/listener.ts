/**
 * The listeners that take redirected connections (15001, and 15006 for inbound only). Each connection leaves
 * this room exactly once: accepted, with its direction and protocol known, or refused, closed and explained.
 *
 * The listener never closes accepted connections when it stops; they are in the table of live connections.
 */
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { listenFix } from '../core/listen-fix.ts';
import { acceptConnection } from './accept-connection.ts';
import type { DecideDirection, InterceptCounters } from './accept-connection.ts';
import type { ArrivalContext, InterceptHandlers, InterceptSettings } from './arrival.ts';
import type {
  AppTarget,
  DirectionSettings,
  InboundDirection,
  ListenerKind,
  RefusedDirection,
} from './direction.ts';
import { decideDirection } from './direction.ts';
import type { HostAddresses } from './host-addresses.ts';
import { listen } from './listen.ts';
import type { LiveConnections } from './live-connections.ts';
import type { OriginalDestination } from './original-destination.ts';

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

export interface InterceptListeners {
  /** As bound: port 0 has become a number. */
  readonly ports: { readonly intercept: number; readonly inbound: number | null };
  readonly counters: Readonly<InterceptCounters>;
  /** Stops accepting what comes from outside, at once; what the app calls goes on. */
  closeInbound(): void;
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
  let takesInbound = true;
  const closeInbound = (): void => {
    takesInbound = false;
    const [main, ...inboundOnly] = servers;
    for (const server of inboundOnly) server.close();
    // Who is dialled without a redirect takes callers, and a port that is closed tells them sooner.
    if (options.direct !== null) main?.close();
  };
  const close = (): void => {
    for (const server of servers) server.close();
  };

  const open = async (kind: ListenerKind, port: number): Promise<number> => {
    const decide: DecideDirection = (socket, local) => {
      const original = options.originalDestination.of(socket);
      const direction = decideDirection(kind, local, original, directionSettings);
      return takesInbound || direction.kind !== 'inbound' ? direction : refuseDraining(direction);
    };
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      acceptConnection(socket, decide, context, counters);
    });
    const setting = kind === 'main' ? 'port' : 'inboundPort';
    const bound = await listen(server, { ...options, port }, (error) =>
      listenFix(error, 'intercept', setting),
    );
    servers.push(server);
    server.on('error', (error) => {
      counters.acceptErrors++;
      handlers.onAcceptError(error);
    });
    interceptPorts.add(bound);
    return bound;
  };

  try {
    const intercept = await open('main', options.port);
    const inbound = options.inboundPort === null ? null : await open('inbound-only', options.inboundPort);
    return { ports: { intercept, inbound }, counters, closeInbound, close };
  } catch (thrown) {
    close();
    throw thrown;
  }
}

function refuseDraining({ destination }: InboundDirection): RefusedDirection {
  return {
    kind: 'refused',
    code: 'draining',
    destination,
    detail: 'the sidecar is shutting down, and takes nothing more from outside',
    hint: '',
  };
}
