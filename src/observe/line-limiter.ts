/**
 * Bounds how many log lines one reason may write, so that whoever is refused cannot fill the disk.
 *
 * All reasons share one window. What is left out is counted by reason and reported when the window ends.
 */

/** Lines of one logger and code in one window. */
export const LOG_LINES_PER_WINDOW = 100;
export const LOG_WINDOW_MS = 10_000;
/** Reasons told apart; they come from our own code, so this is never met. */
const MAX_REASONS = 1_024;
const OTHER = 'other';

interface Reason {
  readonly logger: string;
  readonly code: string;
  lines: number;
  leftOut: number;
}

/** Called once per reason and window in which lines were left out. */
export type ReportLeftOut = (logger: string, code: string, leftOut: number) => void;

export class LineLimiter {
  readonly #report: ReportLeftOut;
  readonly #reasons = new Map<string, Reason>();
  #windowStartMs = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(report: ReportLeftOut) {
    this.#report = report;
  }

  /** Whether the line may be written. */
  take(logger: string, code: string): boolean {
    const now = performance.now();
    if (now - this.#windowStartMs >= LOG_WINDOW_MS) {
      this.#endWindow();
      this.#windowStartMs = now;
    }
    const reason = this.#reason(logger, code);
    if (reason.lines < LOG_LINES_PER_WINDOW) {
      reason.lines++;
      return true;
    }
    reason.leftOut++;
    if (this.#timer === null) {
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#endWindow();
      }, LOG_WINDOW_MS);
      this.#timer.unref();
    }
    return false;
  }

  /** Reports what is outstanding and stops the timer. */
  close(): void {
    this.#endWindow();
  }

  #endWindow(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const reasons = [...this.#reasons.values()];
    this.#reasons.clear();
    this.#windowStartMs = performance.now();
    for (const reason of reasons) {
      if (reason.leftOut > 0) this.#report(reason.logger, reason.code, reason.leftOut);
    }
  }

  #reason(logger: string, code: string): Reason {
    const key = `${logger} ${code}`;
    const known = this.#reasons.get(key);
    if (known !== undefined) return known;
    const full = this.#reasons.size >= MAX_REASONS;
    const shared = full ? this.#reasons.get(OTHER) : undefined;
    if (shared !== undefined) return shared;
    const reason: Reason = full
      ? { logger: 'main', code: OTHER, lines: 0, leftOut: 0 }
      : { logger, code, lines: 0, leftOut: 0 };
    this.#reasons.set(full ? OTHER : key, reason);
    return reason;
  }
}
