/**
 * Says why a connection got no further: one log line, one access-log line, one counter each.
 *
 * The lines carry the code, who and where, what was seen, and what to change.
 */
import { formatAddress } from './core/address.ts';
import { ERROR_CODES } from './core/errors.ts';
import type { ErrorCodeName } from './core/errors.ts';
import type { Deny } from './http/filter.ts';
import type { EntrySink } from './http/http-connection.ts';
import type { AcceptedConnection, RefusedConnection } from './intercept/arrival.ts';
import type { LiveConnection } from './intercept/live-connections.ts';
import { AccessLogEntry } from './observe/access-log-entry.ts';
import type { ListenerCounters } from './observe/counters.ts';
import type { LogFields } from './observe/log.ts';
import type { Loggers } from './observe/loggers.ts';
import type { HandshakeFailure } from './tls/handshake-failure.ts';

/** Why no chain takes a connection. */
export interface ChainRefusal {
  readonly code: ErrorCodeName;
  readonly why: string;
  readonly hint: string;
}

export class ConnectionLog {
  readonly #loggers: Loggers;
  readonly #counters: ListenerCounters;
  readonly #accessLog: () => EntrySink | null;

  constructor(loggers: Loggers, counters: ListenerCounters, accessLog: () => EntrySink | null) {
    this.#loggers = loggers;
    this.#counters = counters;
    this.#accessLog = accessLog;
  }

  /** Before its protocol was known; it is closed already. */
  refusedEarly(refused: RefusedConnection): void {
    this.#counters.addRefused(refused.code);
    if (refused.code === 'too_many_connections') this.#counters.cxOverflow++;
    if (refused.code === 'sniff_timeout') this.#counters.preCxTimeout++;
    const fields = {
      direction: refused.direction,
      remote: formatAddress(refused.remote),
      destination: refused.destination === null ? null : formatAddress(refused.destination),
      receivedBytes: refused.receivedBytes,
      why: refused.detail,
      hint: refused.hint,
    };
    const log = this.#loggers.get('intercept');
    const message = `Connection refused: ${ERROR_CODES[refused.code].meaning}`;
    // A TCP health probe says nothing and goes, and a drain takes nothing from who said nothing: no events for
    // an operator.
    const left = refused.code === 'closed_while_sniffing' || refused.code === 'draining';
    if (left) log.debug(refused.code, fields, message);
    else log.info(refused.code, fields, message);
    if (refused.receivedBytes > 0 || !left) {
      this.#writeEntry(refused.code, refused.remote, refused.destination, '');
    }
  }

  /** No chain takes it; closes it. */
  refused(accepted: AcceptedConnection, refusal: ChainRefusal): void {
    this.#counters.addRefused(refusal.code);
    if (refusal.code === 'no_filter_chain_match') this.#counters.noFilterChainMatch++;
    const { connection, sniffed } = accepted;
    const sni = sniffed.kind === 'tls' ? sniffed.sni : '';
    this.#loggers.get('intercept').info(
      refusal.code,
      {
        ...who(connection),
        sniffed: sniffed.kind,
        ...(sniffed.kind === 'tls' ? { sni, alpn: sniffed.alpn } : {}),
        why: refusal.why,
        hint: refusal.hint,
      },
      `Connection refused: ${ERROR_CODES[refusal.code].meaning}`,
    );
    this.#writeEntry(refusal.code, accepted.remote, connection.destination, sni);
    accepted.socket.destroy();
  }

  /** No Service names the port, so that what it carries decides: HTTP rules apply to none of it. */
  carriedAsTcp(accepted: AcceptedConnection, chain: string): void {
    const { connection, sniffed } = accepted;
    this.#loggers.get('intercept').info(
      'carried_as_tcp',
      {
        ...who(connection),
        chain,
        sniffed: sniffed.kind,
        ...(sniffed.kind === 'tls' ? { sni: sniffed.sni, alpn: sniffed.alpn } : {}),
        hint: `if port ${connection.destination.port} speaks HTTP, name it http in a Service and HTTP rules apply`,
      },
      'Connection carried as TCP: no Service names the port and nothing says it is HTTP',
    );
  }

  /** The socket is gone already. */
  handshakeFailed(accepted: AcceptedConnection, failure: HandshakeFailure): void {
    this.#counters.addRefused(failure.code);
    const { presented } = failure;
    this.#loggers.get('tls').info(
      failure.code,
      {
        ...who(accepted.connection),
        sni: failure.sni,
        alpn: failure.offeredAlpn,
        reason: failure.reason,
        hint: failure.hint,
        ...(presented === null
          ? {}
          : {
              peer: presented.spiffeId,
              subject: presented.subject,
              issuer: presented.issuer,
              serial: presented.serial,
              notBefore: isoTime(presented.notBeforeMs),
              notAfter: isoTime(presented.notAfterMs),
            }),
        trustBundle: failure.trustBundleSubjects,
        library: failure.libraryError,
      },
      `TLS handshake failed: ${ERROR_CODES[failure.code].meaning}`,
    );
    this.#writeEntry(
      failure.code,
      accepted.remote,
      accepted.connection.destination,
      failure.sni,
      failure.reason,
    );
  }

  /** A change of policy or trust ends a live connection; whoever judges closes it, with the code that this answers. */
  closedByChange(connection: LiveConnection, refused: ErrorCodeName | Deny): ErrorCodeName {
    const code = typeof refused === 'string' ? refused : refused.code;
    this.#counters.addRefused(code);
    this.#loggers.get('intercept').info(
      code,
      {
        ...who(connection),
        ...(typeof refused === 'string' ? {} : { details: refused.details, why: refused.why }),
        chain: connection.chain,
        ...(connection.peer === null
          ? {}
          : { peer: connection.peer.spiffeId, serial: connection.peer.serial }),
      },
      'A live connection is closed: the configuration or trust now in force would not let it in',
    );
    return code;
  }

  acceptFailed(error: Error): void {
    this.#loggers
      .get('intercept')
      .error(
        'accept_failed',
        { error: error.message },
        'A connection could not be accepted; raise the limit of open files if it is reached',
      );
  }

  #writeEntry(
    code: ErrorCodeName,
    remote: { readonly ip: string; readonly port: number },
    destination: { readonly ip: string; readonly port: number } | null,
    sni: string,
    transportFailure = '',
  ): void {
    const sink = this.#accessLog();
    if (sink === null) return;
    const entry = new AccessLogEntry();
    entry.startTimeMs = Date.now();
    entry.responseFlags = ERROR_CODES[code].flag;
    // Envoy's own words for a connection that no chain takes.
    entry.responseCodeDetails = code === 'no_filter_chain_match' ? 'filter_chain_not_found' : code;
    entry.connectionTerminationDetails = transportFailure;
    entry.downstreamRemoteAddress = formatAddress(remote);
    if (destination !== null) entry.downstreamLocalAddress = formatAddress(destination);
    entry.requestedServerName = sni;
    sink.log(entry);
  }
}

function who(connection: LiveConnection): LogFields {
  return {
    connection: connection.id,
    direction: connection.direction,
    remote: formatAddress(connection.remote),
    destination: formatAddress(connection.destination),
  };
}

/** A certificate's time may be beyond what a Date can hold. */
function isoTime(ms: number): string {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? String(ms) : date.toISOString();
}
