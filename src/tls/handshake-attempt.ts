/**
 * One inbound handshake from the socket to exactly one answer.
 *
 *   running ─┬─ secured  (the library finished: `acceptPeer` decides what it is worth)
 *            └─ failed   (library error, client gone, deadline, bug): the socket is destroyed
 *
 * Owns the deadline and its listeners; both end with the attempt. Error listeners alone stay on both sockets
 * for their whole life: an error without one would end the process.
 */
import type net from 'node:net';
import type tls from 'node:tls';
import { formatAddress, plainIp } from '../core/address.ts';

/** What the sniffer read in the ClientHello. */
export interface ClientHelloFacts {
  /** In lower case; '' for none. */
  readonly sni: string;
  readonly alpn: readonly string[];
}

export interface AttemptListeners {
  /** The library is done; the attempt is over and nothing else is called. */
  readonly onSecured: (socket: tls.TLSSocket) => void;
  /** `error` is the library's; the raw socket is about to be destroyed. */
  readonly onFailed: (end: AttemptEnd, error: unknown) => void;
}

/** How an attempt ends without a finished handshake. */
export type AttemptEnd = 'library-error' | 'closed' | 'timeout' | 'bug';

function ignoreError(): void {
  // 'close' follows, and whoever owns the socket by then hears that.
}

export class HandshakeAttempt {
  readonly raw: net.Socket;
  readonly hello: ClientHelloFacts;
  /** `ip:port`, read before the socket can lose it. */
  readonly remote: string;
  readonly #listeners: AttemptListeners;
  readonly #allowHalfOpen: boolean;
  #timer: NodeJS.Timeout | null = null;
  #over = false;

  constructor(raw: net.Socket, hello: ClientHelloFacts, listeners: AttemptListeners) {
    this.raw = raw;
    this.hello = hello;
    this.remote = formatAddress({ ip: plainIp(raw.remoteAddress ?? ''), port: raw.remotePort ?? 0 });
    this.#listeners = listeners;
    this.#allowHalfOpen = raw.allowHalfOpen;
    // The listener's own is there for life; a third one would cost each connection a longer list.
    if (raw.listenerCount('error') === 0) raw.on('error', ignoreError);
  }

  /** Hands the socket to the library. */
  start(server: tls.Server, timeoutMs: number): void {
    this.#timer = setTimeout(this.#onDue, timeoutMs);
    // Node copies this flag into the TLS socket: with it a client that ends in mid-handshake would only be
    // noticed at the deadline. The TLS socket gets it back once the handshake is over.
    this.raw.allowHalfOpen = false;
    this.raw.on('close', this.#onRawClose);
    server.emit('connection', this.raw);
  }

  /** From `secureConnection`. */
  secured(socket: tls.TLSSocket): void {
    socket.on('error', ignoreError);
    if (!this.#end()) return;
    dropAlpnCopy(socket);
    socket.allowHalfOpen = this.#allowHalfOpen;
    this.raw.allowHalfOpen = this.#allowHalfOpen;
    this.#listeners.onSecured(socket);
  }

  /** From `tlsClientError`, or from the room for a failure of its own. */
  fail(end: AttemptEnd, error: unknown): void {
    if (!this.#end()) return;
    this.raw.destroy();
    this.#listeners.onFailed(end, error);
  }

  #end(): boolean {
    if (this.#over) return false;
    this.#over = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.raw.off('close', this.#onRawClose);
    return true;
  }

  readonly #onDue = (): void => {
    this.fail('timeout', null);
  };

  readonly #onRawClose = (): void => {
    this.fail('closed', null);
  };
}

/**
 * Node copies the ALPN list for each connection into its pool of buffers, and those few bytes would hold
 * 64 KiB of it for the connection's life. Nothing reads them after the handshake.
 */
export function dropAlpnCopy(socket: tls.TLSSocket): void {
  const options: unknown = Reflect.get(socket, '_tlsOptions');
  if (typeof options === 'object' && options !== null) Reflect.set(options, 'ALPNProtocols', undefined);
}
