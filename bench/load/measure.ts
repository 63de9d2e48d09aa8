/** Warm-up, then the measured time; rejects when `failed` does. */
import { delay } from './delay.ts';
import type { LoadJob, LoadResult } from './job.ts';
import type { MeasuredTime } from './measured-time.ts';

export async function measure(job: LoadJob, time: MeasuredTime, failed: Promise<never>): Promise<LoadResult> {
  await Promise.race([delay(job.warmupMs), failed]);
  time.open();
  await Promise.race([delay(job.durationMs), failed]);
  return time.close();
}
