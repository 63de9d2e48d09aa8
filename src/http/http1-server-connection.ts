/**
 * The server side of one HTTP/1.1 connection on a raw or TLS socket (RFC 9112): reads requests, hands them
 * over one after the other, writes the answers in that order. Owns its socket.
 *
 *   idle ─ head ─ (body) ─ exchange ─┬─ next request …
 *     │      │       │               └─ close (asked for, refused, draining)
 *     │      │       └ stalled: 408, or cut if an answer has begun
 *     │      └ not whole in time: 408, malformed: 400
 *     └ nothing for idleTimeoutMs: close
 *
 * Requests that came ahead wait in a bounded queue; when it is full, reading stops. None is begun while the
 * client does not take the answers before it.
 */
import type { Socket } from 'node:net';
import type { ErrorCodeName } from '../core/errors.ts';
import { ERROR_CODES, messageOf } from '../core/errors.ts';
import { destroySocket, resetSocket } from '../core/end-socket.ts';
import type { Refusal, ResetReason, ServerHandler } from './exchange.ts';
import type { Fields } from './fields.ts';
import type { HeadScanner } from './head-scanner.ts';
import { Http1ServerExchange } from './http1-server-exchange.ts';
import type { ExchangeCarrier } from './http1-server-exchange.ts';
import { LingeringClose } from './lingering-close.ts';
import { MessageReader, STOP_READING } from './message-reader.ts';
import type { MessageOwner } from './message-reader.ts';
import { PhaseDeadline } from './phase-deadline.ts';
import type { PhaseOwner } from './phase-deadline.ts';
import { Http1RequestHead, RequestHeadBuilder } from './request-head.ts';
import { writeError } from './respond-error.ts';
import type { ServerConnectionOptions } from './server-connection-options.ts';
import { TurnWriter } from './turn-writer.ts';

export class Http1ServerConnection implements MessageOwner, ExchangeCarrier, PhaseOwner {
  /** Bytes read so far. */
  bytesRead = 0;
  readonly #socket: Socket;
  /** What carries the socket: itself, or the TCP socket under TLS, which alone can send RST. */
  readonly #raw: Socket;
  readonly #options: ServerConnectionOptions;
  readonly #handler: ServerHandler;
  readonly #reader: MessageReader;
  readonly #writer: TurnWriter;
  readonly #heads: RequestHeadBuilder;
  readonly #deadline: PhaseDeadline;
  readonly #ending: LingeringClose;
  /** Answered first to last; only the first one is known to the handler. */
  readonly #queue: Http1ServerExchange[] = [];
  /** The exchange whose body is being read: the last of the queue, or one that is answered already. */
  #reading: Http1ServerExchange | null = null;
  /** A refusal that waits for the answers before it. */
  #refusal: Refusal | null = null;
  #draining = false;
  #peerEnded = false;
  #closed = false;

  constructor(socket: Socket, raw: Socket, options: ServerConnectionOptions, handler: ServerHandler) {
    this.#socket = socket;
    this.#raw = raw;
    this.#handler = handler;
    this.#options = options;
    this.#reader = new MessageReader('request', options.limits, this);
    this.#writer = new TurnWriter(socket, () => this.#guard(() => this.#onUnblocked()));
    this.#heads = new RequestHeadBuilder(options.protectedNames);
    this.#deadline = new PhaseDeadline(options.limits, this);
    this.#ending = new LingeringClose(socket, this.#writer, this.#deadline);
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
    if (socket.destroyed) {
      this.#onGone('the connection was gone before it began');
      return;
    }
    this.#deadline.enter('idle');
    socket.resume();
  }

