/**
 * How much of a worker's time explanations may take: one walks all rules, a decision only those that could match, so
 * a flood of denials must not cost a walk each. The log writes no more lines in a window than this allows walks.
 */

const WINDOW_MS = 10_000;
/** As many as the log writes lines of one reason (`observe/line-limiter.ts`). */
const WALKS_PER_WINDOW = 100;
/** 1 % of the window, on the clock: a machine that is busy with other things spends it sooner. */
const WALK_TIME_PER_WINDOW_MS = 100;
/** So many are allowed however long they took. */
const WALKS_IN_ANY_CASE = 10;

export class ExplanationBudget {
  readonly #now: () => number;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #walks = 0;
  #spentMs = 0;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** What `walk` gives, or null when there is nothing left for this window. */
  spend<T>(walk: () => T): T | null {
    const start = this.#now();
    if (start - this.#windowStartMs >= WINDOW_MS) {
      this.#windowStartMs = start;
      this.#walks = 0;
      this.#spentMs = 0;
    }
    const isSpent = this.#walks >= WALKS_IN_ANY_CASE && this.#spentMs >= WALK_TIME_PER_WINDOW_MS;
    if (isSpent || this.#walks >= WALKS_PER_WINDOW) return null;
    this.#walks++;
    const result = walk();
    this.#spentMs += this.#now() - start;
    return result;
  }
}
