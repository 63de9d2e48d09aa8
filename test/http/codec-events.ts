/**
 * Runs bytes through the reader and the head builders and writes down what comes out, as one line an event.
 *
 * Body chunks are joined per message, so that the log does not depend on how the bytes were cut.
 */
import type { Limits } from '../../src/core/limits.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import type { HeadScanner } from '../../src/http/head-scanner.ts';
import { MessageReader, STOP_READING } from '../../src/http/message-reader.ts';
import type { MessageOwner } from '../../src/http/message-reader.ts';
import { Http1RequestHead, RequestHeadBuilder } from '../../src/http/request-head.ts';
import { Http1ResponseHead, ResponseHeadBuilder } from '../../src/http/response-head.ts';

export interface CodecMessage {
  readonly head: Http1RequestHead | Http1ResponseHead;
  body: Buffer;
  ended: boolean;
  trailers: readonly string[] | null;
}

export interface CodecRun {
  readonly messages: readonly CodecMessage[];
  /** `code: detail` of the first refusal; null: none. */
  readonly refusal: { readonly code: string; readonly detail: string } | null;
}

class Collector implements MessageOwner {
  readonly messages: CodecMessage[] = [];
  refusal: CodecRun['refusal'] = null;
  readonly #kind: 'request' | 'response';
  readonly #method: string;
  readonly #requests: RequestHeadBuilder;
  readonly #responses = new ResponseHeadBuilder();
  readonly #chunks: Buffer[] = [];

  constructor(kind: 'request' | 'response', method: string, protectedNames: ReadonlySet<string>) {
    this.#kind = kind;
    this.#method = method;
    this.#requests = new RequestHeadBuilder(protectedNames);
  }

  onHead(scanner: HeadScanner, text: string, origin: number): number {
    const head =
      this.#kind === 'request'
        ? this.#requests.build(scanner, text, origin)
        : this.#responses.build(scanner, text, origin, this.#method);
    if (!(head instanceof Http1RequestHead) && !(head instanceof Http1ResponseHead)) {
      this.refusal = { code: head.code, detail: head.detail };
      return STOP_READING;
    }
    this.messages.push({ head, body: Buffer.alloc(0), ended: false, trailers: null });
    return head instanceof Http1RequestHead ? head.bodyLength : head.framing;
  }

  onBody(chunk: Buffer): void {
    this.#chunks.push(Buffer.from(chunk));
  }

  onMessageEnd(trailers: readonly string[] | null): void {
    const message = this.messages.at(-1)!;
    message.body = Buffer.concat(this.#chunks.splice(0));
    message.ended = true;
    message.trailers = trailers;
  }

  onReadError(code: string, detail: string): void {
    this.refusal = { code, detail };
  }
}

export interface RunOptions {
  readonly kind?: 'request' | 'response';
  /** Of the request that a response answers. */
  readonly method?: string;
  /** FIN after the last byte. */
  readonly end?: boolean;
  readonly limits?: Partial<Limits>;
  readonly protectedNames?: ReadonlySet<string>;
}

/** Feeds the pieces one by one. Each piece is given as a copy of its own, as sockets do. */
export function runCodec(pieces: Iterable<Uint8Array>, options: RunOptions = {}): CodecRun {
  const kind = options.kind ?? 'request';
  const collector = new Collector(kind, options.method ?? 'GET', options.protectedNames ?? new Set());
  const reader = new MessageReader(kind, { ...DEFAULT_LIMITS, ...options.limits }, collector);
  for (const piece of pieces) if (piece.length > 0) reader.push(Buffer.from(piece));
  if (options.end === true) reader.end();
  return collector;
}

/** One message in one piece; strings are latin1. */
export function parse(text: string, options: RunOptions = {}): CodecRun {
  return runCodec([Buffer.from(text, 'latin1')], options);
}

/** The run as lines of text: what test/vectors/http holds. */
export function eventLog(run: CodecRun): string[] {
  const lines: string[] = [];
  for (const { head, body, ended, trailers } of run.messages) {
    if (head instanceof Http1RequestHead) {
      lines.push(
        `request ${head.method} ${JSON.stringify(head.rawTarget)} HTTP/${head.version}`,
        `path ${JSON.stringify(head.path)} authority ${JSON.stringify(head.authority)}`,
      );
      const flags = [
        `length=${head.bodyLength}`,
        head.statesEmptyBody ? 'states-empty' : '',
        head.expectContinue ? 'expects-continue' : '',
        head.acceptsTrailers ? 'accepts-trailers' : '',
        head.lastOnConnection ? 'last' : '',
        head.sayKeepAlive ? 'say-keep-alive' : '',
      ];
      lines.push(flags.filter((flag) => flag !== '').join(' '));
    } else {
      lines.push(
        `response ${head.status} ${JSON.stringify(head.reason)}`,
        `length=${head.bodyLength} ${head.keepsConnection ? 'keeps' : 'closes'} keep-alive=${head.keepAliveSeconds}`,
      );
    }
    for (let i = 0; i < head.fields.length; i += 2) {
      lines.push(`field ${JSON.stringify(head.fields[i])} ${JSON.stringify(head.fields[i + 1])}`);
    }
    if (body.length > 0) lines.push(`body ${JSON.stringify(body.toString('latin1'))}`);
    const last = trailers ?? [];
    for (let i = 0; i < last.length; i += 2) {
      lines.push(`trailer ${JSON.stringify(last[i])} ${JSON.stringify(last[i + 1])}`);
    }
    if (ended) lines.push('end');
  }
  if (run.refusal !== null) lines.push(`refused ${run.refusal.code}`);
  return lines;
}
