/**
 * One mTLS connection of the load generator with at most one request under way.
 * Whoever opened it owns it; an end that was not asked for is an error.
 */
import { connect, createSecureContext } from 'node:tls';
import type { ConnectionOptions, PeerCertificate, TLSSocket } from 'node:tls';
import { ResponseReader } from './response-reader.ts';

const REQUEST = Buffer.from(
  'GET /bench HTTP/1.1\r\nhost: httpbin.foo:8000\r\nuser-agent: postern-bench\r\naccept: */*\r\n\r\n',
  'latin1',
);

export interface MtlsConnectionEvents {
  onSecure(connection: MtlsConnection): void;
  onAnswer(connection: MtlsConnection): void;
  onFailed(error: Error): void;
}

/** The server must show exactly this identity; its chain has been verified before. */
function identityCheck(serverUri: string): (host: string, certificate: PeerCertificate) => Error | undefined {
  return (_host, certificate) =>
    certificate.subjectaltname === `URI:${serverUri}`
      ? undefined
      : new Error(
          `Server's certificate shows "${certificate.subjectaltname ?? 'no SAN'}", not "${serverUri}"`,
        );
}

/** Everything about the client that stays the same for all connections of a run. */
export function mtlsOptions(
  port: number,
  credentials: { readonly cert: string; readonly key: string; readonly ca: string },
  serverUri: string,
): ConnectionOptions {
  return {
    host: '127.0.0.1',
    port,
    // Made once: a context costs more than half a millisecond.
    secureContext: createSecureContext(credentials),
    ALPNProtocols: ['http/1.1'],
    checkServerIdentity: identityCheck(serverUri),
  };
}

export class MtlsConnection {
  readonly socket: TLSSocket;
  sentAtMs = 0;
  /** The newest ticket that the server gave on this connection. */
  session: Buffer | null = null;
  #isEnding = false;

  constructor(options: ConnectionOptions, events: MtlsConnectionEvents) {
    const reader = new ResponseReader();
    this.socket = connect(options);
    this.socket.setNoDelay(true);
    this.socket.on('session', (session: Buffer) => {
      this.session = session;
    });
    this.socket.on('secureConnect', () => events.onSecure(this));
    this.socket.on('data', (chunk: Buffer) => {
      try {
        if (this.#isEnding || !reader.push(chunk)) return;
      } catch (thrown) {
        events.onFailed(thrown as Error);
        return;
      }
      events.onAnswer(this);
    });
    this.socket.on('error', (error) => {
      if (!this.#isEnding) events.onFailed(error);
    });
    this.socket.on('close', () => {
      if (!this.#isEnding) events.onFailed(new Error('The peer closed a connection that was in use'));
    });
  }

  /** `sentAtMs`: since when the request waited, if not since now. */
  send(sentAtMs: number = performance.now()): void {
    this.sentAtMs = sentAtMs;
    this.socket.write(REQUEST);
  }

  /** Closes in order; `onClosed` runs when both sides have. */
  end(onClosed: () => void): void {
    this.#isEnding = true;
    this.socket.once('close', onClosed);
    this.socket.end();
  }

  destroy(): void {
    this.#isEnding = true;
    this.socket.destroy();
  }
}
