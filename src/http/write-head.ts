/**
 * Writes message heads (RFC 9112 §2) as latin1 text: the same bytes that were checked on the way in.
 *
 * Fields that a filter changed are checked again by `assertWritable`; nothing here repairs.
 */
import { checkHost } from '../path/host.ts';
import { STATUS_PHRASES } from './status-phrases.ts';
import type { RequestHead, ResponseHead } from './exchange.ts';
import type { Fields } from './fields.ts';
import { BYTE_CLASSES, TARGET, TOKEN, UPPER, VALUE } from './byte-classes.ts';

function writeFields(text: string, fields: readonly string[]): string {
  let out = text;
  for (let i = 0; i < fields.length; i += 2) out += fields[i] + ': ' + fields[i + 1] + '\r\n';
  return out;
}

/** A request for the upstream, always as HTTP/1.1. */
export function writeRequestHead(head: RequestHead): string {
  let out = head.method + ' ' + head.path + ' HTTP/1.1\r\nhost: ' + head.authority + '\r\n';
  out = writeFields(out, head.fields);
  if (head.bodyLength > 0 || (head.bodyLength === 0 && head.statesEmptyBody)) {
    out += 'content-length: ' + head.bodyLength + '\r\n';
  } else if (head.bodyLength < 0) out += 'transfer-encoding: chunked\r\n';
  if (head.acceptsTrailers) out += 'te: trailers\r\n';
  if (head.expectContinue) out += 'expect: 100-continue\r\n';
  return out + '\r\n';
}

/** How an answer's body is framed on the way to an HTTP/1.x client. */
export type ResponseFraming = 'none' | 'length' | 'chunked' | 'until-close';

/** `connection`: the connection option to state; '' for none. */
export function writeResponseHead(head: ResponseHead, framing: ResponseFraming, connection: string): string {
  let out =
    'HTTP/1.1 ' + (head.reason === '' ? statusText(head.status) : head.status + ' ' + head.reason) + '\r\n';
  out = writeFields(out, head.fields);
  if (framing === 'length') out += 'content-length: ' + head.bodyLength + '\r\n';
  else if (framing === 'chunked') out += 'transfer-encoding: chunked\r\n';
  else if (head.statedLength !== undefined && head.statedLength >= 0) {
    out += 'content-length: ' + head.statedLength + '\r\n';
  }
  if (connection !== '') out += 'connection: ' + connection + '\r\n';
  return out + '\r\n';
}

export function writeInterimHead(status: number, fields: readonly string[]): string {
  return writeFields('HTTP/1.1 ' + statusText(status) + '\r\n', fields) + '\r\n';
}

/** The last chunk and the trailers. */
export function writeLastChunk(trailers: Fields | null): string {
  return trailers === null ? '0\r\n\r\n' : writeFields('0\r\n', trailers) + '\r\n';
}

function statusText(status: number): string {
  return STATUS_PHRASES[status] ?? `${status} `;
}

/** Names that say how a message is framed or where it goes: only the codec writes them. */
export const CODEC_NAMES: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);

/** Throws where a filter left a head that would be read as another request than the one that was judged. */
export function assertWritableRequest(head: RequestHead): void {
  const { authority, method, path } = head;
  if (method === '' || !allOf(method, TOKEN))
    throw new TypeError(`Cannot write method ${JSON.stringify(method)}: give a token`);
  const isPath = path.startsWith('/') || (path === '*' && method === 'OPTIONS');
  if (!isPath || path.includes('#') || !allOf(path, TARGET)) {
    throw new TypeError(
      `Cannot write path ${JSON.stringify(path)}: give visible ASCII that starts with "/" and has no "#"`,
    );
  }
  // '' is an HTTP/1.0 request without Host; the forwarder fills it.
  const defect = authority === '' && head.version === '1.0' ? null : checkHost(authority);
  if (defect !== null)
    throw new TypeError(`Cannot write authority ${JSON.stringify(authority)}: ${defect.detail}`);
  assertWritable(head.fields);
}

/**
 * Throws where a filter left something that would be read as more than one field, or as framing: a control
 * character, a character beyond latin1 (its low byte could be a line end), a name that is not a lower-case
 * token.
 */
export function assertWritable(fields: readonly string[]): void {
  for (let i = 0; i < fields.length; i += 2) {
    const name: unknown = fields[i];
    const value: unknown = fields[i + 1];
    if (typeof name !== 'string' || !isWritableName(name)) {
      throw new TypeError(
        `Cannot write field ${JSON.stringify(name)}: give a lower-case token that the codec does not write itself`,
      );
    }
    if (typeof value !== 'string' || !isWritableValue(value)) {
      throw new TypeError(
        `Cannot write field ${JSON.stringify(name)}: its value has a character that no field value has`,
      );
    }
  }
}

/** A lower-case token that the codec does not write itself. */
export function isWritableName(name: string): boolean {
  return name !== '' && allOf(name, TOKEN) && !anyOf(name, UPPER) && !CODEC_NAMES.has(name);
}

export function isWritableValue(value: string): boolean {
  return allOf(value, VALUE);
}

function allOf(text: string, bits: number): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 255 || (BYTE_CLASSES[code]! & bits) === 0) return false;
  }
  return true;
}

function anyOf(text: string, bits: number): boolean {
  for (let i = 0; i < text.length; i++) if ((BYTE_CLASSES[text.charCodeAt(i)]! & bits) !== 0) return true;
  return false;
}