  /** Ends the connection with the current answer; an idle one with the next, or in a moment without one. */
  drain(): void {
    this.#draining = true;
    for (const exchange of this.#queue) exchange.head.lastOnConnection = true;
    this.#deadline.expectLast();
  }

  /** Ends it at once, for a reason of ours. */
  destroy(reason: ResetReason, reset: boolean = this.#queue[0]?.framing === 'until-close'): void {
    if (reset) resetSocket(this.#raw, this.#socket);
    else destroySocket(this.#raw, this.#socket);
    for (const exchange of this.#queue.splice(0)) exchange.abandon(reason);
  }

  // --- reading

  #onData(chunk: Buffer): void {
    this.bytesRead += chunk.length;
    if (this.#ending.begun) {
      this.#ending.drop(chunk.length);
      return;
    }
    try {
      this.#reader.push(chunk);
      if (this.#reader.paused) this.#socket.pause();
      this.#setPhase();
    } catch (thrown) {
      this.onBug(thrown);
    }
  }

  onHead(scanner: HeadScanner, text: string, origin: number): number {
    this.#deadline.leave();
    const head = this.#heads.build(scanner, text, origin);
    if (!(head instanceof Http1RequestHead)) {
      this.#refuse(head);
      return STOP_READING;
    }
    if (this.#draining) head.lastOnConnection = true;
    const exchange = new Http1ServerExchange(head, this);
    this.#queue.push(exchange);
    if (!exchange.requestEnded) this.#reading = exchange;
    if (this.#queue.length === 1) this.#startNext();
    if (this.#ending.begun) return STOP_READING;
    // A body flows only when it is wanted: until then it stays in the kernel.
    if (this.#reading !== null && !this.#reading.flowing) this.#reader.pause();
    return head.bodyLength;
  }

  onBody(chunk: Buffer): void {
    if (this.#deadline.phase === 'body') this.#deadline.restart();
    this.#reading?.sink?.onData(chunk);
  }

  onMessageEnd(trailers: Fields | null): void {
    const exchange = this.#reading ?? this.#queue.at(-1);
    this.#reading = null;
    this.#deadline.leave();
    // An exchange without a body may be answered and gone already.
    if (exchange === undefined) return;
    if (exchange.head.lastOnConnection) this.#reader.stop();
    else if (this.#queue.length >= this.#options.limits.maxPipelined) this.#reader.pause();
    exchange.endRequest(trailers);
    this.#closeIfDone();
  }

  onReadError(code: ErrorCodeName, detail: string): void {
    const exchange = this.#reading;
    if (code === 'downstream_reset') this.#onBrokenOff(exchange, detail);
    else if (exchange === null) this.#refuse({ code, detail, method: '', rawTarget: '' });
    else this.#failBody(exchange, { code, detail });
  }

  /** FIN in the middle of a request. Answers to whole requests before it are still owed. */
  #onBrokenOff(exchange: Http1ServerExchange | null, detail: string): void {
    this.#reading = null;
    if (exchange !== null && this.#queue.at(-1) === exchange) {
      this.#queue.pop();
      if (exchange.started) {
        exchange.abandon({ code: 'downstream_reset', detail });
        if (exchange.headSent && exchange.framing === 'until-close') resetSocket(this.#raw, this.#socket);
      }
    }
    // What was answered before may not be flushed yet.
    if (this.#queue.length === 0) this.close();
  }

  /** The body under way is malformed or stalled: whoever takes it is told, the client too if it still can be. */
  #failBody(exchange: Http1ServerExchange, reason: ResetReason): void {
    this.#reading = null;
    this.#reader.stop();
    if (exchange.answered) {
      this.close();
      return;
    }
    if (!exchange.started) {
      // Answers before it are still owed; it becomes the refusal that ends the connection.
      this.#queue.pop();
      this.#refuse({ ...reason, method: exchange.head.method, rawTarget: exchange.head.rawTarget });
      return;
    }
    this.#queue.length = 0;
    exchange.abandon(reason);
    if (this.#closed) return;
    if (exchange.headSent) resetSocket(this.#raw, this.#socket);
    else this.#answerAndClose(reason.code, exchange.head.method);
  }

  #refuse(refusal: Refusal): void {
    this.#reader.stop();
    if (this.#queue.length > 0) {
      this.#refusal = refusal;
      return;
    }
    this.#handler.onRefused(refusal);
    this.#answerAndClose(refusal.code, refusal.method);
  }

  #answerAndClose(code: ErrorCodeName, method: string): void {
    if (ERROR_CODES[code].status === 0) {
      this.destroy({ code, detail: '' });
      return;
    }
    writeError(this.#writer, code, method);
    this.close();
  }

  // --- answering

  /** Hands the first of the queue over, unless the client has yet to take the answers before it. */
  #startNext(): void {
    const exchange = this.#queue[0];
    if (exchange === undefined || exchange.started || this.#writer.blocked || this.#ending.begun) return;
    exchange.started = true;
    this.#deadline.leave();
    try {
      this.#handler.onExchange(exchange);
    } catch (thrown) {
      this.onBug(thrown);
    }
  }

  writeText(latin1: string): boolean {
    return this.#writer.writeText(latin1) || this.#blocked();
  }

  writeBytes(bytes: Buffer): boolean {
    return this.#writer.writeBytes(bytes) || this.#blocked();
  }

  #blocked(): false {
    this.#setPhase();
    return false;
  }

  startBody(exchange: Http1ServerExchange): void {
    if (this.#reading !== exchange) return;
    this.#resumeReading();
  }

  holdBody(exchange: Http1ServerExchange): void {
    if (this.#reading !== exchange) return;
    this.#reader.pause();
    this.#setPhase();
  }

  #resumeReading(): void {
    this.#reader.resume();
    this.#setPhase();
    if (this.#reader.paused || this.#closed || this.#ending.begun) return;
    this.#socket.resume();
    this.#closeIfDone();
  }

  onAnswered(exchange: Http1ServerExchange): void {
    if (this.#queue[0] !== exchange) return;
    this.#queue.shift();
    this.#deadline.leave();
    if (exchange.head.lastOnConnection || (!exchange.requestEnded && !exchange.mayBeDropped)) {
      this.close();
      return;
    }
    if (!exchange.requestEnded) {
      // An early answer: the rest of a small request is read and dropped, so that the connection goes on.
      exchange.sink = null;
      exchange.resume();
    }
    this.#startNext();
    if (this.#queue.length === 0 && this.#refusal !== null) {
      const refusal = this.#refusal;
      this.#refusal = null;
      this.#refuse(refusal);
      return;
    }
    if (
      this.#reading === null &&
      this.#reader.paused &&
      this.#queue.length < this.#options.limits.maxPipelined
    ) {
      this.#resumeReading();
    }
    this.#closeIfDone();
    this.#setPhase();
  }

  cut(exchange: Http1ServerExchange, reason: ResetReason): void {
    if (this.#closed || exchange.answered) return;
    exchange.answered = true;
    this.#queue.length = 0;
    this.#reading = null;
    this.#reader.stop();
    if (!exchange.headSent) this.#answerAndClose(reason.code, exchange.head.method);
    else if (exchange.framing !== 'until-close') this.close();
    // Only RST tells a client that reads until the close that the body is not whole.
    else resetSocket(this.#raw, this.#socket);
  }

  // --- ending

  /** Nothing more is read; what was written still goes out. */
  close(): void {
    if (this.#ending.begun || this.#closed) return;
    this.#reader.stop();
    this.#ending.begin();
  }

  /** Whether nothing is owed any more to a client that has ended, or in a drain. */
  #closeIfDone(): void {
    if (this.#queue.length > 0 || this.#reading !== null || this.#refusal !== null) return;
    if (this.#peerEnded ? this.#reader.stopped : this.#draining && this.#reader.atRest) this.close();
  }

  /** A half-close after a whole request is no abort: the answer still goes out (RFC 9112 §9.6). */
  #onPeerEnd(): void {
    this.#peerEnded = true;
    if (this.#ending.begun) return;
    this.#reader.end();
    if (this.#closed || this.#ending.begun) return;
    const last = this.#queue.at(-1);
    if (last !== undefined && this.#reader.stopped && this.#refusal === null) {
      last.head.lastOnConnection = true;
    }
    this.#closeIfDone();
  }

  #onGone(detail: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#deadline.clear();
    this.#reader.stop();
    this.#writer.discard();
    const current = this.#queue[0];
    this.#queue.length = 0;
    this.#reading = null;
    try {
      current?.abandon({ code: 'downstream_reset', detail });
      this.#handler.onClosed();
    } catch (thrown) {
      this.#options.onBug(thrown);
    }
    this.#socket.destroy();
  }

  #onUnblocked(): void {
    if (this.#ending.begun) return;
    this.#queue[0]?.sink?.onWritable();
    this.#startNext();
    this.#setPhase();
  }

  // --- deadlines

  #setPhase(): void {
    if (this.#closed || this.#ending.begun) return;
    const flowing = this.#reading?.flowing === true;
    this.#deadline.choose(this.#writer.blocked, flowing, this.#queue.length > 0, this.#reader.inHead);
  }

  onHeadTimeout(): void {
    const detail = `no whole head in ${this.#options.limits.headTimeoutMs} ms`;
    this.#refuse({ code: 'head_timeout', detail, method: '', rawTarget: '' });
  }

  onBodyStalled(): void {
    if (this.#reading === null) this.destroy(this.#stalled('of the body came'));
    else this.#failBody(this.#reading, this.#stalled('of the body came'));
  }

  /** The client does not take its answer: there is nothing left to tell it. */
  onReaderStalled(): void {
    this.destroy(this.#stalled('of the answer was taken'), true);
  }

  #stalled(what: string): ResetReason {
    return {
      code: 'body_stalled',
      detail: `no byte ${what} in ${this.#options.limits.bodyStallTimeoutMs} ms`,
    };
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.onBug(thrown);
    }
  }

  onBug(thrown: unknown): void {
    this.#options.onBug(thrown);
    this.destroy({ code: 'bug', detail: messageOf(thrown) });
  }
}
