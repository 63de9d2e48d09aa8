/**
 * What is tried again, and after how long: connect failures only, of which the upstream never saw a byte (Envoy's
 * retry_on `connect-failure` with its default back-off).
 */
import type { ErrorCodeName } from '../core/errors.ts';

export const RETRY_BASE_MS = 25;
export const RETRY_MAX_MS = 250;

const CONNECT_FAILURES: ReadonlySet<ErrorCodeName> = new Set([
  'upstream_connect_failed',
  'upstream_connect_timeout',
  'upstream_tls_failed',
  'upstream_tls_timeout',
  'upstream_untrusted',
  'upstream_identity_mismatch',
]);

export function isConnectFailure(code: ErrorCodeName): boolean {
  return CONNECT_FAILURES.has(code);
}

/** Before the `retry`-th retry, counted from 1: fully jittered below a ceiling that doubles (Envoy's router). */
export function retryBackOffMs(retry: number, random: number = Math.random()): number {
  return random * Math.min(RETRY_BASE_MS * (2 ** retry - 1), RETRY_MAX_MS);
}
