/**
 * The only writer of our own answers: what a client sees when the request is refused or fails here.
 *
 * It says what Envoy would say and no more; codes, policies and reasons go to the logs.
 */
import { httpDate } from '../core/clock.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import { ERROR_CODES } from '../core/errors.ts';
import type { ResponseHead } from './exchange.ts';
import { getField } from './fields.ts';
import type { Deny } from './filter.ts';
import { phraseOf } from './status-phrases.ts';
import type { TurnWriter } from './turn-writer.ts';
import { writeResponseHead } from './write-head.ts';

export interface LocalResponse {
  readonly head: ResponseHead;
  readonly body: Buffer;
}

/** The name that Istio gives to the server of inbound answers. */
export const SERVER_NAME = 'istio-envoy';

const RESET_REASONS: Partial<Record<ErrorCodeName, string>> = {
  upstream_connect_failed: 'remote connection failure',
  upstream_connect_timeout: 'connection timeout',
  upstream_reset: 'connection termination',
  upstream_protocol_error: 'protocol error',
};

/** `upstream_reset_before_response_started{…}` as Envoy puts it in RESPONSE_CODE_DETAILS; else the code. */
export function detailsOf(code: ErrorCodeName): string {
  const reason = RESET_REASONS[code];
  if (reason !== undefined) return `upstream_reset_before_response_started{${reason.replaceAll(' ', '_')}}`;
  if (code === 'connect_refused') return 'route_not_found';
  return code;
}

function bodyOf(code: ErrorCodeName, status: number): string {
  const reason = RESET_REASONS[code];
  if (reason !== undefined) {
    return `upstream connect error or disconnect/reset before headers. reset reason: ${reason}`;
  }
  if (code === 'upgrade_refused' || code === 'connect_refused') return '';
  return code === 'upstream_stalled' ? 'upstream request timeout' : phraseOf(status);
}

/** The answer for a code that has a status. */
export function errorResponse(code: ErrorCodeName): LocalResponse {
  const status = ERROR_CODES[code].status;
  return localResponse(status, bodyOf(code, status), []);
}

/** The answer for a filter's denial. A gRPC call gets the code as trailers-only (Envoy's local reply mapping). */
export function denyResponse(deny: Deny, requestFields: readonly string[]): LocalResponse {
  if (!isGrpc(requestFields)) return localResponse(deny.status, deny.body, deny.headers);
  const fields = ['content-type', 'application/grpc', 'grpc-status', String(grpcStatus(deny.status))];
  if (deny.body !== '') fields.push('grpc-message', encodeGrpcMessage(deny.body));
  fields.push(...deny.headers, 'date', httpDate(Date.now()), 'server', SERVER_NAME);
  return { head: { status: 200, reason: '', fields, bodyLength: 0 }, body: Buffer.alloc(0) };
}

function localResponse(status: number, text: string, headers: readonly string[]): LocalResponse {
  const body = Buffer.from(text);
  const fields: string[] = [];
  if (body.length > 0 && getField(headers, 'content-type') === undefined)
    fields.push('content-type', 'text/plain');
  fields.push(...headers, 'date', httpDate(Date.now()), 'server', SERVER_NAME);
  return { head: { status, reason: '', fields, bodyLength: body.length }, body };
}

/** Writes the answer for a request that never became an exchange, or never will be answered by one. */
export function writeError(writer: TurnWriter, code: ErrorCodeName, method: string): void {
  const { head, body } = errorResponse(code);
  writer.writeText(writeResponseHead(head, 'length', 'close'));
  if (body.length > 0 && method !== 'HEAD') writer.writeBytes(body);
}

function isGrpc(fields: readonly string[]): boolean {
  const type = getField(fields, 'content-type');
  if (type === undefined || !type.startsWith('application/grpc')) return false;
  const next = type.charCodeAt('application/grpc'.length);
  return Number.isNaN(next) || next === 0x2b || next === 0x3b;
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
function encodeGrpcMessage(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
