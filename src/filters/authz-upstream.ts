/** What ext_authz asks its provider through: a service of the mesh, dialled by its DestinationRule like any other. */
import type { Socket } from 'node:net';
import type { DialAttempt } from '../core/dialer.ts';
import type { ExchangeOpener } from '../http/exchange.ts';
import type { ClusterCounters } from '../observe/counters.ts';
import type { CheckSessions } from './ext-authz-sessions.ts';

export interface AuthzUpstream {
  /** HTTP/1.1 exchanges over pooled connections. */
  readonly opener: ExchangeOpener;
  /** The HTTP/2 connections to the endpoint that is to take the next check; null: the service has no endpoint. */
  pickSessions(): CheckSessions | null;
}

/** One endpoint of a provider, as its HTTP/2 connections need it. */
export interface AuthzEndpoint {
  /** `host:port`, for logs. */
  readonly name: string;
  /** A connection that was dialled under another one takes no more checks. */
  readonly epoch: number;
  readonly scheme: 'http' | 'https';
  /** Of its cluster. */
  readonly counters: ClusterCounters;
  /** Checks under way, of all that use the endpoint: what "least request" compares. */
  active: number;
  /** One connection for HTTP/2. Exactly one callback runs, never in the caller's turn. */
  dial(onConnected: (socket: Socket) => void, onFailed: (error: Error) => void): DialAttempt;
}
