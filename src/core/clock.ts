/**
 * Time for the hot path: one reading per event-loop turn is enough for deadlines and log stamps.
 */

/** Milliseconds on a clock that never jumps; only differences mean anything. */
export function monotonicMs(): number {
  return performance.now();
}

let dateSecond = -1;
let dateText = '';

/** The `date` header's value (RFC 9110 §5.6.7), made once a second. */
export function httpDate(atMs: number): string {
  const second = Math.floor(atMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}

/**
 * A deadline that is moved far more often than it fires.
 *
 * Moving it later costs one assignment: the timer finds out when it fires and sleeps on.
 * One owner ends it with `clear`.
 */
export class Deadline {
  #timer: NodeJS.Timeout | null = null;
  #timerAt = 0;
  #dueAt = 0;
  readonly #onDue: () => void;

  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  /** Due `ms` from now; replaces an earlier setting. */
  set(ms: number): void {
    const now = monotonicMs();
    this.#dueAt = now + ms;
    if (this.#timer !== null) {
      if (this.#timerAt <= this.#dueAt) return;
      clearTimeout(this.#timer);
    }
    this.#start(ms);
  }

  clear(): void {
    this.#dueAt = 0;
    if (this.#timer !== null) {
      clearTimeout(this.#timer);
      this.#timer = null;
    }
  }

  #start(ms: number): void {
    this.#timerAt = monotonicMs() + ms;
    this.#timer = setTimeout(this.#fire, ms);
  }

  readonly #fire = (): void => {
    this.#timer = null;
    if (this.#dueAt === 0) return;
    const left = this.#dueAt - monotonicMs();
    if (left > 0) {
      this.#start(left);
      return;
    }
    this.#dueAt = 0;
    this.#onDue();
  };
}
