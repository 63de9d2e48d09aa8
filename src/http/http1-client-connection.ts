/**
 * The client side of one HTTP/1.1 connection (RFC 9112): one exchange at a time, back to its owner in between.
 *
 *   idle ─ open ─ request ─┬─ (1xx) ─ head ─ body ─┬─ idle, if both halves are whole and it may be kept
 *                          │                       └─ gone
 *                          └─ cut: the sink hears why, and whether a byte was sent or answered
 *
 * An idle connection that speaks is discarded: what it said could be taken for the next answer. Owns its
 * socket.
 */
import type { Socket } from 'node:net';
import { Deadline } from '../core/clock.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import { destroySocket } from '../core/end-socket.ts';
import type { ClientExchange, RequestHead, UpstreamFailure, UpstreamSink } from './exchange.ts';
import type { Fields } from './fields.ts';
import type { HeadScanner } from './head-scanner.ts';
import { MessageReader, STOP_READING } from './message-reader.ts';
import type { MessageOwner } from './message-reader.ts';
import { Http1ResponseHead, ResponseHeadBuilder } from './response-head.ts';
import { TurnWriter } from './turn-writer.ts';
import { writeLastChunk, writeRequestHead } from './write-head.ts';

/** How an exchange ended: whole, given up by the downstream side, or by a failure of the upstream's. */
export type ExchangeOutcome = 'answered' | 'abandoned' | ErrorCodeName;

/** Keeps client connections while they are idle. */
export interface ClientConnectionOwner {
  /** An exchange ended well: the connection can take another for `keepMs`. */
  onIdle(connection: Http1ClientConnection, keepMs: number): void;
  /** Once for every exchange that was opened. */
  onExchangeEnd(outcome: ExchangeOutcome): void;
  /** It is closed, whatever it did. Called once. */
  onGone(connection: Http1ClientConnection): void;
  /** It spoke while idle and was discarded. */
  onUnsolicited(connection: Http1ClientConnection): void;
  onBug(thrown: unknown): void;
}

/** An upstream's announced keep-alive is cut by this, so that we close before it does. */
const KEEP_ALIVE_MARGIN_MS = 1_000;

/** Interim answers of one exchange; they are passed on without back-pressure, so they must end. */
const MAX_INTERIM = 16;

export class Http1ClientConnection implements MessageOwner {
  readonly upstreamHost: string;
  readonly upstreamLocalAddress: string;
  bytesRead = 0;
  /** How much of each way its pool has counted. */
  countedRead = 0;
  countedWritten = 0;
  /** Of its pool, when it was dialled. */
  epoch = 0;
  /** Exchanges opened so far. */
  exchanges = 0;
  readonly #socket: Socket;
  readonly #raw: Socket;
  readonly #limits: Limits;
  readonly #owner: ClientConnectionOwner;
  readonly #reader: MessageReader;
  readonly #writer: TurnWriter;
  readonly #heads = new ResponseHeadBuilder();
  readonly #deadline: Deadline;
  #current: Http1ClientExchange | null = null;
  #head: Http1ResponseHead | null = null;
  #interim = false;
  #interimCount = 0;
  #peerEnded = false;
  #gone = false;

