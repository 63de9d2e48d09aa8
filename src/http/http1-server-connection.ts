/**
 * The server side of one HTTP/1.1 connection on a raw or TLS socket (RFC 9112): reads requests, hands them
 * over one after the other, writes the answers in that order.
 *
 *   idle ─ head ─ (body) ─ exchange ─┬─ next request …
 *     │      │       │               └─ close (asked for, refused, draining)
 *     │      │       └ stalled: 408, or cut if an answer has begun
 *     │      └ not whole in time: 408, malformed: 400
 *     └ nothing for idleTimeoutMs: close
 *
 * Requests that came ahead wait in a bounded queue; when it is full, reading stops. Owns its socket.
 */
import type { Socket } from 'node:net';
import { Deadline } from '../core/clock.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import { ERROR_CODES } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import type { Refusal, ResetReason, ServerHandler } from './exchange.ts';
import type { Fields } from './fields.ts';
import type { HeadScanner } from './head-scanner.ts';
import { Http1ServerExchange } from './http1-server-exchange.ts';
import type { ExchangeCarrier } from './http1-server-exchange.ts';
import { MessageReader, STOP_READING } from './message-reader.ts';
import type { MessageOwner } from './message-reader.ts';
import { Http1RequestHead, RequestHeadBuilder } from './request-head.ts';
import { errorResponse } from './respond-error.ts';
import { TurnWriter } from './turn-writer.ts';
import { writeResponseHead } from './write-head.ts';

export interface ServerConnectionOptions {
  readonly limits: Limits;
  /** Lower-case names, besides the built-in ones, that `_` for `-` must not alias. */
  readonly protectedNames: ReadonlySet<string>;
  /** An exception in a handler: the connection is destroyed; this counts and logs it. */
  readonly onBug: (thrown: unknown) => void;
}

/** After an answer that ends a connection with request bytes still coming, they are read and dropped. */
const LINGER_MS = 1_000;
const LINGER_BYTES = 1_048_576;

/** The rest of a request of at most this size is read and dropped after an early answer. */
const DROPPED_BODY_BYTES = 65_536;

/** A client that waits for `100 Continue` may send the body or not: only a close is clear then. */
function mayBeDropped(exchange: Http1ServerExchange): boolean {
  const { bodyLength, expectContinue } = exchange.head;
  return bodyLength >= 0 && bodyLength <= DROPPED_BODY_BYTES && !expectContinue;
}

/** What the deadline stands for. */
type Phase = 'idle' | 'head' | 'body' | 'waiting' | 'linger';

export class Http1ServerConnection implements MessageOwner, ExchangeCarrier {
  /** Bytes read so far. */
  bytesRead = 0;
  readonly #socket: Socket;
  /** What carries the socket: itself, or the TCP socket under TLS, which alone can send RST. */
  readonly #raw: Socket;
  readonly #limits: Limits;
  readonly #handler: ServerHandler;
  readonly #onBug: (thrown: unknown) => void;
  readonly #reader: MessageReader;
  readonly #writer: TurnWriter;
  readonly #heads: RequestHeadBuilder;
  readonly #deadline: Deadline;
  /** Answered first to last; the first is the current one. */
  readonly #queue: Http1ServerExchange[] = [];
  /** The exchange whose body is being read: always the last of the queue. */
  #reading: Http1ServerExchange | null = null;
  /** A refusal that waits for the answers before it. */
  #refusal: Refusal | null = null;
  #phase: Phase = 'idle';
  #draining = false;
  #closing = false;
  #peerEnded = false;
  #lingered = 0;
  #closed = false;

  constructor(socket: Socket, raw: Socket, options: ServerConnectionOptions, handler: ServerHandler) {
    this.#socket = socket;
    this.#raw = raw;
    this.#limits = options.limits;
    this.#handler = handler;
    this.#onBug = options.onBug;
    this.#reader = new MessageReader('request', options.limits, this);
    this.#writer = new TurnWriter(socket, () => this.#guard(() => this.#onUnblocked()));
    this.#heads = new RequestHeadBuilder(options.protectedNames);
    this.#deadline = new Deadline(() => this.#guard(() => this.#onDue()));
  }

  get bytesWritten(): number {
    return this.#writer.bytesWritten;
  }

