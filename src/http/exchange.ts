/**
 * The exchange interface: one request and its answer, whatever the protocol version below.
 *
 * A connection has one exchange at a time (HTTP/1.1) or many (HTTP/2). Flow control is per exchange.
 * What is sent within one event-loop turn is written together. Sinks are called with the socket's turn:
 * they must not throw, and a chunk they are given is theirs to keep.
 *
 *   downstream codec ── ServerExchange ─▶ RequestSink … UpstreamSink ◀─ ClientExchange ── upstream codec
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { Fields } from './fields.ts';

export type HttpVersion = '1.0' | '1.1' | '2';

/** A request head after the codec's checks. Filters may change its path and its fields. */
export interface RequestHead {
  readonly method: string;
  /** The request target exactly as received, for logs and `x-envoy-original-path`. */
  readonly rawTarget: string;
  /** Origin-form path with query, without fragment: what filters judge and what is forwarded. */
  path: string;
  /** Host as received, port included. '' for an HTTP/1.0 request without Host, until the forwarder fills it. */
  authority: string;
  readonly version: HttpVersion;
  /** Without hop-by-hop fields and framing fields; names in lower case. */
  readonly fields: Fields;
  /** Bytes of the body; -1: chunked or unknown; 0: none. */
  readonly bodyLength: number;
  /** The client wrote `content-length: 0`, as POST without a body does. */
  readonly statesEmptyBody: boolean;
  /** The client waits for `100 Continue` (RFC 9110 §10.1.1). */
  expectContinue: boolean;
  /** The client said `te: trailers`. */
  readonly acceptsTrailers: boolean;
}

export interface ResponseHead {
  status: number;
  /** '' writes the standard phrase. */
  reason: string;
  readonly fields: Fields;
  /** Bytes of the body; -1: not known before its end; 0: none. */
  bodyLength: number;
  /** HEAD and 304: the Content-Length that a GET would have got. */
  readonly statedLength?: number;
}

/** Why an exchange was cut. */
export interface ResetReason {
  readonly code: ErrorCodeName;
  readonly detail: string;
}

/** Receives the body of a request. */
export interface RequestSink {
  onData(chunk: Buffer): void;
  onEnd(trailers: Fields | null): void;
  /** The downstream went away or broke the protocol; nothing more comes and nothing can be sent. */
  onReset(reason: ResetReason): void;
  /** The response side drained below its mark after a send answered false. */
  onWritable(): void;
}

/** The downstream half: gives the request, takes the answer. */
export interface ServerExchange {
  readonly head: RequestHead;
  /** Whether the request's body has arrived to its end. */
  readonly requestEnded: boolean;
  /** Names who is told of this request. The body does not flow before `resume`. */
  receive(sink: RequestSink): void;
  /** Stops and starts body events; none comes after a pause. */
  pause(): void;
  resume(): void;
  /** 1xx; left out for HTTP/1.0 clients. */
  sendInterim(status: number, fields: Fields): void;
  /** False: stop sending body until `onWritable`. */
  sendHead(head: ResponseHead, endStream: boolean): boolean;
  sendData(chunk: Buffer): boolean;
  sendEnd(trailers: Fields | null): void;
  /** The connection takes no other exchange after this one: what came on it cannot be trusted. */
  closeAfter(): void;
  /** Cuts the exchange: RST_STREAM, or the connection's end in HTTP/1.1. */
  reset(reason: ResetReason): void;
}

/** Takes the requests of one connection. */
export interface ServerHandler {
  /** Must name a sink (`receive`) before it returns. */
  onExchange(exchange: ServerExchange): void;
  /** A request that never became an exchange was answered by the codec itself (for logs and counters). */
  onRefused(refusal: Refusal): void;
  onClosed(): void;
}

/** A request that the codec refused. */
export interface Refusal {
  readonly code: ErrorCodeName;
  readonly detail: string;
  /** As far as they were read; '' where they were not. */
  readonly method: string;
  readonly rawTarget: string;
}

/** Receives the answer of an upstream. */
export interface UpstreamSink {
  /** The exchange is connected: send the head now. Called at most once, before any other but `onFailed`. */
  onReady(exchange: ClientExchange): void;
  onInterim(status: number, fields: Fields): void;
  onAnswerHead(head: ResponseHead, endStream: boolean): void;
  onAnswerData(chunk: Buffer): void;
  onAnswerEnd(trailers: Fields | null): void;
  /** Nothing more comes. */
  onFailed(failure: UpstreamFailure): void;
  /** The upstream takes more after a send answered false. */
  onUpstreamWritable(): void;
}

export interface UpstreamFailure extends ResetReason {
  /** The connection had carried another request before. */
  readonly reused: boolean;
  /** A byte of the request was given to the connection. */
  readonly sent: boolean;
  /** A byte of an answer had arrived. */
  readonly answered: boolean;
  /** `ip:port` of whoever was asked, for logs; '' if nobody was. */
  readonly upstreamHost: string;
  /** What failed to connect, as `open` is told to avoid it; '' where there was a connection. */
  readonly endpoint: string;
  /** UPSTREAM_TRANSPORT_FAILURE_REASON in Envoy's words; '' for none. */
  readonly transportReason: string;
}

/** The upstream half: takes the request, gives the answer. */
export interface ClientExchange {
  /** `ip:port`, for logs. */
  readonly upstreamHost: string;
  readonly upstreamLocalAddress: string;
  sendHead(head: RequestHead, endStream: boolean): boolean;
  sendData(chunk: Buffer): boolean;
  sendEnd(trailers: Fields | null): void;
  pause(): void;
  resume(): void;
  /** Gives up: nothing more is called on the sink; the connection is not reused. */
  abort(): void;
}

/** Opens exchanges to one destination; implemented by `upstream`. */
export interface ExchangeOpener {
  /**
   * Calls `onReady` in this turn when an idle connection is at hand, `onFailed` when there is nobody to ask.
   * `fresh` refuses idle connections (a retry). `avoid`: endpoints of earlier failures, not asked again while
   * there is another one.
   */
  open(sink: UpstreamSink, fresh: boolean, avoid: readonly string[]): PendingExchange;
}

/** An open that may not be ready yet. */
export interface PendingExchange {
  /** Ends it whatever its state; nothing is called on the sink after it. */
  abort(): void;
}
