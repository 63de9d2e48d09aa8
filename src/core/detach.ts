/** Runs a promise to its end without waiting; every rejection reaches `onError` and never the process. */
export function detach(promise: Promise<unknown>, onError: (thrown: unknown) => void): void {
  promise.catch(onError);
}
