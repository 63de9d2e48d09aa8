/**
 * Compiles an access-log format, Istio's defaults or MeshConfig.accessLogFormat, into a function from an entry
 * to one line. What Envoy would refuse is an error value here, so that the configuration can refuse it.
 */
import type { AccessLogEntry } from './access-log-entry.ts';
import { escapeJson, escapeText } from './access-log-escape.ts';
import { findOperator } from './access-log-operators.ts';
import type { Operator } from './access-log-operators.ts';

/** Istio's default line (istio.io, MeshConfig.accessLogFormat). */
export const DEFAULT_TEXT_FORMAT: string =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% ' +
  '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% ' +
  '"%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" ' +
  '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

/** Istio's default JSON object, in the order in which it is written. */
export const DEFAULT_JSON_FORMAT: Readonly<Record<string, string>> = {
  start_time: '%START_TIME%',
  route_name: '%ROUTE_NAME%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  response_code: '%RESPONSE_CODE%',
  response_flags: '%RESPONSE_FLAGS%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  duration: '%DURATION%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
  user_agent: '%REQ(USER-AGENT)%',
  request_id: '%REQ(X-REQUEST-ID)%',
  authority: '%REQ(:AUTHORITY)%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
};

/** One line, its newline included. */
export type FormatLine = (entry: AccessLogEntry) => string;

export type CompiledAccessLogFormat =
  | {
      readonly ok: true;
      readonly line: FormatLine;
      /** Operators that Envoy has and that are always missing here: worth a warning. */
      readonly neverFilled: readonly string[];
    }
  | { readonly ok: false; readonly error: string };

class FormatError extends Error {}

type Piece = string | ((entry: AccessLogEntry) => string);

/** `format` as MeshConfig has it: text, or for JSON the text of an object; '' for Istio's default. */
export function compileAccessLogFormat(encoding: 'TEXT' | 'JSON', format: string): CompiledAccessLogFormat {
  const neverFilled = new Set<string>();
  try {
    const pieces: Piece[] = [];
    if (encoding === 'TEXT') {
      textPieces(format === '' ? DEFAULT_TEXT_FORMAT : format, pieces, neverFilled, textPiece);
      if (!format.endsWith('\n') && format !== '') pieces.push('\n');
    } else {
      jsonPieces(format === '' ? DEFAULT_JSON_FORMAT : parseJsonFormat(format), pieces, neverFilled, 0);
      pieces.push('\n');
    }
    return { ok: true, line: join(pieces), neverFilled: [...neverFilled] };
  } catch (thrown) {
    if (thrown instanceof FormatError) return { ok: false, error: thrown.message };
    throw thrown;
  }
}

