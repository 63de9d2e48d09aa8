/**
 * One key set over time (`istio-proxy`'s resolver does the same): fetched at once, again every 20 minutes, and after
 * a failure in longer and longer intervals. A failure never takes keys away that were fetched before.
 */
import { detach } from './core/detach.ts';
import { messageOf } from './core/errors.ts';
import type { KeySetPlan } from './core/jwt-plan.ts';
import type { KeySetText } from './filters/fetch-key-set.ts';

export const REFRESH_MS = 1_200_000;
const FIRST_RETRY_MS = 60_000;
const MAX_RETRY_MS = 3_600_000;
/** While there are no keys at all, tokens are refused: then it is tried soon again, a few times. */
const EARLY_RETRIES = 7;
const EARLY_RETRY_MS = 1_000;

export interface ControlKeySetOptions {
  readonly fetch: (plan: KeySetPlan, signal: AbortSignal) => Promise<KeySetText>;
  /** After each attempt. `changed`: the keys are other ones than before. */
  readonly onAttempt: (keySet: ControlKeySet, changed: boolean) => void;
  readonly onBug: (thrown: unknown) => void;
}

export class ControlKeySet {
  plan: KeySetPlan;
  /** null: never fetched. */
  fetched: KeySetText | null = null;
  /** 0: never. */
  fetchedAtMs = 0;
  attemptedAtMs = 0;
  /** Why the newest attempt failed; '' : it did not. */
  lastError = '';
  /** Attempts in a row that failed. */
  failures = 0;
  /** When the next attempt is due; 0: one is under way. */
  nextAtMs = 0;
  /** Settles with the first attempt, whatever came of it. */
  readonly firstAttempt: Promise<void>;
  readonly #options: ControlKeySetOptions;
  readonly #end = new AbortController();
  #timer: NodeJS.Timeout | null = null;

  constructor(plan: KeySetPlan, options: ControlKeySetOptions) {
    this.plan = plan;
    this.#options = options;
    this.firstAttempt = this.#attempt();
    detach(this.firstAttempt, options.onBug);
  }

  close(): void {
    this.#end.abort();
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  async #attempt(): Promise<void> {
    this.nextAtMs = 0;
    this.attemptedAtMs = Date.now();
    let changed = false;
    try {
      const fetched = await this.#options.fetch(this.plan, this.#end.signal);
      changed = fetched.jwks !== this.fetched?.jwks;
      this.fetched = fetched;
      this.fetchedAtMs = Date.now();
      this.lastError = '';
      this.failures = 0;
    } catch (thrown) {
      this.lastError = messageOf(thrown);
      this.failures++;
    }
    if (this.#end.signal.aborted) return;
    const delayMs = nextAttemptMs(this.failures, this.fetched !== null, Math.random());
    this.nextAtMs = Date.now() + delayMs;
    this.#timer = setTimeout(() => detach(this.#attempt(), this.#options.onBug), delayMs);
    this.#options.onAttempt(this, changed);
  }
}

/** `random`: from 0 to 1; a mesh must not ask an issuer in one moment. */
export function nextAttemptMs(failures: number, hasKeys: boolean, random: number): number {
  if (failures === 0) return REFRESH_MS * (0.9 + random * 0.1);
  if (!hasKeys && failures <= EARLY_RETRIES) return EARLY_RETRY_MS * (0.9 + random * 0.2);
  const doublings = failures - 1 - (hasKeys ? 0 : EARLY_RETRIES);
  return Math.min(FIRST_RETRY_MS * 2 ** doublings, MAX_RETRY_MS) * (0.9 + random * 0.1);
}
