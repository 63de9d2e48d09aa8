/**
 * One unary gRPC call on an HTTP/2 stream (gRPC over HTTP/2): one message out, one message and a status back.
 *
 * All but status 0 with exactly one whole, uncompressed message is a failure; what a proxy between says with 13, 14 or
 * an HTTP status is no word of the provider.
 */
import { constants } from 'node:http2';
import type {
  ClientHttp2Stream,
  Http2Session,
  IncomingHttpHeaders,
  IncomingHttpStatusHeader,
} from 'node:http2';
import { MAX_ANSWER_BYTES } from './ext-authz-answer.ts';

/** What a call is told: once at most, and never after its cancel. */
export interface CallSink {
  onMessage(message: Buffer): void;
  onFailed(why: string): void;
}

/** Whoever carries calls. */
export interface CallCarrier {
  /** Over, whatever the end; called once. */
  onCallEnded(call: UnaryCall): void;
  /** Never processed by the provider: to be made again. */
  onCallRefused(call: UnaryCall): void;
}

/** Flag and length before each message. */
const PREFIX_BYTES = 5;

export class UnaryCall {
  /** The provider said something in answer. */
  heard = false;
  readonly #message: Buffer;
  readonly #sink: CallSink;
  #carrier: CallCarrier;
  #stream: ClientHttp2Stream | null = null;
  /** Remembered: a stream that is closed does not tell. */
  #session: Http2Session | undefined = undefined;
  #reused = false;
  #repeated = false;
  #over = false;
  #chunks: Buffer[] = [];
  #size = 0;
  #httpStatus = 0;
  /** '' : none came. */
  #grpcStatus = '';
  #grpcMessage = '';

  constructor(message: Uint8Array, sink: CallSink, carrier: CallCarrier) {
    this.#message = Buffer.allocUnsafe(PREFIX_BYTES + message.length);
    this.#message[0] = 0;
    this.#message.writeUInt32BE(message.length, 1);
    this.#message.set(message, PREFIX_BYTES);
    this.#sink = sink;
    this.#carrier = carrier;
  }

  /** `reused`: the connection has carried calls before. */
  start(stream: ClientHttp2Stream, reused: boolean): void {
    this.#stream = stream;
    this.#session = stream.session;
    this.#reused = reused;
    stream.on('response', this.#onHeaders);
    stream.on('trailers', this.#onTrailers);
    stream.on('data', this.#onData);
    stream.on('end', this.#onEnd);
    // What it means is said by the close that follows.
    stream.on('error', this.#onError);
    stream.on('close', this.#onClose);
    stream.end(this.#message);
  }

  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    this.#carrier.onCallEnded(this);
  }

  fail(why: string): void {
    if (this.#over) return;
    this.#over = true;
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    this.#carrier.onCallEnded(this);
    this.#sink.onFailed(why);
  }

  readonly #onHeaders = (headers: IncomingHttpHeaders & IncomingHttpStatusHeader, flags: number): void => {
    this.heard = true;
    this.#httpStatus = headers[':status'] ?? 0;
    // Before a message it says nothing of how the call will end.
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) this.#noteStatus(headers);
  };

  readonly #onTrailers = (headers: IncomingHttpHeaders): void => {
    this.#noteStatus(headers);
  };

  #noteStatus(headers: IncomingHttpHeaders): void {
    const status = headers['grpc-status'];
    if (typeof status !== 'string') return;
    this.#grpcStatus = status;
    const message = headers['grpc-message'];
    this.#grpcMessage = typeof message === 'string' ? message : '';
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#over) return;
    this.#size += chunk.length;
    if (this.#size > MAX_ANSWER_BYTES + PREFIX_BYTES)
      this.fail(`the answer is longer than ${MAX_ANSWER_BYTES} bytes`);
    else this.#chunks.push(chunk);
  };

  readonly #onEnd = (): void => {
    if (this.#grpcStatus !== '') this.#settle();
  };

  readonly #onError = (): void => {};

  readonly #onClose = (): void => {
    if (this.#over) return;
    if (this.#grpcStatus !== '' || this.#httpStatus !== 0) {
      this.#settle();
      return;
    }
    const { rstCode } = this.#stream!;
    const isLost = this.#session === undefined || this.#session.destroyed;
    const unprocessed = rstCode === constants.NGHTTP2_REFUSED_STREAM || (isLost && this.#reused);
    if (unprocessed && !this.#repeated) {
      this.#repeated = true;
      this.#stream = null;
      this.#carrier.onCallRefused(this);
    } else if (isLost) this.fail('the connection was closed without an answer');
    else this.fail(`the call was reset with HTTP/2 error ${rstCode}`);
  };

  #settle(): void {
    if (this.#over) return;
    const message = this.#messageOrFault();
    if (typeof message === 'string') {
      this.fail(message);
      return;
    }
    this.#over = true;
    this.#carrier.onCallEnded(this);
    this.#sink.onMessage(message);
  }

  #messageOrFault(): Buffer | string {
    if (this.#httpStatus !== 200) return `it answered HTTP status ${this.#httpStatus}`;
    if (this.#grpcStatus === '') return 'the answer ended without grpc-status';
    if (this.#grpcStatus !== '0') {
      const said = this.#grpcMessage === '' ? '' : `: ${this.#grpcMessage.slice(0, 200)}`;
      return `it answered grpc-status ${this.#grpcStatus}${said}`;
    }
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    if (all.length < PREFIX_BYTES || all[0] !== 0 || all.readUInt32BE(1) !== all.length - PREFIX_BYTES)
      return 'the answer is not one whole message without compression';
    return all.subarray(PREFIX_BYTES);
  }
}
