/**
 * Durations as text: `24h`, `90s`, `250ms`, `1h30m`, `1.5s`.
 */

const UNIT_MS: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };

/** Node's timers hold no more than this; longer would fire at once. */
export const MAX_DURATION_MS = 2_147_483_647;
/** Ten years, as Istio's own root lives: nothing that we sign lives longer. */
export const MAX_LIFETIME_MS = 315_360_000_000;

/** Milliseconds, or null when the text is not a duration or longer than `maxMs`. */
export function parseDuration(text: string, maxMs: number = MAX_DURATION_MS): number | null {
  if (text === '0') return 0;
  if (text.length > 32 || !/^(?:\d+(?:\.\d+)?(?:ms|h|m|s))+$/.test(text)) return null;
  let totalMs = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|h|m|s)/g)) {
    totalMs += Number(amount) * (UNIT_MS[unit ?? ''] ?? Number.NaN);
  }
  // Parts of a millisecond mean nothing to a timer; 0.4ms is not "never".
  totalMs = Math.ceil(totalMs);
  return totalMs <= maxMs ? totalMs : null;
}

/** The shortest form of a whole number of milliseconds. */
export function formatDuration(ms: number): string {
  for (const [unit, size] of [
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1_000],
  ] as const) {
    if (ms !== 0 && ms % size === 0) return `${ms / size}${unit}`;
  }
  return ms === 0 ? '0s' : `${ms}ms`;
}
