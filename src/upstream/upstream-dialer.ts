/**
 * Dials endpoints, plain or with TLS, with deadlines: the one place where the data path opens a connection. A server
 * that is refused is logged here, since only here all of it is known.
 */
import type { Socket } from 'node:net';
import { formatAddress } from '../core/address.ts';
import type { DialAttempt, Dialer, DialTarget, DialTls } from '../core/dialer.ts';
import { ERROR_CODES, messageOf } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import type { Log } from '../observe/log.ts';
import type { ServerFailure } from '../tls/handshake-failure.ts';
import type { ConnectFailure, OutboundTls } from '../tls/outbound-tls.ts';
import { connectReason, DialError } from './dial-error.ts';
import { TcpDialer } from './tcp-dialer.ts';

export interface UpstreamDialerDeps {
  readonly tls: OutboundTls;
  /** Asked at each dial, since a reload may change them. */
  readonly limits: () => Pick<Limits, 'connectTimeoutMs' | 'handshakeTimeoutMs'>;
  readonly log: Log;
}

export class UpstreamDialer implements Dialer {
  readonly #deps: UpstreamDialerDeps;
  readonly #plain: TcpDialer;

  constructor(deps: UpstreamDialerDeps) {
    this.#deps = deps;
    this.#plain = new TcpDialer(() => deps.limits().connectTimeoutMs);
  }

  dial(
    target: DialTarget,
    onConnected: (socket: Socket) => void,
    onFailed: (error: Error) => void,
    onBytes?: (view: Buffer) => void,
  ): DialAttempt {
    if (!hasTls(target)) return this.#plain.dial(target, onConnected, onFailed, onBytes);
    const timeouts = this.#deps.limits();
    return this.#deps.tls.connect(
      target,
      timeouts,
      (secure) => onConnected(secure.socket),
      (failure) => onFailed(this.#errorOf(target, failure, timeouts.connectTimeoutMs)),
      onBytes,
    );
  }

  #errorOf(target: DialTarget, failed: ConnectFailure, connectTimeoutMs: number): DialError {
    const endpoint = formatAddress({ ip: target.host, port: target.port });
    if (failed.kind === 'handshake') {
      const { failure } = failed;
      this.#logRefused(target, failure);
      return new DialError(failure.code, `${failure.reason}: ${failure.hint}`, {
        upstreamHost: failure.remote,
        transportReason: failure.transportReason,
      });
    }
    const { code, error } = failed;
    const isTimeout = code === 'upstream_connect_timeout';
    const detail = isTimeout ? `${endpoint} did not accept in ${connectTimeoutMs} ms` : messageOf(error);
    return new DialError(code, detail, {
      upstreamHost: endpoint,
      transportReason: connectReason(error),
      cause: error,
    });
  }

  #logRefused(target: DialTarget, failure: ServerFailure): void {
    const { presented } = failure;
    this.#deps.log.info(
      failure.code,
      {
        upstream: failure.remote,
        cluster: target.cluster,
        sni: failure.sni,
        alpn: failure.offeredAlpn,
        reason: failure.reason,
        hint: failure.hint,
        wanted: failure.wanted,
        ...(presented === null
          ? {}
          : {
              server: presented.spiffeId,
              subject: presented.subject,
              issuer: presented.issuer,
              serial: presented.serial,
              notBefore: isoTime(presented.notBeforeMs),
              notAfter: isoTime(presented.notAfterMs),
            }),
        trustBundle: failure.trustBundleSubjects,
        library: failure.libraryError,
      },
      `Upstream refused: ${ERROR_CODES[failure.code].meaning}`,
    );
  }
}

function hasTls(target: DialTarget): target is DialTarget & { readonly tls: DialTls } {
  return target.tls !== undefined;
}

/** A certificate's time may be beyond what a Date can hold. */
function isoTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}
