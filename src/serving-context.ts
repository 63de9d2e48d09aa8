/** What the last leg of the road needs, inbound and outbound: an established connection and what all of them share. */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { ConnectionFacts } from './http/filter.ts';
import type { InForce } from './in-force.ts';
import type { IdentityInForce } from './identity-in-force.ts';
import type { InboundRoutes } from './inbound-routes.ts';
import type { LiveConnection } from './intercept/live-connections.ts';
import type { Counters } from './observe/counters.ts';
import type { Loggers } from './observe/loggers.ts';
import type { OutboundRoutes } from './outbound-routes.ts';

/** What every connection of a data half shares. */
export interface ServingContext {
  readonly bind: string;
  readonly counters: Counters;
  readonly loggers: Loggers;
  readonly identity: IdentityInForce;
  /** Read anew wherever a reload may have changed it. */
  readonly inForce: InForce;
  readonly inboundRoutes: InboundRoutes;
  readonly outboundRoutes: OutboundRoutes;
  readonly onBug: (thrown: unknown) => void;
}

/** One connection whose chain is chosen and whose handshake, if any, is over. */
export interface ServedConnection {
  readonly connection: LiveConnection;
  readonly end: { readonly socket: Socket | TLSSocket; readonly raw: Socket };
  readonly facts: ConnectionFacts;
}

export const NO_NAMES: ReadonlySet<string> = new Set();

export function nothing(): void {
  // The table of live connections hears of the end by itself.
}