function parseJsonFormat(format: string): object {
  let value: unknown;
  try {
    value = JSON.parse(format);
  } catch {
    throw new FormatError('accessLogFormat is not JSON although accessLogEncoding is JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new FormatError('accessLogFormat is not a JSON object although accessLogEncoding is JSON');
  return value;
}

/** Literals and operators alternate, so that a line is one loop of concatenations. */
function join(pieces: readonly Piece[]): FormatLine {
  const literals: string[] = [''];
  const operators: ((entry: AccessLogEntry) => string)[] = [];
  for (const piece of pieces) {
    if (typeof piece === 'string') literals[literals.length - 1] += piece;
    else {
      operators.push(piece);
      literals.push('');
    }
  }
  return (entry) => {
    let line = literals[0]!;
    for (let i = 0; i < operators.length; i++) line += operators[i]!(entry) + literals[i + 1]!;
    return line;
  };
}

/** `%%`, or `%NAME%` with arguments and a length. */
const OPERATOR = /%(?:%|([A-Z][A-Z0-9_]*)(?:\(([^()]*)\))?(?::(\d{1,6}))?%)/y;

function textPieces(
  format: string,
  pieces: Piece[],
  neverFilled: Set<string>,
  toPiece: (operator: Operator, maxLength: number) => Piece,
): void {
  let at = 0;
  while (at < format.length) {
    const next = format.indexOf('%', at);
    if (next !== at) pieces.push(format.slice(at, next < 0 ? format.length : next));
    if (next < 0) return;
    OPERATOR.lastIndex = next;
    const match = OPERATOR.exec(format);
    if (match === null)
      throw new FormatError(
        `"${format.slice(next, next + 40)}" is not an operator; write "%%" for a percent sign`,
      );
    at = OPERATOR.lastIndex;
    const [, name, args, length] = match;
    if (name === undefined) {
      pieces.push('%');
      continue;
    }
    const operator = findOperator(name, args ?? null);
    if (operator.kind === 'error') throw new FormatError(operator.error);
    if (operator.kind === 'missing') neverFilled.add(name);
    pieces.push(toPiece(operator, length === undefined ? Number.POSITIVE_INFINITY : Number(length)));
  }
}

/** Escapes with a memory of one: names, agents and clusters repeat from line to line. */
function remembering(escape: (value: string) => string): (value: string) => string {
  let lastValue = '';
  let lastEscaped = escape('');
  return (value) => {
    if (value === lastValue) return lastEscaped;
    lastEscaped = escape(value);
    lastValue = value;
    return lastEscaped;
  };
}

/** `:0` is no limit, as in Envoy. */
function cut(get: (entry: AccessLogEntry) => string, maxLength: number): (entry: AccessLogEntry) => string {
  return maxLength === Number.POSITIVE_INFINITY || maxLength === 0
    ? get
    : (entry) => get(entry).slice(0, maxLength);
}

function textPiece(operator: Operator, maxLength: number): Piece {
  switch (operator.kind) {
    case 'number': {
      const { get } = operator;
      return cut((entry) => {
        const value = get(entry);
        return value < 0 ? '-' : String(value);
      }, maxLength);
    }
    case 'text': {
      const get = cut(operator.get, maxLength);
      if (operator.safe) return (entry) => get(entry) || '-';
      const escape = remembering((value) => (value === '' ? '-' : escapeText(value)));
      return (entry) => escape(get(entry));
    }
    case 'missing':
      return '-';
    case 'error':
      throw new FormatError(operator.error);
    default:
      return operator satisfies never;
  }
}

/** A value that is one operator keeps its type: numbers, and null for what is missing. */
function jsonPiece(operator: Operator, maxLength: number): Piece {
  switch (operator.kind) {
    case 'number': {
      const { get } = operator;
      return (entry) => {
        const value = get(entry);
        return value < 0 || !Number.isFinite(value) ? 'null' : String(value);
      };
    }
    case 'text': {
      const get = cut(operator.get, maxLength);
      const escape = remembering((value) => (value === '' ? 'null' : escapeJson(value)));
      return (entry) => escape(get(entry));
    }
    case 'missing':
      return 'null';
    case 'error':
      throw new FormatError(operator.error);
    default:
      return operator satisfies never;
  }
}

/** An operator among other text: the inside of a JSON string. */
function insideJsonString(operator: Operator, maxLength: number): Piece {
  if (operator.kind === 'missing') return '-';
  if (operator.kind !== 'text') return textPiece(operator, maxLength);
  const get = cut(operator.get, maxLength);
  const escape = remembering((value) => (value === '' ? '-' : escapeJson(value).slice(1, -1)));
  return (entry) => escape(get(entry));
}

/** How deep a format object may nest. */
const MAX_FORMAT_DEPTH = 16;

function jsonPieces(value: unknown, pieces: Piece[], neverFilled: Set<string>, depth: number): void {
  if (depth > MAX_FORMAT_DEPTH) throw new FormatError('accessLogFormat nests too deep');
  if (typeof value === 'string') {
    stringPieces(value, pieces, neverFilled);
    return;
  }
  if (typeof value !== 'object' || value === null) {
    pieces.push(JSON.stringify(value));
    return;
  }
  const isList = Array.isArray(value);
  pieces.push(isList ? '[' : '{');
  let first = true;
  for (const [key, item] of Object.entries(value)) {
    if (!first) pieces.push(',');
    first = false;
    if (!isList) pieces.push(`${JSON.stringify(key)}:`);
    jsonPieces(item, pieces, neverFilled, depth + 1);
  }
  pieces.push(isList ? ']' : '}');
}

function stringPieces(value: string, pieces: Piece[], neverFilled: Set<string>): void {
  const alone: Piece[] = [];
  textPieces(value, alone, neverFilled, jsonPiece);
  OPERATOR.lastIndex = 0;
  const whole = OPERATOR.exec(value)?.[0] === value && value !== '%%';
  if (whole) {
    pieces.push(...alone);
    return;
  }
  const inside: Piece[] = [];
  textPieces(value, inside, neverFilled, insideJsonString);
  pieces.push('"');
  for (const piece of inside)
    pieces.push(typeof piece === 'string' ? JSON.stringify(piece).slice(1, -1) : piece);
  pieces.push('"');
}
