/**
 * Reads the ClientHello that a TLS connection begins with, split over records in any way, for its SNI and
 * ALPN list. Pure and bounded; it judges only what is needed to choose a chain, the TLS server judges the
 * rest. RFC 8446 §4.1.2 and §5.1, RFC 6066 §3, RFC 7301 §3.1.
 */

/** Largest ClientHello that is read, handshake header included; Envoy's TLS inspector has the same bound. */
export const MAX_CLIENT_HELLO_BYTES = 16_384;
/** Most records that one ClientHello may be cut into: without a bound, tiny records make the walk quadratic. */
export const MAX_CLIENT_HELLO_RECORDS = 64;

/** What a ClientHello says of where it wants to go. */
export interface ClientHello {
  readonly kind: 'tls';
  /** Lower case, without a trailing dot; '' if absent or not a host name. */
  readonly sni: string;
  /** A server name was sent that is no host name; its text is not kept. */
  readonly sniInvalid: boolean;
  /** In the client's order, one character a byte (latin1); peer-made text, escape it in logs. */
  readonly alpn: readonly string[];
}

/** It began as a ClientHello and cannot end as one: to be closed, never passed on as something else. */
export interface MalformedHello {
  readonly kind: 'malformed';
  readonly reason: string;
}

export type ClientHelloAnswer = ClientHello | MalformedHello | { readonly kind: 'more' | 'opaque' };

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
const MAX_RECORD_BYTES = 16_384;
const HANDSHAKE_RECORD = 0x16;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_ALPN = 16;

const MORE = { kind: 'more' } as const;
const OPAQUE = { kind: 'opaque' } as const;
const NO_ALPN: readonly string[] = [];

const malformed = (reason: string): MalformedHello => ({ kind: 'malformed', reason });

/**
 * Answers for all bytes received so far. `opaque` is said only while nothing but a record header was seen
 * that no TLS client sends; once the first handshake byte says ClientHello it is TLS or malformed.
 */
export function parseClientHello(bytes: Buffer): ClientHelloAnswer {
  const length = bytes.length;
  if (length === 0) return MORE;
  if (bytes[0] !== HANDSHAKE_RECORD) return OPAQUE;
  if (length === 1) return MORE;
  if (bytes[1] !== 3) return OPAQUE;
  if (length < RECORD_HEADER_BYTES) return MORE;
  const firstLength = bytes.readUInt16BE(3);
  if (firstLength === 0 || firstLength > MAX_RECORD_BYTES) return OPAQUE;
  if (length === RECORD_HEADER_BYTES) return MORE;
  if (bytes[RECORD_HEADER_BYTES] !== CLIENT_HELLO) return OPAQUE;

  // From here on it is TLS or closed. The usual hello lies whole in one record and is read in place.
  if (firstLength >= HANDSHAKE_HEADER_BYTES) {
    if (length < RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES) return MORE;
    const messageBytes = HANDSHAKE_HEADER_BYTES + bytes.readUIntBE(RECORD_HEADER_BYTES + 1, 3);
    if (messageBytes > MAX_CLIENT_HELLO_BYTES) return malformed('the ClientHello is too large');
    if (messageBytes <= firstLength) {
      const end = RECORD_HEADER_BYTES + messageBytes;
      return length < end ? MORE : parseBody(bytes, RECORD_HEADER_BYTES + HANDSHAKE_HEADER_BYTES, end);
    }
  }
  return parseSplitHello(bytes);
}

/** The same for a hello that is cut into several records: their payloads are joined once all are here. */
function parseSplitHello(bytes: Buffer): ClientHelloAnswer {
  const header = Buffer.alloc(HANDSHAKE_HEADER_BYTES);
  const payloads: Buffer[] = [];
  let have = 0;
  let at = 0;
  while (at < bytes.length) {
    if (payloads.length === MAX_CLIENT_HELLO_RECORDS)
      return malformed('the ClientHello is cut into too many records');
    if (bytes[at] !== HANDSHAKE_RECORD) return malformed('another record interrupts the ClientHello');
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return malformed('a record header is not of TLS');
    if (at + RECORD_HEADER_BYTES > bytes.length) return MORE;
    const recordBytes = bytes.readUInt16BE(at + 3);
    if (recordBytes === 0 || recordBytes > MAX_RECORD_BYTES)
      return malformed('a record has an impossible length');
    at += RECORD_HEADER_BYTES;
    const payload = bytes.subarray(at, at + recordBytes);
    if (have < HANDSHAKE_HEADER_BYTES) payload.copy(header, have);
    payloads.push(payload);
    have += payload.length;
    if (have >= HANDSHAKE_HEADER_BYTES) {
      const messageBytes = HANDSHAKE_HEADER_BYTES + header.readUIntBE(1, 3);
      if (messageBytes > MAX_CLIENT_HELLO_BYTES) return malformed('the ClientHello is too large');
      if (have >= messageBytes)
        return parseBody(Buffer.concat(payloads), HANDSHAKE_HEADER_BYTES, messageBytes);
    }
    at += recordBytes;
  }
  return MORE;
}

