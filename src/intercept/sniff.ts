/**
 * Tells what a connection speaks from its first bytes: TLS, HTTP/1, HTTP/2 in clear text, or none of these.
 *
 * A pure function with three kinds of answer: found, not this, need more. What has begun as a ClientHello or
 * as an HTTP head never becomes plain TCP by waiting: it stays `more` until the listener's deadline.
 */
import { MAX_CLIENT_HELLO_BYTES, MAX_CLIENT_HELLO_RECORDS, parseClientHello } from './client-hello.ts';
import type { ClientHello, MalformedHello } from './client-hello.ts';
import { MAX_FIRST_LINE_BYTES, sniffRequestLine } from './request-line.ts';

/** What the chains of the destination port need to know before one can be chosen. */
export type SniffNeed = 'tls' | 'tls+http' | 'none';

/** What a connection speaks. `opaque`: something else, or nothing was looked at. */
export type Sniffed = ClientHello | { readonly kind: 'http1' | 'http2' | 'opaque' };

/** `malformed`: it began as TLS and cannot be; the connection is to be closed. */
export type SniffAnswer = Sniffed | MalformedHello | { readonly kind: 'more' };

/** No answer is `more` from this many bytes on. */
export const MAX_SNIFF_BYTES: number = Math.max(
  MAX_CLIENT_HELLO_BYTES + 5 * MAX_CLIENT_HELLO_RECORDS,
  MAX_FIRST_LINE_BYTES,
);

export const OPAQUE: { readonly kind: 'opaque' } = { kind: 'opaque' };
const MORE = { kind: 'more' } as const;
const PLAINTEXT_ANSWERS = { http1: { kind: 'http1' }, opaque: OPAQUE, more: MORE } as const;
const HTTP2 = { kind: 'http2' } as const;
/** RFC 9113 §3.4. */
const HTTP2_PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

const HANDSHAKE_RECORD = 0x16;

/** Answers for all bytes received so far; `need` says whether HTTP is to be told from other plaintext. */
export function sniff(bytes: Buffer, need: 'tls' | 'tls+http'): SniffAnswer {
  if (bytes.length === 0) return MORE;
  if (bytes[0] === HANDSHAKE_RECORD) return parseClientHello(bytes);
  if (need === 'tls') return OPAQUE;
  const compared = Math.min(bytes.length, HTTP2_PREFACE.length);
  if (bytes[0] === HTTP2_PREFACE[0] && bytes.compare(HTTP2_PREFACE, 0, compared, 0, compared) === 0) {
    return compared === HTTP2_PREFACE.length ? HTTP2 : MORE;
  }
  return PLAINTEXT_ANSWERS[sniffRequestLine(bytes)];
}
