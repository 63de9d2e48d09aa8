/** Durations as Go prints them, for the texts of Istio that hold one. */

/** Whole seconds: `2400h0m0s`, `1m30s`, `45s`. */
export function formatGoSeconds(seconds: bigint): string {
  const hours = seconds / 3600n;
  const minutes = (seconds / 60n) % 60n;
  const rest = `${seconds % 60n}s`;
  if (hours > 0n) return `${hours}h${minutes}m${rest}`;
  return minutes > 0n ? `${minutes}m${rest}` : rest;
}
