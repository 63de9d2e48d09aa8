/** A bound on every wait of the demo, which fails with what was waited for. */

/** How long one answer or one change may take. */
export const WAIT_MS = 5_000;

/** The promise's answer; after `ms` an error that names `what`. Whoever made the promise ends what it left open. */
export async function withDeadline<T>(
  promise: Promise<T>,
  what: string,
  options: { readonly signal?: AbortSignal; readonly ms?: number } = {},
): Promise<T> {
  const { signal, ms = WAIT_MS } = options;
  const { promise: given, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms`)), ms);
  const onAbort = (): void => reject(signal?.reason);
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted === true) onAbort();
  try {
    return await Promise.race([promise, given]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}