  /** Takes the socket, which may hold bytes that were read before and put back. */
  start(): void {
    const socket = this.#socket;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('end', () => this.#guard(() => this.#onPeerEnd()));
    socket.on('error', (error: Error) => this.#onGone(error.message));
    socket.on('close', () => this.#onGone('the connection was closed'));
    this.#deadline.set(this.#limits.idleTimeoutMs);
    socket.resume();
  }

  /** Ends the connection after what is under way: idle at once, else with the current answer. */
  drain(): void {
    this.#draining = true;
    for (const exchange of this.#queue) exchange.head.lastOnConnection = true;
    if (this.#queue.length === 0 && this.#reader.atRest) this.#close();
  }

  destroy(): void {
    this.#raw.destroy();
    this.#socket.destroy();
  }

  // --- reading

  #onData(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    if (this.#closing) {
      this.#lingered += chunk.length;
      if (this.#lingered > LINGER_BYTES) this.destroy();
      return;
    }
    try {
      this.#reader.push(chunk);
      if (this.#reader.paused) this.#socket.pause();
      this.#setPhase();
    } catch (thrown) {
      this.#bug(thrown);
    }
  }

  onHead(scanner: HeadScanner, text: string, origin: number): number {
    const head = this.#heads.build(scanner, text, origin);
    if (!(head instanceof Http1RequestHead)) {
      this.#refuse(head);
      return STOP_READING;
    }
    if (this.#draining) head.lastOnConnection = true;
    const exchange = new Http1ServerExchange(head, this);
    this.#queue.push(exchange);
    if (!exchange.requestEnded) this.#reading = exchange;
    if (this.#queue.length === 1) this.#handler.onExchange(exchange);
    if (this.#closing) return STOP_READING;
    // A body flows only when it is wanted: until then it stays in the kernel.
    if (this.#reading !== null && !this.#reading.flowing) this.#reader.pause();
    return head.bodyLength;
  }

  onBody(chunk: Buffer): void {
    this.#deadlineForBody();
    this.#reading?.sink?.onData(chunk);
  }

  onMessageEnd(trailers: Fields | null): void {
    const exchange = this.#reading ?? this.#queue.at(-1);
    this.#reading = null;
    // An exchange without a body may be answered and gone already.
    if (exchange === undefined) return;
    if (exchange.head.lastOnConnection) this.#reader.stop();
    else if (this.#queue.length >= this.#limits.maxPipelined) this.#reader.pause();
    exchange.endRequest(trailers);
    if (exchange.answered && this.#draining && this.#queue.length === 0) this.#close();
  }

  onReadError(code: ErrorCodeName, detail: string): void {
    const exchange = this.#reading;
    if (code === 'downstream_reset') {
      this.#lose(detail);
      return;
    }
    if (exchange === null) {
      this.#refuse({ code, detail, method: '', rawTarget: '' });
      return;
    }
    this.#failBody(exchange, { code, detail });
  }

  /** The body under way is malformed or stalled: whoever takes it is told, the client too if it still can be. */
  #failBody(exchange: Http1ServerExchange, reason: ResetReason): void {
    this.#reading = null;
    this.#reader.stop();
    const current = this.#queue[0] === exchange;
    const untouched = !exchange.headSent;
    exchange.sink?.onReset(reason);
    if (this.#closed) return;
    if (!current) {
      // Answers before it are still owed; it becomes the refusal that ends the connection.
      this.#queue.pop();
      this.#refusal = { ...reason, method: exchange.head.method, rawTarget: exchange.head.rawTarget };
      return;
    }
    this.#queue.length = 0;
    if (untouched) this.#answerAndClose(reason.code);
    else this.#raw.resetAndDestroy();
  }

  #refuse(refusal: Refusal): void {
    this.#reader.stop();
    if (this.#queue.length > 0) {
      this.#refusal = refusal;
      return;
    }
    this.#handler.onRefused(refusal);
    this.#answerAndClose(refusal.code);
  }

  #answerAndClose(code: ErrorCodeName): void {
    if (ERROR_CODES[code].status === 0) {
      this.destroy();
      return;
    }
    const { head, body } = errorResponse(code);
    this.#writer.writeText(writeResponseHead(head, 'length', 'close'));
    if (body.length > 0) this.#writer.writeBytes(body);
    this.#close();
  }

  // --- answering

  writeText(latin1: string): boolean {
    return this.#writer.writeText(latin1);
  }

  writeBytes(bytes: Buffer): boolean {
    return this.#writer.writeBytes(bytes);
  }

  startBody(exchange: Http1ServerExchange): void {
    if (this.#reading !== exchange) return;
    this.#reader.resume();
    this.#resumeSocket();
  }

  holdBody(exchange: Http1ServerExchange): void {
    if (this.#reading === exchange) this.#reader.pause();
  }

  #resumeSocket(): void {
    if (this.#reader.paused || this.#closed) return;
    this.#socket.resume();
    this.#setPhase();
  }

  onAnswered(exchange: Http1ServerExchange): void {
    if (this.#queue[0] !== exchange) return;
    this.#queue.shift();
    if (exchange.head.lastOnConnection || (!exchange.requestEnded && !mayBeDropped(exchange))) {
      this.#close();
      return;
    }
    if (!exchange.requestEnded) {
      // An early answer: the rest of a small request is read and dropped, so that the connection goes on.
      exchange.sink = null;
      exchange.resume();
    }
    const next = this.#queue[0];
    if (next !== undefined) this.#handler.onExchange(next);
    else if (this.#refusal !== null) {
      const refusal = this.#refusal;
      this.#refusal = null;
      this.#refuse(refusal);
      return;
    } else if (this.#peerEnded || (this.#draining && this.#reader.atRest)) {
      this.#close();
      return;
    }
    if (this.#reading === null && this.#reader.paused && this.#queue.length < this.#limits.maxPipelined) {
      this.#reader.resume();
      this.#resumeSocket();
    }
    this.#setPhase();
  }

  cut(exchange: Http1ServerExchange, _reason: ResetReason): void {
    if (this.#closed || exchange.answered) return;
    exchange.answered = true;
    this.#queue.length = 0;
    this.#reading = null;
    if (exchange.framing !== 'until-close') {
      this.#close();
      return;
    }
    this.#reader.stop();
    // Only RST tells a client that reads until the close that the body is not whole.
    this.#raw.resetAndDestroy();
  }

  // --- ending

  /** FIN after what is written; what the peer still sends is dropped for a while, so that it can read. */
  #close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#reader.stop();
    this.#writer.end();
    if (this.#peerEnded) return;
    this.#phase = 'linger';
    this.#deadline.set(LINGER_MS);
    this.#socket.resume();
  }

  #onPeerEnd(): void {
    this.#peerEnded = true;
    if (this.#closing) return;
    // A half-close after a whole request is no abort: the answer still goes out (RFC 9112 §9.6).
    this.#reader.end();
    if (this.#closed || this.#closing) return;
    if (this.#queue.length === 0) this.#close();
    else this.#queue.at(-1)!.head.lastOnConnection = true;
  }

  /** The peer is gone, or broke off inside a request. */
  #lose(detail: string): void {
    this.#onGone(detail);
    this.destroy();
  }

  #onGone(detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadline.clear();
    this.#reader.stop();
    this.#writer.discard();
    const reason: ResetReason = { code: 'downstream_reset', detail };
    const queue = this.#queue.splice(0);
    this.#reading = null;
    try {
      // Only the current exchange is known to anybody.
      if (queue[0] !== undefined && !queue[0].answered) queue[0].sink?.onReset(reason);
      this.#handler.onClosed();
    } catch (thrown) {
      this.#onBug(thrown);
    }
    this.#socket.destroy();
  }

  #onUnblocked(): void {
    this.#queue[0]?.sink?.onWritable();
    this.#setPhase();
  }

  // --- deadlines

  #setPhase(): void {
    if (this.#closed || this.#closing) return;
    const limits = this.#limits;
    if (this.#reading !== null || (this.#queue.length > 0 && this.#writer.blocked)) {
      if (this.#phase !== 'body') this.#deadlineForBody();
    } else if (this.#queue.length === 0) {
      if (this.#reader.inHead) {
        // Set once: a head that drips in does not move its own deadline.
        if (this.#phase !== 'head') this.#deadline.set(limits.headTimeoutMs);
        this.#phase = 'head';
        return;
      }
      this.#phase = 'idle';
      this.#deadline.set(this.#writer.blocked ? limits.bodyStallTimeoutMs : limits.idleTimeoutMs);
    } else {
      this.#phase = 'waiting';
      this.#deadline.set(limits.idleTimeoutMs);
    }
  }

  #deadlineForBody(): void {
    this.#phase = 'body';
    this.#deadline.set(this.#limits.bodyStallTimeoutMs);
  }

  #onDue(): void {
    switch (this.#phase) {
      case 'head':
        this.#refuse({
          code: 'head_timeout',
          detail: `no whole head in ${this.#limits.headTimeoutMs} ms`,
          method: '',
          rawTarget: '',
        });
        return;
      case 'body': {
        const exchange = this.#queue[0];
        const reason: ResetReason = {
          code: 'body_stalled',
          detail: `no byte moved for ${this.#limits.bodyStallTimeoutMs} ms`,
        };
        if (exchange === undefined) this.destroy();
        else this.#failBody(exchange, reason);
        return;
      }
      case 'idle':
        this.#close();
        return;
      case 'waiting':
      case 'linger':
        this.destroy();
        return;
      default:
        this.#phase satisfies never;
    }
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#bug(thrown);
    }
  }

  #bug(thrown: unknown): void {
    this.#onBug(thrown);
    this.destroy();
  }
}
