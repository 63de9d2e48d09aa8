/**
 * Loaded into the process of every test file by `test/run.ts`.
 *
 * Once all tests are over, the process must end by itself; if it does not, it says what keeps it alive and fails.
 */
import { after } from 'node:test';

const GRACE_MS = 5_000;

after(() => {
  setTimeout(() => {
    const left = process.getActiveResourcesInfo().filter((kind) => kind !== 'PipeWrap' && kind !== 'TTYWrap');
    console.error(`the tests are over, and something still runs: ${left.join(', ')}`);
    process.exit(1);
  }, GRACE_MS).unref();
});

// A run that is stopped ends its files by SIGTERM; what they started is ended by their 'exit' listeners.
process.once('SIGTERM', () => {
  process.exit(143);
});
