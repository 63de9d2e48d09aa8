/** Calls a URL and prints status and body; exits with 1 if no answer comes, or none below 400. */
const TIMEOUT_MS = 10_000;
const url = process.argv[2] ?? 'http://httpbin.foo:8000/headers';

try {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  process.stdout.write(`${response.status} ${response.statusText}\n${await response.text()}`);
  process.exitCode = response.ok ? 0 : 1;
} catch (thrown) {
  // Of fetch itself the message is "fetch failed"; the cause says why.
  const why = thrown instanceof Error ? (thrown.cause ?? thrown) : thrown;
  process.stderr.write(`no answer from ${url}: ${String(why)}\n`);
  process.exitCode = 1;
}
