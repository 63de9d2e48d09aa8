/**
 * The measured part of a run: between its two edges answers are counted, and at each edge the CPU time of the
 * proxies is read by the process that counts, so that both mean the same moments.
 */
import { Histogram } from '../measure/histogram.ts';
import { cpuBusySeconds, cpuSeconds } from '../measure/proc.ts';
import type { LoadJob, LoadResult } from './job.ts';

interface Edge {
  readonly atMs: number;
  readonly cpuSecondsEach: readonly number[];
  readonly busySeconds: number;
  readonly loadCpuSeconds: number;
}

/** Counts nothing until `open`, and nothing after `close`. */
export class MeasuredTime {
  readonly #job: LoadJob;
  readonly #latencies = new Histogram();
  readonly #lags = new Histogram();
  #opened: Edge | null = null;
  #resumed = 0;

  constructor(job: LoadJob) {
    this.#job = job;
  }

  open(): void {
    this.#opened = this.#edge();
  }

  /** An answer whose request was sent, or was to be sent, at `sentAtMs` (performance.now()). */
  record(sentAtMs: number, wasResumed: boolean): void {
    if (this.#opened === null) return;
    this.#latencies.record((performance.now() - sentAtMs) * 1000);
    if (wasResumed) this.#resumed += 1;
  }

  /** The load came to a request this much later than it had planned. */
  recordLag(lagMs: number): void {
    if (this.#opened !== null) this.#lags.record(lagMs * 1000);
  }

  close(): LoadResult {
    const from = this.#opened;
    if (from === null) throw new Error('The measured time was closed before it was opened');
    this.#opened = null;
    const until = this.#edge();
    const each = until.cpuSecondsEach.map((seconds, at) => seconds - (from.cpuSecondsEach[at] ?? 0));
    const used = each.reduce((sum, seconds) => sum + seconds, 0);
    return {
      requests: this.#latencies.total,
      seconds: (until.atMs - from.atMs) / 1000,
      cpuSeconds: used,
      cpuSecondsEach: each,
      foreignCpuSeconds:
        this.#job.proxyCpu === null ? 0 : Math.max(0, until.busySeconds - from.busySeconds - used),
      loadCpuSeconds: until.loadCpuSeconds - from.loadCpuSeconds,
      p50Us: this.#latencies.percentile(0.5),
      p99Us: this.#latencies.percentile(0.99),
      lagP99Us: this.#lags.total === 0 ? 0 : this.#lags.percentile(0.99),
      resumed: this.#resumed,
    };
  }

  #edge(): Edge {
    const own = process.cpuUsage();
    return {
      atMs: performance.now(),
      cpuSecondsEach: this.#job.proxies.map(cpuSeconds),
      busySeconds: this.#job.proxyCpu === null ? 0 : cpuBusySeconds(this.#job.proxyCpu),
      loadCpuSeconds: (own.user + own.system) / 1e6,
    };
  }
}
