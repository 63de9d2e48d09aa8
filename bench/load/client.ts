/**
 * The load generator's process: a job as JSON on the command line, its result as one JSON line on stdout.
 * `idle` prints `{"open":N}` first and ends with its standard input. Exit 1 and one line on stderr on any error.
 */
import { createOpener } from './client-opener.ts';
import type { LoadJob } from './job.ts';
import { runLoad } from './run-load.ts';

function holdUntilInputEnds(open: number): Promise<void> {
  process.stdout.write(`${JSON.stringify({ open })}\n`);
  return new Promise((resolve) => {
    process.stdin.once('end', resolve);
    process.stdin.resume();
  });
}

const job = JSON.parse(process.argv[2] ?? '') as LoadJob;
try {
  const result = await runLoad(job, createOpener(job), () => holdUntilInputEnds(job.connections));
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
} catch (thrown) {
  process.stderr.write(`${(thrown as Error).message}\n`, () => process.exit(1));
}
