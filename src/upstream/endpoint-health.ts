/**
 * Whether an endpoint is asked: five dials in a row that fail, refused servers included, eject it for a while that
 * grows with every time. As Envoy's outlier detection does, for connect failures alone.
 */

/** Dials that fail one after the other before an endpoint is ejected. */
export const CONSECUTIVE_CONNECT_FAILURES = 5;
/** Times the number of ejections. */
export const BASE_EJECTION_MS = 30_000;
export const MAX_EJECTION_MS = 300_000;
/** How much of a cluster may be ejected at once. */
export const MAX_EJECTED_SHARE = 0.5;

export class EndpointHealth {
  #failures = 0;
  #timesEjected = 0;
  /** 0: never, or over. */
  #ejectedUntilMs = 0;

  /** Looks at the clock only for an endpoint that was ejected. */
  isEjected(clock: () => number): boolean {
    return this.#ejectedUntilMs !== 0 && clock() < this.#ejectedUntilMs;
  }

  noteConnected(): void {
    this.#failures = 0;
  }

  /** True: one that should be ejected. */
  noteFailed(): boolean {
    this.#failures++;
    return this.#failures >= CONSECUTIVE_CONNECT_FAILURES;
  }

  /** How long, in milliseconds. */
  eject(nowMs: number): number {
    // Each base time of good conduct takes one from the count.
    const goodMs = this.#ejectedUntilMs === 0 ? 0 : Math.max(0, nowMs - this.#ejectedUntilMs);
    this.#timesEjected = Math.max(0, this.#timesEjected - Math.floor(goodMs / BASE_EJECTION_MS)) + 1;
    this.#failures = 0;
    const forMs = Math.min(BASE_EJECTION_MS * this.#timesEjected, MAX_EJECTION_MS);
    this.#ejectedUntilMs = nowMs + forMs;
    return forMs;
  }
}
