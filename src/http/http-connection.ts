/**
 * One HTTP connection after its chain is chosen: makes a forwarding of every exchange, and counts and logs
 * how each one ended. What does not change between requests is worked out here once.
 */
import type { Socket } from 'node:net';
import { formatAddress } from '../core/address.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import { ERROR_CODES } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { AccessLogEntry } from '../observe/access-log-entry.ts';
import type { HttpCounters } from '../observe/counters.ts';
import type { Log } from '../observe/log.ts';
import type { RequestCounter } from '../observe/traffic-counters.ts';
import { noteConnection } from './connection-entry.ts';
import type { Refusal, RequestHead, ResetReason, ServerExchange, ServerHandler } from './exchange.ts';
import type { ConnectionFacts, Deny } from './filter.ts';
import { Forwarding } from './forwarding.ts';
import type { ExchangeRecorder } from './forwarding.ts';
import { Http1ServerConnection } from './http1-server-connection.ts';
import type { HttpRoute } from './http-route.ts';

/** Takes finished entries; the access log, where there is one. */
export interface EntrySink {
  log(entry: AccessLogEntry): void;
}

export interface HttpConnectionOptions {
  readonly socket: Socket;
  /** The TCP socket below TLS; the same where there is none. */
  readonly raw: Socket;
  readonly facts: ConnectionFacts;
  readonly limits: Limits;
  readonly protectedNames: ReadonlySet<string>;
  readonly tlsCipher: string;
  readonly ownSpiffeId: string;
  /** Asked at every request: the next request meets the policies and routes now in force. */
  readonly route: (head: RequestHead) => HttpRoute;
  readonly accessLog: () => EntrySink | null;
  readonly counters: HttpCounters;
  /** Asked at the end of every request, by the cluster that it went to; '' for one that the codec refused. */
  readonly requests: (cluster: string) => RequestCounter;
  readonly log: Log;
  readonly onRequest: () => void;
  readonly onBug: (thrown: unknown) => void;
  readonly onClosed: () => void;
}

export class HttpConnection implements ServerHandler, ExchangeRecorder {
  readonly #options: HttpConnectionOptions;
  readonly #codec: Http1ServerConnection;
  readonly #localAddress: string;
  readonly #remoteAddress: string;
  #countedRead = 0;
  #countedWritten = 0;

  constructor(options: HttpConnectionOptions) {
    this.#options = options;
    this.#localAddress = formatAddress(options.facts.destination);
    this.#remoteAddress = formatAddress(options.facts.remote);
    this.#codec = new Http1ServerConnection(options.socket, options.raw, options, this);
    options.counters.cxTotal++;
    options.counters.cxActive++;
  }

  start(): void {
    this.#codec.start();
  }

  /** Ends it with the answer under way; an idle one with the next, or in a moment without one. */
  drain(): void {
    this.#codec.drain();
  }

  /** Ends it at once, for a reason of ours. */
  destroy(code: ErrorCodeName): void {
    this.#codec.destroy({ code, detail: ERROR_CODES[code].meaning });
  }

  onExchange(exchange: ServerExchange): void {
    const { counters, facts, route } = this.#options;
    counters.rqTotal++;
    counters.rqActive++;
    this.#options.onRequest();
    const chosen = route(exchange.head);
    const forwarding = new Forwarding(facts, exchange, chosen, this);
    forwarding.entry.upstreamCluster = chosen.cluster;
    forwarding.entry.routeName = chosen.routeName;
    forwarding.start();
  }

