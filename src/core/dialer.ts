import type { Socket } from 'node:net';

/** What is dialled: an endpoint and how to be sure who answers. Plain TCP for now. */
export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Envoy's cluster name for logs, e.g. `inbound|8080||`. */
  readonly cluster: string;
}

/**
 * Opens connections for whoever needs one on the data path; only `upstream` implements it.
 * Exactly one callback runs, never in the caller's turn.
 */
export interface Dialer {
  /**
   * With `onBytes` what arrives is read into a buffer that all connections share and given there, never as
   * `data` events: the view holds only during the call.
   */
  dial(
    target: DialTarget,
    onConnected: (socket: Socket) => void,
    onFailed: (error: Error) => void,
    onBytes?: (view: Buffer) => void,
  ): DialAttempt;
}

export interface DialAttempt {
  /** Ends the attempt; no callback runs after it. */
  abort(): void;
}
