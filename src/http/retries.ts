/**
 * What is tried again, and after how long: connect failures, of which the upstream never saw a byte (Envoy's retry_on
 * `connect-failure` with its default back-off), and requests that met a connection just as it was closed for its age.
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { UpstreamFailure } from './exchange.ts';

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

/** Methods that may be sent twice (RFC 9110 §9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE']);

/** On a connection that was idle before, if nothing can have been done twice. */
export function mayRepeat(failure: UpstreamFailure, method: string): boolean {
  return (
    failure.reused &&
    !failure.answered &&
    failure.code === 'upstream_reset' &&
    (!failure.sent || IDEMPOTENT.has(method))
  );
}

/** Before the `retry`-th retry, counted from 1: fully jittered below a ceiling that doubles (Envoy's router). */
export function retryBackOffMs(retry: number, random: number = Math.random()): number {
  return random * Math.min(RETRY_BASE_MS * (2 ** retry - 1), RETRY_MAX_MS);
}

export const NOBODY: readonly string[] = [];

/** The further attempts of one request; its owner calls `end`. */
export class Retries {
  /** After attempts that could not connect. */
  connect = 0;
  /** The one after a connection that had been idle too long. */
  reused = false;
  /** Endpoints that could not be connected to. */
  avoid: readonly string[] = NOBODY;
  #timer: NodeJS.Timeout | null = null;

  /** Whether the next attempt is due later. */
  get waiting(): boolean {
    return this.#timer !== null;
  }

  /** `next` runs after the back-off, unless the request ends before. */
  backOff(failed: string, next: () => void): void {
    this.avoid = [...this.avoid, failed];
    this.connect++;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      next();
    }, retryBackOffMs(this.connect));
  }

  end(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
