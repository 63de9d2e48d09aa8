/**
 * Envoy's command operators that this proxy can fill, and the ones it knows and cannot.
 *
 * Each is a function from an entry to a value that is not yet escaped: '' (or -1 for numbers) is missing.
 */
import { hostname } from 'node:os';
import type { AccessLogEntry } from './access-log-entry.ts';
import { sanitizeServerName, withoutSpaces } from './access-log-escape.ts';
import { compileTimeFormat, createIsoTime } from './access-log-time.ts';

export type Operator =
  /** `safe`: made by this proxy, nothing to escape. */
  | { readonly kind: 'text'; readonly safe: boolean; readonly get: (entry: AccessLogEntry) => string }
  | { readonly kind: 'number'; readonly get: (entry: AccessLogEntry) => number }
  /** Known to Envoy, never known here: always missing. */
  | { readonly kind: 'missing' }
  | { readonly kind: 'error'; readonly error: string };

type Get<T> = (entry: AccessLogEntry) => T;

const peerText = (get: Get<string>): Operator => ({ kind: 'text', safe: false, get });
const ownText = (get: Get<string>): Operator => ({ kind: 'text', safe: true, get });
const numeric = (get: Get<number>): Operator => ({ kind: 'number', get });
const MISSING: Operator = { kind: 'missing' };

function withoutPort(address: string): string {
  return address.slice(0, Math.max(0, address.lastIndexOf(':'))).replaceAll(/[[\]]/g, '');
}

function portOf(address: string): number {
  const at = address.lastIndexOf(':');
  return at < 0 ? -1 : Number(address.slice(at + 1));
}

const HOSTNAME = hostname();

const PLAIN: Readonly<Record<string, Operator>> = {
  PROTOCOL: ownText((entry) => entry.protocol),
  RESPONSE_CODE: numeric((entry) => entry.responseCode),
  RESPONSE_FLAGS: ownText((entry) => entry.responseFlags),
  RESPONSE_CODE_DETAILS: peerText((entry) => withoutSpaces(entry.responseCodeDetails)),
  CONNECTION_TERMINATION_DETAILS: peerText((entry) => withoutSpaces(entry.connectionTerminationDetails)),
  UPSTREAM_TRANSPORT_FAILURE_REASON: peerText((entry) => entry.upstreamTransportFailureReason),
  BYTES_RECEIVED: numeric((entry) => entry.bytesReceived),
  BYTES_SENT: numeric((entry) => entry.bytesSent),
  DURATION: numeric((entry) => Math.trunc(entry.durationMs)),
  UPSTREAM_HOST: ownText((entry) => entry.upstreamHost),
  UPSTREAM_REMOTE_ADDRESS: ownText((entry) => entry.upstreamHost),
  UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ownText((entry) => withoutPort(entry.upstreamHost)),
  UPSTREAM_REMOTE_PORT: numeric((entry) => portOf(entry.upstreamHost)),
  UPSTREAM_CLUSTER: peerText((entry) => entry.upstreamCluster),
  UPSTREAM_CLUSTER_RAW: peerText((entry) => entry.upstreamCluster),
  UPSTREAM_LOCAL_ADDRESS: ownText((entry) => entry.upstreamLocalAddress),
  UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ownText((entry) => withoutPort(entry.upstreamLocalAddress)),
  UPSTREAM_LOCAL_PORT: numeric((entry) => portOf(entry.upstreamLocalAddress)),
  DOWNSTREAM_LOCAL_ADDRESS: ownText((entry) => entry.downstreamLocalAddress),
  DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT: ownText((entry) => withoutPort(entry.downstreamLocalAddress)),
  DOWNSTREAM_LOCAL_PORT: numeric((entry) => portOf(entry.downstreamLocalAddress)),
  DOWNSTREAM_REMOTE_ADDRESS: ownText((entry) => entry.downstreamRemoteAddress),
  DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT: ownText((entry) => withoutPort(entry.downstreamRemoteAddress)),
  DOWNSTREAM_REMOTE_PORT: numeric((entry) => portOf(entry.downstreamRemoteAddress)),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS: ownText((entry) => entry.downstreamRemoteAddress),
  DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT: ownText((entry) =>
    withoutPort(entry.downstreamRemoteAddress),
  ),
  REQUESTED_SERVER_NAME: peerText((entry) => sanitizeServerName(entry.requestedServerName)),
  ROUTE_NAME: peerText((entry) => entry.routeName),
  DOWNSTREAM_PEER_URI_SAN: peerText((entry) => entry.peerUri),
  DOWNSTREAM_LOCAL_URI_SAN: peerText((entry) => entry.localUri),
  DOWNSTREAM_PEER_SERIAL: peerText((entry) => entry.peerSerial),
  DOWNSTREAM_TLS_VERSION: ownText((entry) => entry.tlsVersion),
  DOWNSTREAM_TLS_CIPHER: ownText((entry) => entry.tlsCipher),
  CONNECTION_ID: numeric((entry) => entry.connectionId),
  STREAM_ID: peerText((entry) => entry.requestId),
  HOSTNAME: ownText(() => HOSTNAME),
};

