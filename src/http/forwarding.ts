/**
 * One request on its way: filters, then the upstream, then the answer back, with back-pressure both ways.
 *
 *   filtering ─┬─ denied: our answer
 *              └─ connecting ─┬─ failed: 503, or again if that is safe
 *                             └─ open: body ⇄ body ─┬─ done
 *                                                   └─ cut from either side: the other is released
 *
 * One object a request; whichever way it ends, it is recorded once and both halves are let go.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import { ERROR_CODES, messageOf } from '../core/errors.ts';
import type { VerifiedToken } from '../core/jwt-plan.ts';
import { httpDate } from '../core/clock.ts';
import { detach } from '../core/detach.ts';
import { AccessLogEntry } from '../observe/access-log-entry.ts';
import type {
  ClientExchange,
  PendingExchange,
  RequestHead,
  RequestSink,
  ResetReason,
  ResponseHead,
  ServerExchange,
  UpstreamFailure,
  UpstreamSink,
} from './exchange.ts';
import type { Fields } from './fields.ts';
import { getField, setField } from './fields.ts';
import type { ConnectionFacts, Deny, RequestContext, Verdict } from './filter.ts';
import { HeldBody } from './held-body.ts';
import type { HttpRoute } from './http-route.ts';
import { denyResponse, detailsOf, errorResponse } from './respond-error.ts';
import type { LocalResponse } from './respond-error.ts';
import { isConnectFailure, mayRepeat, NOBODY, Retries } from './retries.ts';

/** Who counts and logs exchanges. */
export interface ExchangeRecorder {
  onFinished(entry: AccessLogEntry, denial: Deny | null, failure: ResetReason | null): void;
  onBug(thrown: unknown): void;
}

/** As Envoy's access log names them. */
const PROTOCOLS = { '1.0': 'HTTP/1.0', '1.1': 'HTTP/1.1', '2': 'HTTP/2' } as const;

export class Forwarding implements RequestSink, UpstreamSink, RequestContext {
  readonly connection: ConnectionFacts;
  readonly head: RequestHead;
  readonly originalPath: string;
  readonly entry: AccessLogEntry = new AccessLogEntry();
  token: VerifiedToken | null = null;
  whenGone: (() => void) | null = null;
  readonly #exchange: ServerExchange;
  readonly #route: HttpRoute;
  readonly #recorder: ExchangeRecorder;
  #pending: PendingExchange | null = null;
  #client: ClientExchange | null = null;
  #held: HeldBody | null = null;
  #bodyForwarded = false;
  #answerBegun = false;
  #attempts = 0;
  /** Made when something is tried again. */
  #retries: Retries | null = null;
  #done = false;
  #sentAtMs = 0;

  constructor(
    connection: ConnectionFacts,
    exchange: ServerExchange,
    route: HttpRoute,
    recorder: ExchangeRecorder,
  ) {
    this.connection = connection;
    this.head = exchange.head;
    this.originalPath = exchange.head.path;
    this.#exchange = exchange;
    this.#route = route;
    this.#recorder = recorder;
    this.entry.startTimeMs = Date.now();
    exchange.receive(this);
  }

  get requestId(): string {
    return getField(this.head.fields, 'x-request-id') ?? '';
  }

  start(): void {
    const verdict = this.#route.filters.onRequest(this);
    if (verdict instanceof Promise) {
      verdict.then(
        (settled) => this.#guard(() => this.#onVerdict(settled)),
        (thrown: unknown) => this.#bug(thrown),
      );
    } else this.#onVerdict(verdict);
  }

