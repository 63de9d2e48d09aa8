/**
 * One exchange of an HTTP/1.1 server connection: the request as it comes, the answer as it is framed for
 * this client (RFC 9112 §6.3, RFC 9110 §8.6).
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { RequestSink, ResetReason, ResponseHead, ServerExchange } from './exchange.ts';
import type { Fields } from './fields.ts';
import type { Http1RequestHead } from './request-head.ts';
import type { ResponseFraming } from './write-head.ts';
import { writeInterimHead, writeLastChunk, writeResponseHead } from './write-head.ts';

/** What an exchange needs of its connection. */
export interface ExchangeCarrier {
  writeText(latin1: string): boolean;
  writeBytes(bytes: Buffer): boolean;
  /** The answer is whole. */
  onAnswered(exchange: Http1ServerExchange): void;
  /** The connection cannot go on. */
  cut(exchange: Http1ServerExchange, reason: ResetReason): void;
  /** Body events may flow, or must stop. */
  startBody(exchange: Http1ServerExchange): void;
  holdBody(exchange: Http1ServerExchange): void;
}

/** The rest of a request of at most this size is read and dropped after an early answer. */
const DROPPED_BODY_BYTES = 65_536;

export class Http1ServerExchange implements ServerExchange {
  readonly head: Http1RequestHead;
  requestEnded: boolean;
  /** The handler knows of it. */
  started = false;
  /** The head of the answer is on its way. */
  headSent = false;
  /** The answer is whole, or will never be: what is sent from here on goes nowhere. */
  answered = false;
  sink: RequestSink | null = null;
  /** Whoever takes the body wants it now. */
  flowing = false;
  /** 'until-close': only a reset can tell the client that the body is not whole. */
  framing: ResponseFraming = 'none';
  #left = 0;
  readonly #carrier: ExchangeCarrier;

  constructor(head: Http1RequestHead, carrier: ExchangeCarrier) {
    this.head = head;
    this.#carrier = carrier;
    this.requestEnded = head.bodyLength === 0;
  }

  /** A client that waits for `100 Continue` may send the body or not: only a close is clear then. */
  get mayBeDropped(): boolean {
    const { bodyLength, expectContinue } = this.head;
    return bodyLength >= 0 && bodyLength <= DROPPED_BODY_BYTES && !expectContinue;
  }

  receive(sink: RequestSink): void {
    this.sink = sink;
  }

  /** The connection read the request to its end. */
  endRequest(trailers: Fields | null): void {
    if (this.requestEnded) return;
    this.requestEnded = true;
    this.sink?.onEnd(trailers);
  }

  pause(): void {
    this.flowing = false;
    if (!this.requestEnded) this.#carrier.holdBody(this);
  }

  resume(): void {
    this.flowing = true;
    if (!this.requestEnded) this.#carrier.startBody(this);
  }

  sendInterim(status: number, fields: Fields): void {
    if (this.headSent || this.answered || this.head.version === '1.0') return;
    // Who waited for it sends the body now.
    if (status === 100) this.head.expectContinue = false;
    this.#carrier.writeText(writeInterimHead(status, fields));
  }

  sendHead(head: ResponseHead, endStream: boolean): boolean {
    if (this.headSent || this.answered) return true;
    this.headSent = true;
    // Nobody takes the rest of the request, or it may never come: this is the last answer, and can still say so.
    const restIsLost = endStream || !this.flowing || this.head.expectContinue;
    if (!this.requestEnded && restIsLost && !this.mayBeDropped) this.head.lastOnConnection = true;
    const framing = this.#frame(head, endStream);
    this.framing = framing;
    this.#left = head.bodyLength;
    if (framing === 'until-close') this.head.lastOnConnection = true;
    const option = this.head.lastOnConnection ? 'close' : this.head.sayKeepAlive ? 'keep-alive' : '';
    const more = this.#carrier.writeText(writeResponseHead(head, framing, option));
    if (endStream) this.#finish();
    return more;
  }

  /** RFC 9112 §6.3: which answers have a body, and how its end is told. */
  #frame(head: ResponseHead, endStream: boolean): ResponseFraming {
    if (this.head.method === 'HEAD' || head.status === 204 || head.status === 304) return 'none';
    if (endStream && head.bodyLength <= 0) {
      head.bodyLength = 0;
      return 'length';
    }
    if (head.bodyLength >= 0) return 'length';
    return this.head.version === '1.0' ? 'until-close' : 'chunked';
  }

  sendData(chunk: Buffer): boolean {
    if (this.answered || this.framing === 'none' || chunk.length === 0) return true;
    const carrier = this.#carrier;
    if (this.framing !== 'chunked') {
      if (this.framing === 'length') {
        // A body longer than its head says would be read as the next answer.
        this.#left -= chunk.length;
        if (this.#left < 0) {
          this.#breakOff('upstream_protocol_error', 'the body is longer than its Content-Length');
          return true;
        }
      }
      return carrier.writeBytes(chunk);
    }
    carrier.writeText(chunk.length.toString(16) + '\r\n');
    carrier.writeBytes(chunk);
    return carrier.writeText('\r\n');
  }

  sendEnd(trailers: Fields | null): void {
    if (this.answered) return;
    if (this.framing === 'chunked') this.#carrier.writeText(writeLastChunk(trailers));
    else if (this.framing === 'length' && this.#left !== 0) {
      this.#breakOff('upstream_truncated', 'the body is shorter than its Content-Length');
      return;
    }
    this.#finish();
  }

  /** The answer does not keep to its head: the client must not take it for a whole one. */
  #breakOff(code: ErrorCodeName, detail: string): void {
    const reason = { code, detail };
    this.#carrier.cut(this, reason);
    this.sink?.onReset(reason);
  }

  /** No answer will come, or no more of it: whoever works on it is told. */
  abandon(reason: ResetReason): void {
    if (this.answered) return;
    this.answered = true;
    this.sink?.onReset(reason);
  }

  #finish(): void {
    this.answered = true;
    this.#carrier.onAnswered(this);
  }

  closeAfter(): void {
    this.head.lastOnConnection = true;
  }

  reset(reason: ResetReason): void {
    this.#carrier.cut(this, reason);
  }
}
