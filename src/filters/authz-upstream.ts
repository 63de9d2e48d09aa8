/** What ext_authz asks its provider through: a service of the mesh, dialled by its DestinationRule like any other. */
import type { Socket } from 'node:net';
import type { DialAttempt } from '../core/dialer.ts';
import type { ExchangeOpener } from '../http/exchange.ts';

export interface AuthzUpstream {
  /** HTTP/1.1 exchanges over pooled connections. */
  readonly opener: ExchangeOpener;
  /** One connection for HTTP/2 of its own. Exactly one callback runs, never in the caller's turn. */
  dial(onConnected: (socket: Socket) => void, onFailed: (error: Error) => void): DialAttempt;
}
