/**
 * How long a long test runs: its full time by `npm run test:long`, its share of `--slice SECONDS` in CI.
 */

/** Seconds for this file; `full` where nothing limits it. A test scales its counts by `longShare`. */
export function longSeconds(full: number): number {
  const share = Number(process.env['POSTERN_LONG_SECONDS'] ?? Number.NaN);
  return Number.isFinite(share) && share > 0 ? Math.min(share, full) : full;
}

/** `count` scaled to the time given, at least `atLeast`: for tests that count rounds and not seconds. */
export function longShare(count: number, fullSeconds: number, atLeast = 1): number {
  return Math.max(atLeast, Math.round((count * longSeconds(fullSeconds)) / fullSeconds));
}