/** Envoy has them, a Telemetry or MeshConfig may name them, and nothing here could fill them. */
const NEVER_FILLED = new Set([
  'ACCESS_LOG_TYPE',
  'DOWNSTREAM_HANDSHAKE_DURATION',
  'DOWNSTREAM_LOCAL_SUBJECT',
  'DOWNSTREAM_PEER_CERT',
  'DOWNSTREAM_PEER_FINGERPRINT_256',
  'DOWNSTREAM_PEER_ISSUER',
  'DOWNSTREAM_PEER_SUBJECT',
  'DOWNSTREAM_TLS_SESSION_ID',
  'DOWNSTREAM_TRANSPORT_FAILURE_REASON',
  'DYNAMIC_METADATA',
  'FILTER_CHAIN_NAME',
  'FILTER_STATE',
  'GRPC_STATUS',
  'GRPC_STATUS_NUMBER',
  'METADATA',
  'REQUEST_DURATION',
  'REQUEST_TX_DURATION',
  'RESPONSE_DURATION',
  'RESPONSE_FLAGS_LONG',
  'RESPONSE_TX_DURATION',
  'TRACE_ID',
  'UNIQUE_ID',
  'UPSTREAM_CONNECTION_ID',
  'UPSTREAM_METADATA',
  'UPSTREAM_PEER_URI_SAN',
  'UPSTREAM_PROTOCOL',
  'UPSTREAM_REQUEST_ATTEMPT_COUNT',
  'UPSTREAM_TLS_CIPHER',
  'UPSTREAM_TLS_VERSION',
  'VIRTUAL_CLUSTER_NAME',
]);

/** First value of a field in a flat list; '' if absent. */
function fieldOf(fields: readonly string[], name: string): string {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1]!;
  return '';
}

/** Fields that the entry carries by themselves, so that the list need not be searched. */
function requestField(name: string): Get<string> {
  switch (name) {
    case ':method':
      return (entry) => entry.method;
    case ':path':
      return (entry) => (entry.path === '' ? entry.originalPath : entry.path);
    case ':authority':
    case 'host':
      return (entry) => entry.authority;
    case 'x-envoy-original-path':
      return (entry) => (entry.path === '' || entry.path === entry.originalPath ? '' : entry.originalPath);
    case 'user-agent':
      return (entry) => entry.userAgent || fieldOf(entry.requestFields, name);
    case 'x-request-id':
      return (entry) => entry.requestId || fieldOf(entry.requestFields, name);
    case 'x-forwarded-for':
      return (entry) => entry.xForwardedFor || fieldOf(entry.requestFields, name);
    default:
      return (entry) => fieldOf(entry.requestFields, name);
  }
}

function responseField(name: string): Get<string> {
  switch (name) {
    case ':status':
      return (entry) => (entry.responseCode === 0 ? '' : String(entry.responseCode));
    case 'x-envoy-upstream-service-time':
      return (entry) =>
        entry.upstreamServiceTimeMs < 0 ? '' : String(Math.trunc(entry.upstreamServiceTimeMs));
    default:
      return (entry) => fieldOf(entry.responseFields, name);
  }
}

/** `X?Y`: the first that is there. */
function fieldOperator(args: string, getField: (name: string) => Get<string>): Operator {
  const [main = '', alternative, ...rest] = args.toLowerCase().split('?');
  if (main === '' || alternative === '' || rest.length > 0)
    return { kind: 'error', error: `"${args}" is not NAME or NAME?ALTERNATIVE` };
  const first = getField(main);
  if (alternative === undefined) return peerText(first);
  // Istio's own pair; the entry holds its answer.
  if (main === 'x-envoy-original-path' && alternative === ':path')
    return peerText((entry) => entry.originalPath);
  const second = getField(alternative);
  return peerText((entry) => first(entry) || second(entry));
}

/** The operator of `%NAME%` (args null) or `%NAME(args)%`. */
export function findOperator(name: string, args: string | null): Operator {
  if (name === 'START_TIME' || name === 'START_TIME_LOCAL') {
    if (args === null || args === '') {
      const isoTime = createIsoTime();
      return ownText((entry) => isoTime(entry.startTimeMs));
    }
    const format = compileTimeFormat(args);
    return format.ok
      ? { kind: 'text', safe: false, get: (entry) => format.text(entry.startTimeMs) }
      : { kind: 'error', error: format.error };
  }
  if (name === 'REQ' || name === 'RESP' || name === 'TRAILER') {
    if (args === null) return { kind: 'error', error: `%${name}% needs a field name in brackets` };
    if (name === 'REQ') return fieldOperator(args, requestField);
    if (name === 'RESP') return fieldOperator(args, responseField);
    return fieldOperator(args, (field) => (entry) => fieldOf(entry.responseTrailers, field));
  }
  if (NEVER_FILLED.has(name)) return MISSING;
  const plain = Object.hasOwn(PLAIN, name) ? PLAIN[name] : undefined;
  if (plain === undefined) return { kind: 'error', error: `unknown operator "%${name}%"` };
  if (args !== null) return { kind: 'error', error: `%${name}% takes no argument` };
  return plain;
}
