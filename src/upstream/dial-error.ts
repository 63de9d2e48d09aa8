/** Why a dial failed: for the answer, for the access log and for whoever picks another endpoint. */
import { MeshError } from '../core/errors.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import type { ClusterCounters } from '../observe/counters.ts';

export class DialError extends MeshError {
  /** `ip:port` of whom it was tried with. */
  readonly upstreamHost: string;
  /** UPSTREAM_TRANSPORT_FAILURE_REASON in Envoy's words; '' for none. */
  readonly transportReason: string;

  constructor(
    code: ErrorCodeName,
    detail: string,
    facts: { readonly upstreamHost: string; readonly transportReason: string; readonly cause?: unknown },
  ) {
    super(code, detail, facts.cause === undefined ? {} : { cause: facts.cause });
    this.upstreamHost = facts.upstreamHost;
    this.transportReason = facts.transportReason;
  }
}

export interface DialFailure {
  readonly code: ErrorCodeName;
  readonly detail: string;
  readonly upstreamHost: string;
  readonly transportReason: string;
}

/** Counts a dial that failed and says why, for whoever asked for the connection. */
export function noteDialFailure(error: Error, counters: ClusterCounters): DialFailure {
  const failure = dialFailureOf(error);
  if (failure.code === 'upstream_connect_timeout' || failure.code === 'upstream_tls_timeout')
    counters.cxConnectTimeout++;
  counters.cxConnectFail++;
  return failure;
}

function dialFailureOf(error: Error): DialFailure {
  if (error instanceof DialError) return error;
  const code = error instanceof MeshError ? error.code : 'upstream_connect_failed';
  const detail = error instanceof MeshError ? error.detail : error.message;
  return { code, detail, upstreamHost: '', transportReason: '' };
}

/** As Envoy writes them, with `strerror`'s words. */
const CONNECT_REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'Connection_refused',
  ECONNRESET: 'Connection_reset_by_peer',
  EHOSTUNREACH: 'No_route_to_host',
  ENETUNREACH: 'Network_is_unreachable',
  ETIMEDOUT: 'Connection_timed_out',
};

/** `delayed_connect_error:_Connection_refused`; the code of an error that has no such words, '' for none. */
export function connectReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === '') return '';
  const words = Object.hasOwn(CONNECT_REASONS, code) ? CONNECT_REASONS[code] : undefined;
  return `delayed_connect_error:_${words ?? code}`;
}