  #onVerdict(verdict: Verdict): void {
    if (this.#done) return;
    if (verdict.kind === 'deny') {
      // As for what the codec refuses: a malformed request is the last of its connection.
      if (verdict.status === 400 && ERROR_CODES[verdict.code].source === 'downstream')
        this.#exchange.closeAfter();
      const local = denyResponse(verdict, this.head.fields, this.#route.serverName);
      this.#answerLocally(local, ERROR_CODES[verdict.code].flag, verdict.details, verdict, null);
      return;
    }
    const { refuse } = this.#route;
    if (refuse === null) this.#open(false);
    else {
      const reason = { code: refuse, detail: ERROR_CODES[refuse].meaning };
      this.#answerWithCode(refuse, detailsOf(refuse), reason);
    }
  }

  #open(fresh: boolean): void {
    const attempt = ++this.#attempts;
    const pending = this.#route.opener.open(this, fresh, this.#retries?.avoid ?? NOBODY);
    // It may be ready, over, or followed by a second attempt by now.
    const isOpen = attempt === this.#attempts && this.#client === null && this.#retries?.waiting !== true;
    if (isOpen && !this.#done) this.#pending = pending;
  }

  /** RequestContext.readBody: the body is held here and forwarded whole afterwards. */
  readBody(maxBytes: number): Promise<{ readonly bytes: Buffer; readonly truncated: boolean }> {
    const body = this.#readBody(maxBytes);
    // A filter that looks away must not end the process when its client goes.
    detach(body, () => {});
    return body;
  }

  #readBody(maxBytes: number): Promise<{ readonly bytes: Buffer; readonly truncated: boolean }> {
    if (this.#done || this.#client !== null)
      return Promise.reject(
        new Error('Cannot read the body: it is on its way to the upstream, or the request is over'),
      );
    this.#held ??= new HeldBody(this.#exchange);
    if (this.head.expectContinue) {
      // Somebody wants the body now: the client is told here, and the upstream need not ask.
      this.head.expectContinue = false;
      this.#exchange.sendInterim(100, []);
    }
    return this.#held.read(maxBytes);
  }

  // --- the request on its way to the upstream

  onReady(client: ClientExchange): void {
    if (this.#done) {
      client.abort();
      return;
    }
    this.#pending = null;
    this.#client = client;
    this.#sentAtMs = Date.now();
    const { head } = this;
    if (this.#route.sendsAttemptCount) setField(head.fields, 'x-envoy-attempt-count', String(this.#attempts));
    if (head.authority === '') head.authority = this.#route.defaultAuthority;
    const bodyless = head.bodyLength === 0;
    let more = client.sendHead(head, bodyless);
    if (bodyless) return;
    const held = this.#held;
    if (held !== null) {
      for (const chunk of held.take()) {
        this.#bodyForwarded = true;
        this.entry.bytesReceived += chunk.length;
        more = client.sendData(chunk);
      }
      if (held.ended) {
        this.#bodyForwarded = true;
        client.sendEnd(this.#forwardable(held.trailers));
        return;
      }
    }
    if (more) this.#exchange.resume();
  }

  onData(chunk: Buffer): void {
    const client = this.#client;
    if (client === null) {
      this.#held?.add(chunk);
      return;
    }
    this.#bodyForwarded = true;
    this.entry.bytesReceived += chunk.length;
    if (!client.sendData(chunk)) this.#exchange.pause();
  }

  onEnd(trailers: Fields | null): void {
    const client = this.#client;
    if (client === null) {
      this.#held?.end(trailers);
      return;
    }
    this.#bodyForwarded = true;
    client.sendEnd(this.#forwardable(trailers));
  }

  #forwardable(trailers: Fields | null): Fields | null {
    if (trailers !== null) this.#route.reservedNames.removeFrom(trailers);
    return trailers;
  }

  onUpstreamWritable(): void {
    if (!this.#done) this.#exchange.resume();
  }

  /** The downstream went away or broke the protocol. */
  onReset(reason: ResetReason): void {
    if (this.#done) return;
    this.#held?.abort(reason.detail);
    this.whenGone?.();
    this.#release();
    const { entry } = this;
    const code = ERROR_CODES[reason.code];
    entry.responseFlags = code.flag;
    entry.responseCodeDetails =
      reason.code === 'downstream_reset' ? 'downstream_remote_disconnect' : reason.code;
    // What we end for a reason of our own is closed without an answer.
    if (!this.#answerBegun) entry.responseCode = code.source === 'local' ? 0 : code.status;
    this.#finish(null, reason);
  }

  // --- the answer on its way to the downstream

  onInterim(status: number, fields: Fields): void {
    if (!this.#done) this.#exchange.sendInterim(status, fields);
  }

  onAnswerHead(head: ResponseHead, endStream: boolean): void {
    const { entry } = this;
    if (this.#attempts > 1) this.#route.onRetryAnswered();
    entry.upstreamServiceTimeMs = Date.now() - this.#sentAtMs;
    const { fields } = head;
    setField(fields, 'server', this.#route.serverName);
    if (getField(fields, 'date') === undefined) fields.push('date', httpDate(Date.now()));
    setField(fields, 'x-envoy-upstream-service-time', String(entry.upstreamServiceTimeMs));
    if (!this.#route.filters.onResponse(this, head)) {
      this.#answerWithCode('filter_failed', 'filter_failed', null);
      return;
    }
    entry.responseCode = head.status;
    entry.responseCodeDetails = 'via_upstream';
    entry.responseFields = fields;
    this.#answerBegun = true;
    if (!this.#exchange.sendHead(head, endStream) && !endStream) this.#client?.pause();
    if (endStream) this.#finish(null, null);
  }

  onAnswerData(chunk: Buffer): void {
    this.entry.bytesSent += chunk.length;
    if (!this.#exchange.sendData(chunk)) this.#client?.pause();
  }

  onAnswerEnd(trailers: Fields | null): void {
    if (this.#done) return;
    if (trailers !== null) this.entry.responseTrailers = trailers;
    this.#exchange.sendEnd(trailers);
    this.#finish(null, null);
  }

  onWritable(): void {
    this.#client?.resume();
  }

  onFailed(failure: UpstreamFailure): void {
    if (this.#done) return;
    this.#pending = null;
    this.#client = null;
    this.entry.upstreamHost = failure.upstreamHost;
    if (isConnectFailure(failure.code) && (this.#retries?.connect ?? 0) < this.#route.connectRetries) {
      // Not a byte was sent, so that any method may be tried again, and no body has flowed.
      this.#retries ??= new Retries();
      this.#route.onRetry();
      this.#retries.backOff(failure.endpoint, this.#onBackOffEnd);
      return;
    }
    const repeatable = this.#retries?.reused !== true && !this.#bodyForwarded;
    if (repeatable && mayRepeat(failure, this.head.method)) {
      // The body must not flow while there is nobody to take it.
      this.#exchange.pause();
      this.#retries ??= new Retries();
      this.#retries.reused = true;
      this.#route.onRetry();
      this.#open(true);
      return;
    }
    this.entry.upstreamTransportFailureReason = failure.transportReason;
    if (this.#answerBegun) {
      this.entry.responseFlags = ERROR_CODES[failure.code].flag;
      this.entry.responseCodeDetails = `upstream_reset_after_response_started{${failure.code}}`;
      this.#exchange.reset(failure);
      this.#finish(null, failure);
      return;
    }
    this.#answerWithCode(failure.code, detailsOf(failure.code, failure.transportReason), failure);
  }

  readonly #onBackOffEnd = (): void => {
    this.#guard(() => this.#open(false));
  };

  // --- our own answers and the end

  #answerWithCode(code: ErrorCodeName, details: string, failure: ResetReason | null): void {
    // Envoy's word for retries that were used up, before the flag of the last failure.
    const gaveUp = (this.#retries?.connect ?? 0) > 0 && isConnectFailure(code);
    const { flag } = ERROR_CODES[code];
    const local = errorResponse(code, gaveUp, this.#route.serverName);
    this.#answerLocally(local, gaveUp ? `URX,${flag}` : flag, details, null, failure);
  }

  #answerLocally(
    local: LocalResponse,
    flags: string,
    details: string,
    denial: Deny | null,
    failure: ResetReason | null,
  ): void {
    if (this.#client !== null) this.entry.upstreamHost = this.#client.upstreamHost;
    this.#release();
    this.#held?.abort('the request was answered');
    const { entry } = this;
    let { head, body } = local;
    if (denial !== null && !this.#route.filters.onResponse(this, head)) {
      // What a failed filter left of the head is not fit to be sent.
      ({ head, body } = errorResponse('filter_failed', false, this.#route.serverName));
    }
    entry.responseCode = head.status;
    entry.responseFlags = flags;
    entry.responseCodeDetails = details;
    entry.responseFields = head.fields;
    entry.bytesSent = this.head.method === 'HEAD' ? 0 : body.length;
    this.#answerBegun = true;
    const empty = body.length === 0;
    this.#exchange.sendHead(head, empty);
    if (!empty) {
      this.#exchange.sendData(body);
      this.#exchange.sendEnd(null);
    }
    this.#finish(denial, failure);
  }

  /** Lets go of the upstream half, whatever its state. */
  #release(): void {
    const pending = this.#pending;
    const client = this.#client;
    this.#retries?.end();
    this.#pending = null;
    this.#client = null;
    pending?.abort();
    if (client !== null) {
      this.entry.upstreamHost = client.upstreamHost;
      client.abort();
    }
  }

  #finish(denial: Deny | null, failure: ResetReason | null): void {
    if (this.#done) return;
    this.#done = true;
    const { entry, head } = this;
    const client = this.#client;
    if (client !== null) {
      entry.upstreamHost = client.upstreamHost;
      entry.upstreamLocalAddress = client.upstreamLocalAddress;
      this.#client = null;
      // An answer before the request's end: nobody will send the rest.
      if (!this.#exchange.requestEnded) client.abort();
    }
    entry.durationMs = Date.now() - entry.startTimeMs;
    entry.protocol = PROTOCOLS[head.version];
    entry.method = head.method;
    // As in Envoy: normalisation leaves no x-envoy-original-path, so that the log has the path that was judged.
    entry.originalPath = head.path;
    entry.authority = head.authority;
    entry.requestFields = head.fields;
    entry.requestId = this.requestId;
    entry.userAgent = getField(head.fields, 'user-agent') ?? '';
    entry.xForwardedFor = getField(head.fields, 'x-forwarded-for') ?? '';
    this.#recorder.onFinished(entry, denial, failure);
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#bug(thrown);
    }
  }

  #bug(thrown: unknown): void {
    this.#recorder.onBug(thrown);
    if (this.#done) return;
    this.#release();
    const reason: ResetReason = { code: 'bug', detail: messageOf(thrown) };
    this.#exchange.reset(reason);
    this.#finish(null, reason);
  }
}