  onFinished(entry: AccessLogEntry, denial: Deny | null, failure: ResetReason | null): void {
    const { counters, requests } = this.#options;
    counters.rqActive--;
    counters.rqCompleted++;
    if (failure?.code === 'downstream_reset') counters.rqRxReset++;
    else if (failure !== null && entry.responseCodeDetails.startsWith('upstream_reset_after'))
      counters.rqTxReset++;
    if (denial?.code === 'filter_failed') counters.filterFailed++;
    if (denial !== null) this.#explainDenial(entry, denial);
    else if (failure !== null) this.#explainFailure(entry, failure);
    if (entry.responseCode > 0) counters.addResponse(entry.responseCode);
    requests(entry.upstreamCluster).add(entry.responseCode, entry.responseFlags, entry.durationMs);
    this.#countBytes();
    this.#writeEntry(entry);
  }

  onRefused(refusal: Refusal): void {
    const { counters, log, requests } = this.#options;
    const code = ERROR_CODES[refusal.code];
    counters.addCodecRefused(refusal.code);
    const entry = new AccessLogEntry();
    entry.startTimeMs = Date.now();
    entry.method = refusal.method;
    entry.originalPath = refusal.rawTarget;
    entry.protocol = 'HTTP/1.1';
    entry.responseCode = code.status;
    entry.responseFlags = code.flag;
    entry.responseCodeDetails = refusal.code;
    if (code.status > 0) counters.addResponse(code.status);
    requests('').add(code.status, code.flag, 0);
    log.info(
      refusal.code,
      {
        ...this.#who(),
        detail: refusal.detail,
        method: refusal.method,
        target: withoutQuery(refusal.rawTarget),
        status: code.status,
      },
      `Request refused: ${code.meaning}`,
    );
    this.#writeEntry(entry);
  }

  onClosed(): void {
    const { counters } = this.#options;
    counters.cxActive--;
    counters.cxDestroy++;
    this.#countBytes();
    this.#options.onClosed();
  }

  /** With every request: a connection may live for days. */
  #countBytes(): void {
    const { counters } = this.#options;
    const { bytesRead, bytesWritten } = this.#codec;
    counters.cxRxBytes += bytesRead - this.#countedRead;
    counters.cxTxBytes += bytesWritten - this.#countedWritten;
    this.#countedRead = bytesRead;
    this.#countedWritten = bytesWritten;
  }

  onBug(thrown: unknown): void {
    this.#options.onBug(thrown);
  }

  #writeEntry(entry: AccessLogEntry): void {
    const sink = this.#options.accessLog();
    if (sink === null) return;
    noteConnection(entry, this.#options, this.#localAddress, this.#remoteAddress);
    sink.log(entry);
  }

  #explainDenial(entry: AccessLogEntry, denial: Deny): void {
    this.#options.log.info(
      denial.code,
      { ...this.#request(entry), details: denial.details, why: denial.why },
      `Request denied: ${ERROR_CODES[denial.code].meaning}`,
    );
  }

  #explainFailure(entry: AccessLogEntry, failure: ResetReason): void {
    const { log } = this.#options;
    const fields = { ...this.#request(entry), upstream: entry.upstreamHost, detail: failure.detail };
    const message = `Request failed: ${ERROR_CODES[failure.code].meaning}`;
    // A client that goes away is no event for an operator.
    if (failure.code === 'downstream_reset') log.debug(failure.code, fields, message);
    else log.info(failure.code, fields, message);
  }

  #request(entry: AccessLogEntry): Record<string, unknown> {
    return {
      ...this.#who(),
      method: entry.method,
      path: withoutQuery(entry.originalPath),
      host: entry.authority,
      requestId: entry.requestId,
      status: entry.responseCode,
    };
  }

  #who(): Record<string, unknown> {
    const { facts } = this.#options;
    return {
      connection: facts.id,
      remote: this.#remoteAddress,
      destination: this.#localAddress,
      mtls: facts.peer !== null,
      ...(facts.peer === null ? {} : { peer: facts.peer.spiffeId }),
    };
  }
}

/** Tokens travel in queries (RFC 6750 §2.3), and no token is for the log. The access log has what its format asks for. */
function withoutQuery(target: string): string {
  const query = target.indexOf('?');
  return query === -1 ? target : `${target.slice(0, query)}?…`;
}
