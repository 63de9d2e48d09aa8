/**
 * The only writer of our own answers: what a client sees when the request is refused or fails here.
 *
 * It says what Envoy would say and no more; codes, policies and reasons go to the logs.
 */
import { httpDate } from '../core/clock.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import { ERROR_CODES } from '../core/errors.ts';
import type { ResponseHead } from './exchange.ts';
import { getField, removeField } from './fields.ts';
import type { Deny } from './filter.ts';
import { phraseOf } from './status-phrases.ts';
import type { TurnWriter } from './turn-writer.ts';
import { writeResponseHead } from './write-head.ts';

export interface LocalResponse {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

/** The name that Istio gives to the server of inbound answers, and of what no route answers. */
export const SERVER_NAME = 'istio-envoy';

/** Envoy's reset reasons; no other upstream failure has one. */
const RESET_REASONS: Partial<Record<ErrorCodeName, string>> = {
  upstream_connect_failed: 'remote connection failure',
  upstream_connect_timeout: 'connection timeout',
  upstream_tls_failed: 'remote connection failure',
  upstream_tls_timeout: 'connection timeout',
  upstream_untrusted: 'remote connection failure',
  upstream_identity_mismatch: 'remote connection failure',
  upstream_reset: 'connection termination',
  upstream_protocol_error: 'protocol error',
};

/**
 * RESPONSE_CODE_DETAILS as Envoy 1.40 puts it: `upstream_reset_before_response_started{reset reason|transport
 * reason}`; else the code.
 */
export function detailsOf(code: ErrorCodeName, transportReason = ''): string {
  const reason = RESET_REASONS[code];
  if (reason !== undefined) {
    const more = transportReason === '' ? '' : `|${transportReason}`;
    return `upstream_reset_before_response_started{${reason.replaceAll(' ', '_')}${more}}`;
  }
  if (code === 'connect_refused') return 'route_not_found';
  // What Istio's BlackHole route is.
  return code === 'unknown_destination' ? 'direct_response' : code;
}

/** Why TLS failed is in the logs only: Envoy 1.40 tells a client no more than this either. */
function bodyOf(code: ErrorCodeName, status: number, retried: boolean): string {
  const reason = RESET_REASONS[code];
  if (reason !== undefined) {
    const which = retried ? 'retried and the latest reset reason' : 'reset reason';
    return `upstream connect error or disconnect/reset before headers. ${which}: ${reason}`;
  }
  return BODIES[code] ?? phraseOf(status);
}

/** Where it is neither Envoy's reset text nor the phrase of the status. */
const BODIES: Partial<Record<ErrorCodeName, string>> = {
  upgrade_refused: '',
  connect_refused: '',
  unknown_destination: '',
  no_healthy_upstream: 'no healthy upstream',
  upstream_stalled: 'upstream request timeout',
};

/** The answer for a code that has a status. `retried`: the upstream was tried more than once. */
export function errorResponse(
  code: ErrorCodeName,
  retried = false,
  serverName: string = SERVER_NAME,
): LocalResponse {
  const status = ERROR_CODES[code].status;
  return localResponse(status, bodyOf(code, status, retried), [], serverName);
}

/** The answer for a filter's denial. A gRPC call gets the code as trailers-only (Envoy's local reply mapping). */
export function denyResponse(
  deny: Deny,
  requestFields: readonly string[],
  serverName: string = SERVER_NAME,
): LocalResponse {
  if (!isGrpc(requestFields)) return localResponse(deny.status, deny.body, deny.headers, serverName);
  const headers = [...deny.headers];
  removeField(headers, 'content-type');
  const fields = ['content-type', 'application/grpc'];
  // A denial may come with a status of its own, and once is enough.
  const stated = getField(headers, 'grpc-status');
  if (stated === undefined) fields.push('grpc-status', String(grpcStatus(deny.status)));
  if (deny.body.length > 0) {
    removeField(headers, 'grpc-message');
    fields.push('grpc-message', encodeGrpcMessage(deny.body));
  }
  pushWithDate(fields, headers, serverName);
  return { head: { status: 200, reason: '', fields, bodyLength: 0 }, body: Buffer.alloc(0) };
}

function localResponse(
  status: number,
  content: string | Buffer,
  headers: readonly string[],
  serverName: string,
): LocalResponse {
  const body = typeof content === 'string' ? Buffer.from(content) : content;
  const fields: string[] = [];
  if (body.length > 0 && getField(headers, 'content-type') === undefined)
    fields.push('content-type', 'text/plain');
  pushWithDate(fields, headers, serverName);
  const head = { status, reason: '', fields, bodyLength: body.length };
  // HEAD is told how long the body would be, as Envoy does.
  return { head: body.length === 0 ? head : { ...head, statedLength: body.length }, body };
}

function pushWithDate(fields: string[], headers: readonly string[], serverName: string): void {
  fields.push(...headers);
  if (getField(headers, 'date') === undefined) fields.push('date', httpDate(Date.now()));
  fields.push('server', serverName);
}

/** Writes the answer for a request that never became an exchange, or never will be answered by one. */
export function writeError(writer: TurnWriter, code: ErrorCodeName, method: string): void {
  const { head, body } = errorResponse(code);
  writer.writeText(writeResponseHead(head, 'length', 'close'));
  if (body.length > 0 && method !== 'HEAD') writer.writeBytes(body);
}

/** As Envoy 1.40 tells it: parameters behind a semicolon make it none. */
function isGrpc(fields: readonly string[]): boolean {
  const type = getField(fields, 'content-type');
  return type === 'application/grpc' || type?.startsWith('application/grpc+') === true;
}

/** Envoy's Grpc::Utility::httpToGrpcStatus. */
function grpcStatus(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** Percent-encoding of the gRPC-over-HTTP/2 specification: visible ASCII without `%` stays. */
function encodeGrpcMessage(text: string | Buffer): string {
  let out = '';
  for (const byte of typeof text === 'string' ? Buffer.from(text) : text) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
