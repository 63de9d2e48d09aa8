/** Resolves after `ms`; the load's processes end by exit, so that a pending one holds nothing. */
export function delay(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
