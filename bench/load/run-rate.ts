/**
 * A fixed number of requests a second, whatever the peer does. Latency counts from the moment at which a request was
 * to be sent: a peer that stalls is charged with every request that had to wait for it (no coordinated omission).
 */
import type { ClientConnection } from './client-connection.ts';
import type { ClientOpener } from './client-opener.ts';
import { openFleet } from './fleet.ts';
import type { LoadJob, LoadResult } from './job.ts';
import { measure } from './measure.ts';
import { MeasuredTime } from './measured-time.ts';
import { startPacer } from './pacer.ts';

const MAX_WAITING = 20_000;

export async function runRate(job: LoadJob, opener: ClientOpener): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const free: ClientConnection[] = [];
  const waitingSinceMs: number[] = [];
  const onAnswer = (connection: ClientConnection): void => {
    time.record(connection.sentAtMs, false);
    const sinceMs = waitingSinceMs.shift();
    if (sinceMs === undefined) free.push(connection);
    else connection.send(sinceMs);
  };
  const fleet = await openFleet(opener, job.connections, onAnswer, failure.reject);
  free.push(...fleet.connections);
  const pacer = startPacer(job.ratePerSecond, (dueMs) => {
    time.recordLag(performance.now() - dueMs);
    const connection = free.shift();
    if (connection !== undefined) connection.send(dueMs);
    else if (waitingSinceMs.push(dueMs) > MAX_WAITING) {
      failure.reject(new Error(`The peer cannot keep up with ${job.ratePerSecond} requests/s`));
    }
  });
  try {
    return await measure(job, time, failure.promise);
  } finally {
    pacer.stop();
    fleet.destroy();
  }
}