  constructor(
    socket: Socket,
    raw: Socket,
    addresses: { readonly upstreamHost: string; readonly upstreamLocalAddress: string },
    limits: Limits,
    owner: ClientConnectionOwner,
  ) {
    this.upstreamHost = addresses.upstreamHost;
    this.upstreamLocalAddress = addresses.upstreamLocalAddress;
    this.#socket = socket;
    this.#raw = raw;
    this.#limits = limits;
    this.#owner = owner;
    this.#reader = new MessageReader('response', limits, this);
    this.#writer = new TurnWriter(socket, () => this.#guard(() => this.#current?.sink.onUpstreamWritable()));
    this.#deadline = new Deadline(() => this.#guard(() => this.#onDue()));
    socket.on('end', () => this.#guard(() => this.#onEnd()));
    socket.on('error', (error: Error) => this.#guard(() => this.#lost(error.message)));
    socket.on('close', () => this.#guard(() => this.#lost('the upstream closed the connection')));
  }

  get bytesWritten(): number {
    return this.#writer.bytesWritten;
  }

  get idle(): boolean {
    return this.#current === null && !this.#gone;
  }

  /** Begins an exchange; only while idle. `onReady` runs in this turn. */
  open(sink: UpstreamSink): ClientExchange {
    const exchange = new Http1ClientExchange(this, this.#writer, sink, this.exchanges > 0);
    this.exchanges++;
    this.#current = exchange;
    this.#head = null;
    this.#interimCount = 0;
    this.#deadline.set(this.#limits.bodyStallTimeoutMs);
    return exchange;
  }

  destroy(): void {
    this.#reader.stop();
    destroySocket(this.#raw, this.#socket);
    this.#leave();
  }

  #leave(): void {
    if (this.#gone) return;
    this.#gone = true;
    this.#deadline.clear();
    this.#writer.discard();
    this.#owner.onGone(this);
  }

  // --- the answer

  /** Bytes of the upstream; `view` is valid only during the call, so that what goes on is a copy. */
  receive(view: Buffer): void {
    this.bytesRead += view.length;
    if (this.#gone) return;
    const exchange = this.#current;
    if (exchange === null) {
      this.#owner.onUnsolicited(this);
      this.destroy();
      return;
    }
    exchange.answered = true;
    try {
      this.#reader.push(Buffer.from(view));
      if (this.#reader.paused) this.#socket.pause();
    } catch (thrown) {
      this.#bug(thrown);
    }
  }

  onHead(scanner: HeadScanner, text: string, origin: number): number {
    const exchange = this.#current;
    if (exchange === null) {
      // Bytes after a whole answer, in the same segment.
      this.#owner.onUnsolicited(this);
      this.destroy();
      return STOP_READING;
    }
    const head = this.#heads.build(scanner, text, origin, exchange.method);
    if (!(head instanceof Http1ResponseHead)) {
      this.#fail('upstream_protocol_error', `${head.code}: ${head.detail}`);
      return STOP_READING;
    }
    if (head.status < 200) {
      this.#interim = true;
      if (++this.#interimCount > MAX_INTERIM) {
        this.#fail('upstream_protocol_error', `more than ${MAX_INTERIM} interim answers`);
        return STOP_READING;
      }
      exchange.sink.onInterim(head.status, head.fields);
      return 0;
    }
    this.#head = head;
    this.#deadline.set(this.#limits.bodyStallTimeoutMs);
    exchange.sink.onAnswerHead(head, head.framing === 0);
    return this.#gone ? STOP_READING : head.framing;
  }

  onBody(chunk: Buffer): void {
    this.#deadline.set(this.#limits.bodyStallTimeoutMs);
    this.#current?.sink.onAnswerData(chunk);
  }

  onMessageEnd(trailers: Fields | null): void {
    if (this.#interim) {
      this.#interim = false;
      return;
    }
    const exchange = this.#current;
    const head = this.#head;
    if (exchange === null || head === null) return;
    this.#current = null;
    this.#head = null;
    this.#owner.onExchangeEnd('answered');
    // A request that is not wholly sent would be taken for the start of the next one.
    const { atRest, paused } = this.#reader;
    const keep = head.keepsConnection && exchange.requestSent && atRest && !paused && !this.#peerEnded;
    if (!keep) this.#retire();
    else {
      const announced = head.keepAliveSeconds * 1_000 - KEEP_ALIVE_MARGIN_MS;
      const keepMs = head.keepAliveSeconds > 0 ? Math.max(0, announced) : this.#limits.idleTimeoutMs;
      if (keepMs === 0) this.#retire();
      else {
        this.#deadline.set(keepMs);
        this.#owner.onIdle(this, keepMs);
      }
    }
    exchange.close();
    if (head.framing !== 0) exchange.sink.onAnswerEnd(trailers);
  }

  #retire(): void {
    if (!this.#reader.atRest && !this.#gone) this.#owner.onUnsolicited(this);
    this.destroy();
  }

  onReadError(code: ErrorCodeName, detail: string): void {
    if (code === 'downstream_reset') this.#lost(detail);
    else this.#fail('upstream_protocol_error', `${code}: ${detail}`);
  }

  // --- its end

  #onEnd(): void {
    if (this.#gone) return;
    this.#peerEnded = true;
    this.#reader.end();
    // A reader that waits for a slow downstream has the rest of the answer still to give.
    if (!this.#reader.paused) this.#lost('the upstream closed the connection');
  }

  #lost(detail: string): void {
    if (this.#gone) return;
    this.#fail(this.#head === null ? 'upstream_reset' : 'upstream_truncated', detail);
  }

  #fail(code: ErrorCodeName, detail: string): void {
    const exchange = this.#current;
    this.#current = null;
    const sent = exchange !== null && this.#writer.bytesWritten > exchange.writtenBefore;
    this.destroy();
    if (exchange === null) return;
    this.#owner.onExchangeEnd(code);
    exchange.close();
    exchange.sink.onFailed(failureOf(exchange, code, detail, sent));
  }

  #onDue(): void {
    if (this.#current === null) {
      this.destroy();
      return;
    }
    const sending = !this.#current.requestSent && !this.#writer.blocked;
    if (this.#reader.paused || sending) {
      // The downstream is the slow one, and has a deadline of its own.
      this.#deadline.set(this.#limits.bodyStallTimeoutMs);
      return;
    }
    this.#fail('upstream_stalled', 'the upstream sent nothing in time');
  }

  // --- called by the exchange

  /** A part of the request moved: the wait for the answer begins again. */
  noteSending(): void {
    this.#deadline.set(this.#limits.bodyStallTimeoutMs);
  }

  pauseReading(): void {
    this.#reader.pause();
  }

  resumeReading(): void {
    if (this.#gone) return;
    this.#guard(() => {
      this.#reader.resume();
      if (this.#gone || this.#reader.paused) return;
      if (this.#peerEnded) this.#lost('the upstream closed the connection');
      else this.#socket.resume();
    });
  }

  /** The sink gave up. */
  abandon(exchange: Http1ClientExchange): void {
    if (this.#current !== exchange) return;
    this.#current = null;
    this.#owner.onExchangeEnd('abandoned');
    this.destroy();
  }

  /** An exception in the sink, outside of what this connection calls: ends it as one of its own. */
  fail(thrown: unknown): void {
    this.#bug(thrown);
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#bug(thrown);
    }
  }

  #bug(thrown: unknown): void {
    this.#owner.onBug(thrown);
    const exchange = this.#current;
    this.#current = null;
    this.destroy();
    if (exchange === null) return;
    this.#owner.onExchangeEnd('bug');
    exchange.close();
    exchange.sink.onFailed({
      ...failureOf(exchange, 'bug', 'an unexpected exception', true),
      reused: false,
    });
  }
}

function failureOf(
  exchange: Http1ClientExchange,
  code: ErrorCodeName,
  detail: string,
  sent: boolean,
): UpstreamFailure {
  const { answered, reused, upstreamHost } = exchange;
  return { code, detail, reused, sent, answered, upstreamHost, endpoint: '', transportReason: '' };
}

class Http1ClientExchange implements ClientExchange {
  readonly sink: UpstreamSink;
  readonly reused: boolean;
  readonly writtenBefore: number;
  method = '';
  requestSent = false;
  answered = false;
  #chunked = false;
  /** Null once the exchange is over: late calls go nowhere. */
  #connection: Http1ClientConnection | null;
  readonly #host: string;
  readonly #localAddress: string;
  readonly #writer: TurnWriter;

  constructor(connection: Http1ClientConnection, writer: TurnWriter, sink: UpstreamSink, reused: boolean) {
    this.#connection = connection;
    this.#host = connection.upstreamHost;
    this.#localAddress = connection.upstreamLocalAddress;
    this.#writer = writer;
    this.sink = sink;
    this.reused = reused;
    this.writtenBefore = writer.bytesWritten;
  }

  get upstreamHost(): string {
    return this.#host;
  }

  get upstreamLocalAddress(): string {
    return this.#localAddress;
  }

  sendHead(head: RequestHead, endStream: boolean): boolean {
    if (this.#connection === null) return true;
    this.method = head.method;
    this.#chunked = head.bodyLength < 0;
    if (endStream) this.requestSent = true;
    return this.#writer.writeText(writeRequestHead(head));
  }

  sendData(chunk: Buffer): boolean {
    if (this.#connection === null || chunk.length === 0) return true;
    this.#connection.noteSending();
    if (!this.#chunked) return this.#writer.writeBytes(chunk);
    this.#writer.writeText(chunk.length.toString(16) + '\r\n');
    this.#writer.writeBytes(chunk);
    return this.#writer.writeText('\r\n');
  }

  sendEnd(trailers: Fields | null): void {
    if (this.#connection === null) return;
    if (this.#chunked) this.#writer.writeText(writeLastChunk(trailers));
    this.requestSent = true;
    this.#connection.noteSending();
  }

  pause(): void {
    this.#connection?.pauseReading();
  }

  resume(): void {
    this.#connection?.resumeReading();
  }

  abort(): void {
    const connection = this.#connection;
    this.#connection = null;
    connection?.abandon(this);
  }

  close(): void {
    this.#connection = null;
  }
}
