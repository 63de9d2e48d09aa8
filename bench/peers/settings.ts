/** Settings of the peers on Node, by environment: BENCH_CERTIFICATE, BENCH_KEY, BENCH_ROOTS, BENCH_OWN_URI, BENCH_APP_PORT. */
export function setting(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`Environment variable ${name} is missing`);
  return value;
}
