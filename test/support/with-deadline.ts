/**
 * A deadline on any wait of a test: it fails with what was waited for, not with the runner's time-out.
 */

/** The promise's answer, or after `ms` an error that says what was missing; `seen` adds what came instead. */
export function withDeadline<T>(
  promise: Promise<T>,
  ms: number,
  what: string,
  seen: () => string = () => '',
): Promise<T> {
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const instead = seen();
    reject(new Error(`waited ${ms} ms for ${what}${instead === '' ? '' : `; saw instead: ${instead}`}`));
  }, ms);
  return Promise.race([promise, timedOut]).finally(() => {
    clearTimeout(timer);
  });
}
