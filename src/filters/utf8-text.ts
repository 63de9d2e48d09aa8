/**
 * Bytes as text for protobuf's strings, which are UTF-8: each byte that is not part of a well-formed character
 * (RFC 3629 §4) becomes `!`, as in Envoy. One pass over bytes that a client may choose.
 */
import { isUtf8 } from 'node:buffer';

const MARK = 33;

export function utf8Text(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  const marked = Buffer.from(bytes);
  for (let at = 0; at < marked.length;) {
    const length = characterLength(marked, at);
    if (length === 0) marked[at++] = MARK;
    else at += length;
  }
  return marked.toString('utf8');
}

/** Bytes of the well-formed character at `at`; 0: there is none. */
function characterLength(bytes: Buffer, at: number): number {
  const lead = bytes[at]!;
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const second = bytes[at + 1] ?? 0;
  if (!isContinuation(second)) return 0;
  if (lead < 0xe0) return 2;
  // Overlong, a surrogate, beyond the last code point.
  if (lead === 0xe0 && second < 0xa0) return 0;
  if (lead === 0xed && second > 0x9f) return 0;
  if (lead === 0xf0 && second < 0x90) return 0;
  if (lead === 0xf4 && second > 0x8f) return 0;
  if (!isContinuation(bytes[at + 2] ?? 0)) return 0;
  if (lead < 0xf0) return 3;
  return isContinuation(bytes[at + 3] ?? 0) ? 4 : 0;
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80;
}
