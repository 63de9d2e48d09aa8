/**
 * Decides whether an accepted connection is inbound or outbound, by who made it and never by where it goes,
 * and refuses what would loop or would lend our identity to a stranger. Pure.
 *
 * Measured on Linux: after an OUTPUT redirect the accepted socket's local address is loopback, after a
 * PREROUTING redirect it is the interface's.
 */
import type { Address } from '../core/address.ts';
import { formatAddress, isLoopback } from '../core/address.ts';
import type { HostAddresses } from './host-addresses.ts';

/** `main` takes both directions, `inbound-only` is Istio's 15006. */
export type ListenerKind = 'main' | 'inbound-only';

export interface InboundDirection {
  readonly kind: 'inbound';
  /** Address and workload port that policies see. */
  readonly destination: Address;
  /** Where the app is dialled. */
  readonly appTarget: AppTarget;
  /** Taken by `intercept.direct`, without a redirect. */
  readonly direct: boolean;
}

export interface OutboundDirection {
  readonly kind: 'outbound';
  /** Where the app meant to go; of an egress listener, the listener's own address. */
  readonly destination: Address;
  /** Key of the egress listener that took it; '' for a redirected connection. */
  readonly listener: string;
}

export interface RefusedDirection {
  readonly kind: 'refused';
  readonly code: 'not_redirected' | 'foreign_destination' | 'own_port' | 'draining';
  readonly destination: Address | null;
  /** What was seen, for the log line. */
  readonly detail: string;
  /** What to change. */
  readonly hint: string;
}

export type Direction = InboundDirection | OutboundDirection | RefusedDirection;

export interface AppTarget {
  readonly host: string;
  readonly port: number;
}

/** What stays the same for all connections of this process. */
export interface DirectionSettings {
  /** Ports of the listeners that take redirected connections. */
  readonly interceptPorts: ReadonlySet<number>;
  /** Every other port that this process listens on (admin, readiness, metrics): never proxied to. */
  readonly reservedPorts: ReadonlySet<number>;
  readonly direct: AppTarget | null;
  /** Where the app listens. */
  readonly appHost: string;
  readonly hostAddresses: HostAddresses;
}

/** `local` is the accepted socket's own address, `original` what the kernel says it was going to. */
export function decideDirection(
  listener: ListenerKind,
  local: Address,
  original: Address | null,
  settings: DirectionSettings,
): Direction {
  if (original === null || (original.port === local.port && original.ip === local.ip)) {
    return decideToOwnPort(original ?? local, settings);
  }
  const madeOnThisHost = isLoopback(local.ip);
  // Loopback is ours only for who is on this host: from outside it is a spoofed route (RFC 1122 §3.2.1.3).
  const toLoopback = isLoopback(original.ip);
  const toThisHost = toLoopback ? madeOnThisHost : settings.hostAddresses.has(original.ip);

  if (toThisHost && settings.interceptPorts.has(original.port)) return decideToOwnPort(original, settings);
  if (toThisHost && settings.reservedPorts.has(original.port)) {
    return {
      kind: 'refused',
      code: 'own_port',
      destination: original,
      detail: `${formatAddress(original)} is a port of this sidecar`,
      hint: `exclude port ${original.port} from the redirect rules`,
    };
  }
  if (madeOnThisHost && listener === 'main') return { kind: 'outbound', destination: original, listener: '' };
  if (!toThisHost) {
    return {
      kind: 'refused',
      code: 'foreign_destination',
      destination: original,
      detail: `${formatAddress(original)} is not an address of this host`,
      hint: 'redirect only what is addressed to this host, and look who routes other traffic through it',
    };
  }
  return {
    kind: 'inbound',
    destination: original,
    appTarget: { host: settings.appHost, port: original.port },
    direct: false,
  };
}

/** Somebody dialled our own port: meant for the app that `intercept.direct` names, else a loop or a mistake. */
function decideToOwnPort(dialled: Address, settings: DirectionSettings): Direction {
  const { direct } = settings;
  if (direct !== null && direct.port === dialled.port && direct.host === dialled.ip) {
    return {
      kind: 'refused',
      code: 'own_port',
      destination: dialled,
      detail: `intercept.direct is ${formatAddress(dialled)}, where this sidecar itself listens`,
      hint: 'set intercept.direct to the HOST:PORT of the app',
    };
  }
  if (direct !== null) {
    return {
      kind: 'inbound',
      destination: { ip: dialled.ip, port: direct.port },
      appTarget: direct,
      direct: true,
    };
  }
  return {
    kind: 'refused',
    code: 'not_redirected',
    destination: dialled,
    detail: `the connection was made to ${formatAddress(dialled)} itself`,
    hint: 'set intercept.direct to the app HOST:PORT, or redirect connections to this port with iptables',
  };
}