/** Reads the message between `start` and `end`, all of it present. */
function parseBody(bytes: Buffer, start: number, end: number): ClientHello | MalformedHello {
  const versionAndRandomBytes = 34;
  let at = start + versionAndRandomBytes;
  if (at + 1 > end) return malformed('the ClientHello is too short');
  const sessionIdBytes = bytes.readUInt8(at);
  at += 1 + sessionIdBytes;
  if (sessionIdBytes > 32 || at + 2 > end) return malformed('the session id does not fit');
  const cipherSuitesBytes = bytes.readUInt16BE(at);
  at += 2 + cipherSuitesBytes;
  if (cipherSuitesBytes < 2 || cipherSuitesBytes % 2 !== 0 || at + 1 > end) {
    return malformed('the cipher suites do not fit');
  }
  const compressionBytes = bytes.readUInt8(at);
  at += 1 + compressionBytes;
  if (compressionBytes === 0 || at > end) return malformed('the compression methods do not fit');
  // TLS 1.2 clients may send no extensions at all.
  if (at === end) return { kind: 'tls', sni: '', sniInvalid: false, alpn: NO_ALPN };
  if (at + 2 > end || at + 2 + bytes.readUInt16BE(at) !== end) return malformed('the extensions do not fit');
  at += 2;

  let sni: string | null = null;
  let alpn: readonly string[] | null = null;
  while (at < end) {
    if (at + 4 > end) return malformed('an extension does not fit');
    const type = bytes.readUInt16BE(at);
    const from = at + 4;
    at = from + bytes.readUInt16BE(at + 2);
    if (at > end) return malformed('an extension does not fit');
    // Repeated: two readers could each believe another one (RFC 8446 §4.2 forbids it).
    if (type === EXTENSION_SERVER_NAME) {
      if (sni !== null) return malformed('the server name is sent twice');
      sni = parseServerName(bytes, from, at);
    } else if (type === EXTENSION_ALPN) {
      if (alpn !== null) return malformed('the ALPN list is sent twice');
      alpn = parseAlpn(bytes, from, at);
      if (alpn === null) return malformed('the ALPN list does not fit');
    }
  }
  return { kind: 'tls', sni: sni ?? '', sniInvalid: sni === '', alpn: alpn ?? NO_ALPN };
}

/** The one host name of a server_name extension; '' for anything else. */
function parseServerName(bytes: Buffer, start: number, end: number): string {
  const listAndEntryHeaderBytes = 5;
  const from = start + listAndEntryHeaderBytes;
  // One entry of type host_name that fills the list: what OpenSSL accepts, and nothing else.
  if (
    from > end ||
    bytes.readUInt16BE(start) !== end - start - 2 ||
    bytes[start + 2] !== 0 ||
    bytes.readUInt16BE(start + 3) !== end - from
  ) {
    return '';
  }
  return parseHostName(bytes, from, end);
}

/** Letters, digits, `-`, `_` (Istio's own names have it) and single dots between labels; else ''. */
function parseHostName(bytes: Buffer, start: number, end: number): string {
  const stop = end > start && bytes[end - 1] === 0x2e ? end - 1 : end;
  if (stop === start || stop - start > 253) return '';
  let labelStart = start;
  for (let at = start; at <= stop; at++) {
    const byte = at === stop ? 0x2e : bytes[at]!;
    if (byte === 0x2e) {
      if (at === labelStart || at - labelStart > 63) return '';
      labelStart = at + 1;
    } else if (!isHostNameByte(byte)) {
      return '';
    }
  }
  return bytes.toString('latin1', start, stop).toLowerCase();
}

function isHostNameByte(byte: number): boolean {
  const lower = byte | 0x20;
  return (lower >= 0x61 && lower <= 0x7a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x5f;
}

function parseAlpn(bytes: Buffer, start: number, end: number): readonly string[] | null {
  if (start + 4 > end || bytes.readUInt16BE(start) !== end - start - 2) return null;
  const names: string[] = [];
  let at = start + 2;
  while (at < end) {
    const from = at + 1;
    const nameBytes = bytes[at]!;
    at = from + nameBytes;
    if (nameBytes === 0 || at > end) return null;
    names.push(bytes.toString('latin1', from, at));
  }
  return names;
}
