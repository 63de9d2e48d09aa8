/** A bound on every wait of the demo, which fails with what was waited for. */

/** How long one answer or one change may take. */
export const WAIT_MS = 5_000;

/** The promise's answer; after `ms` an error that names `what`. Whoever made the promise ends what it left open. */
export async function withDeadline<T>(promise: Promise<T>, what: string, ms: number = WAIT_MS): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
