/**
 * One TCP connection after its chain is chosen: filters, then the upstream is dialled, then bytes both ways.
 *
 * The verdict comes before the dial, so that a refused peer never reaches the app. Counted and logged once.
 */
import { formatAddress, formatEndpoint } from '../core/address.ts';
import type { DialAttempt } from '../core/dialer.ts';
import { ERROR_CODES } from '../core/errors.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import { destroySocket } from '../core/end-socket.ts';
import { noteConnection } from '../http/connection-entry.ts';
import type { FilterChain } from '../http/filter-chain.ts';
import type { ConnectionFacts, FilterWait, Verdict } from '../http/filter.ts';
import type { EntrySink } from '../http/http-connection.ts';
import { AccessLogEntry } from '../observe/access-log-entry.ts';
import type { TunnelCounters } from '../observe/counters.ts';
import type { Log } from '../observe/log.ts';
import type { TcpCounter } from '../observe/traffic-counters.ts';
import type { ClusterUpstream } from './cluster-upstream.ts';
import { noteDialFailure } from './dial-error.ts';
import type { EndpointPool } from './endpoint-pool.ts';
import { Tunnel } from './tunnel.ts';
import type { TunnelEnd, TunnelResult } from './tunnel.ts';

export interface TcpConnectionOptions {
  readonly end: TunnelEnd;
  readonly facts: ConnectionFacts;
  /** Whose endpoint is dialled once, without another try, as Istio's TCP proxy does. */
  readonly upstream: ClusterUpstream;
  readonly filters: FilterChain;
  readonly idleTimeoutMs: number;
  readonly tlsCipher: string;
  readonly ownSpiffeId: string;
  readonly accessLog: () => EntrySink | null;
  readonly tunnels: TunnelCounters;
  readonly traffic: TcpCounter;
  readonly log: Log;
  readonly onBug: (thrown: unknown) => void;
}

export class TcpConnection implements FilterWait {
  whenGone: (() => void) | null = null;
  readonly #options: TcpConnectionOptions;
  readonly #entry = new AccessLogEntry();
  #endpoint: EndpointPool | null = null;
  #attempt: DialAttempt | null = null;
  #tunnel: Tunnel | null = null;
  #connected = false;
  #done = false;

  constructor(options: TcpConnectionOptions) {
    this.#options = options;
    this.#entry.startTimeMs = Date.now();
    this.#entry.upstreamCluster = options.upstream.name;
    options.tunnels.cxTotal++;
    options.tunnels.cxActive++;
    options.traffic.connectionsOpened++;
  }

