/**
 * Tells from the first line whether bytes begin like an HTTP/1 request, as Envoy's HTTP inspector does.
 * It leans to HTTP: what a lenient server could read as a request must meet the HTTP rules, and the codec
 * refuses what is not strict. RFC 9112 §3.
 */

/** A first line longer than this counts as HTTP/1; the codec bounds it from there. */
export const MAX_FIRST_LINE_BYTES = 16_384;

/** The registered methods that servers know (IANA registry, and those of caches and media servers). */
const KNOWN_METHODS: ReadonlySet<string> = new Set(
  (
    'GET HEAD POST PUT DELETE CONNECT OPTIONS TRACE PATCH QUERY ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK ' +
    'MERGE MKACTIVITY MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE M-SEARCH NOTIFY ORDERPATCH PROPFIND PROPPATCH PURGE ' +
    'REBIND REPORT SEARCH SOURCE SUBSCRIBE UNBIND UNCHECKOUT UNLINK UNLOCK UNSUBSCRIBE UPDATE UPDATEREDIRECTREF VERSION-CONTROL'
  ).split(' '),
);

const LONGEST_KNOWN_METHOD: number = Math.max(...[...KNOWN_METHODS].map((method) => method.length));

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const SLASH = 0x2f;
const DELETE = 0x7f;

/** 1 for token characters (RFC 9110 §5.6.2). */
const TOKEN = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz") {
  TOKEN[character.charCodeAt(0)] = 1;
}

/** Answers for all bytes received so far. */
export function sniffRequestLine(bytes: Buffer): 'http1' | 'opaque' | 'more' {
  const answer = sniffWithin(bytes);
  return answer === 'more' && bytes.length >= MAX_FIRST_LINE_BYTES ? 'http1' : answer;
}

function sniffWithin(bytes: Buffer): 'http1' | 'opaque' | 'more' {
  const length = bytes.length;
  let at = 0;
  // Empty lines before a request line are skipped by many servers (RFC 9112 §2.2).
  while (at < length && (bytes[at] === CR || bytes[at] === LF)) at++;
  if (at === length) return 'more';

  const methodStart = at;
  while (at < length && TOKEN[bytes[at]!] === 1) at++;
  const answer = sniffMethod(bytes, methodStart, at, at === length);
  if (answer !== 'known' && answer !== 'unknown') return answer;
  at = skipBlanks(bytes, at);
  if (at === length) return 'more';

  const target = at;
  if (answer === 'known' && bytes[target] === SLASH) return 'http1';
  while (at < length && bytes[at]! > SPACE && bytes[at] !== DELETE) at++;
  // A known method and an absolute URL are HTTP whatever follows.
  if (answer === 'known' && startsLike(bytes, target, 'http://', at)) return 'http1';
  if (answer === 'known' && startsLike(bytes, target, 'https://', at)) return 'http1';
  if (at === length) return 'more';
  if (bytes[at] !== SPACE && bytes[at] !== TAB) return 'opaque';
  at = skipBlanks(bytes, at);

  if (startsLike(bytes, at, 'http/', length)) return 'http1';
  return length - at < 5 && startsLike(bytes, at, 'http/'.slice(0, length - at), length) ? 'more' : 'opaque';
}

/** Any token may be a method: a server behind us may take what is not registered, and a forged field with it. */
function sniffMethod(
  bytes: Buffer,
  start: number,
  end: number,
  unfinished: boolean,
): 'known' | 'unknown' | 'opaque' | 'more' {
  if (end === start) return 'opaque';
  if (unfinished) return 'more';
  if (bytes[end] !== SPACE && bytes[end] !== TAB) return 'opaque';
  if (end - start > LONGEST_KNOWN_METHOD) return 'unknown';
  return KNOWN_METHODS.has(bytes.toString('latin1', start, end).toUpperCase()) ? 'known' : 'unknown';
}

function skipBlanks(bytes: Buffer, start: number): number {
  let at = start;
  while (at < bytes.length && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
  return at;
}

/** Whether `text` (lower case) stands at `start`, in any case, and ends before `end`. */
function startsLike(bytes: Buffer, start: number, text: string, end: number): boolean {
  if (end - start < text.length) return false;
  for (let index = 0; index < text.length; index++) {
    const byte = bytes[start + index]!;
    const lower = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    if (lower !== text.charCodeAt(index)) return false;
  }
  return true;
}