  start(): void {
    const { end, facts, filters, onBug } = this.#options;
    end.socket.on('error', this.#onEarlyClose);
    end.socket.once('close', this.#onEarlyClose);
    const verdict = filters.onConnection(facts, this);
    if (verdict instanceof Promise) {
      verdict
        .then((settled) => this.#onVerdict(settled))
        .catch((thrown: unknown) => {
          onBug(thrown);
          this.close('bug');
        });
    } else this.#onVerdict(verdict);
  }

  /** Ends it at once, for a reason of ours. */
  close(reason: ErrorCodeName): void {
    this.#entry.connectionTerminationDetails = reason;
    if (this.#tunnel !== null) this.#tunnel.destroy(reason);
    else this.#end(reason);
  }

  #onVerdict(verdict: Verdict): void {
    if (this.#done) return;
    const { log, upstream } = this.#options;
    if (verdict.kind === 'deny') {
      this.#entry.connectionTerminationDetails = verdict.details;
      log.info(
        verdict.code,
        { ...this.#who(), details: verdict.details, why: verdict.why },
        'Connection denied',
      );
      this.#end(verdict.code);
      return;
    }
    const endpoint = upstream.pickEndpoint();
    if (endpoint === null) {
      this.#logFailed('no_healthy_upstream', 'the service has no endpoint');
      this.#end('no_healthy_upstream');
      return;
    }
    this.#endpoint = endpoint;
    endpoint.active++;
    this.#attempt = endpoint.dial(
      (socket) => {
        this.#attempt = null;
        this.#connected = true;
        this.#entry.upstreamHost = formatEndpoint(socket.remoteAddress, socket.remotePort);
        this.#entry.upstreamLocalAddress = formatEndpoint(socket.localAddress, socket.localPort);
        this.#carry({ socket, raw: socket });
      },
      (error) => this.#onDialFailed(error, endpoint),
      (view) => this.#tunnel?.receiveFromUpstream(view),
      upstream,
    );
  }

  #onDialFailed(error: Error, endpoint: EndpointPool): void {
    const failure = noteDialFailure(error, this.#options.upstream.counters);
    this.#attempt = null;
    this.#entry.upstreamHost = failure.upstreamHost === '' ? endpoint.name : failure.upstreamHost;
    this.#entry.upstreamTransportFailureReason = failure.transportReason;
    this.#logFailed(failure.code, failure.detail);
    this.#end(failure.code);
  }

  #logFailed(code: ErrorCodeName, detail: string): void {
    this.#options.log.info(
      code,
      { ...this.#who(), detail },
      `Connection failed: ${ERROR_CODES[code].meaning}`,
    );
  }

  #carry(upstream: TunnelEnd): void {
    const { end, idleTimeoutMs, tunnels, upstream: to } = this.#options;
    const cluster = to.counters;
    end.socket.off('close', this.#onEarlyClose);
    cluster.cxTotal++;
    cluster.cxActive++;
    this.#tunnel = new Tunnel(end, upstream, idleTimeoutMs, (result) => {
      cluster.cxActive--;
      cluster.cxDestroy++;
      cluster.cxTxBytes += result.bytesReceived;
      cluster.cxRxBytes += result.bytesSent;
      if (result.end === 'idle_timeout') tunnels.idleTimeout++;
      this.#finish(result);
    });
    this.#tunnel.start();
  }

  readonly #onEarlyClose = (): void => {
    if (this.#tunnel === null) this.#end('downstream_reset');
  };

  /** An end before there was a tunnel. */
  #end(code: ErrorCodeName): void {
    if (this.#done) return;
    this.whenGone?.();
    this.#attempt?.abort();
    this.#attempt = null;
    destroySocket(this.#options.end.raw, this.#options.end.socket);
    this.#entry.responseFlags = ERROR_CODES[code].flag;
    if (this.#entry.connectionTerminationDetails === '') this.#entry.connectionTerminationDetails = code;
    this.#finish({ bytesReceived: 0, bytesSent: 0, end: 'ended', detail: code });
  }

  #finish(result: TunnelResult): void {
    if (this.#done) return;
    this.#done = true;
    if (this.#endpoint !== null) this.#endpoint.active--;
    const { accessLog, facts, traffic, tunnels } = this.#options;
    tunnels.cxActive--;
    tunnels.cxRxBytes += result.bytesReceived;
    tunnels.cxTxBytes += result.bytesSent;
    traffic.connectionsClosed++;
    traffic.receivedBytes += result.bytesReceived;
    traffic.sentBytes += result.bytesSent;
    const entry = this.#entry;
    if (this.#connected) {
      if (result.end === 'downstream_reset') entry.responseFlags = 'DC';
      else if (result.end === 'upstream_reset') entry.responseFlags = 'UC';
      else if (result.end === 'idle_timeout') entry.connectionTerminationDetails = 'idle_timeout';
    }
    entry.bytesReceived = result.bytesReceived;
    entry.bytesSent = result.bytesSent;
    entry.durationMs = Date.now() - entry.startTimeMs;
    noteConnection(entry, this.#options, formatAddress(facts.destination), formatAddress(facts.remote));
    accessLog()?.log(entry);
  }

  #who(): Record<string, unknown> {
    const { facts, upstream } = this.#options;
    return {
      connection: facts.id,
      remote: formatAddress(facts.remote),
      destination: formatAddress(facts.destination),
      cluster: upstream.name,
      upstream: this.#endpoint?.name ?? '',
      mtls: facts.peer !== null,
      ...(facts.peer === null ? {} : { peer: facts.peer.spiffeId }),
    };
  }
}
