/**
 * What all data halves tell of themselves, as one: counters added up, connections in one list.
 *
 * A worker that ends stays in the sum with what it told last, so that no counter goes back; what it did since
 * then, a few seconds at most, is lost.
 */
import type { ConnectionReport, DataReport } from './messages.ts';
import { Counters, sumCounters } from './observe/counters.ts';
import type { CounterValues } from './observe/counters.ts';
import { endedCounters } from './observe/ended-counters.ts';

/** A connection of one of several data halves. */
export interface ShownConnection extends Omit<ConnectionReport, 'id'> {
  /** Number of the data half; with several of them its log lines say `worker`. */
  readonly worker: number;
  /** Of one of a kind in this process: `2-17` is the connection 17 of worker 2. */
  readonly id: string;
}

export interface SummedReport {
  readonly counters: CounterValues;
  readonly connections: readonly ShownConnection[];
  readonly connectionCount: number;
}

export class DataReports {
  readonly #last = new Map<number, DataReport>();
  #ended: CounterValues = new Counters();

  take(worker: number, report: DataReport): void {
    this.#last.set(worker, report);
  }

  /** The worker has ended: its counters stay. Answers how many connections it had when it told last. */
  end(worker: number): number {
    const last = this.#last.get(worker);
    if (last === undefined) return 0;
    this.#last.delete(worker);
    this.#ended = sumCounters([this.#ended, endedCounters(last.counters)]);
    return last.connectionCount;
  }

  /** `own`: what the control half counts itself. */
  sum(own: CounterValues): SummedReport {
    const all = [...this.#last.entries()].toSorted(([a], [b]) => a - b);
    return {
      counters: sumCounters([own, this.#ended, ...all.map(([, { counters }]) => counters)]),
      connections: all.flatMap(([worker, { connections }]) =>
        connections.map(({ id, ...rest }) => ({ worker, id: `${worker}-${id}`, ...rest })),
      ),
      connectionCount: all.reduce((count, [, report]) => count + report.connectionCount, 0),
    };
  }
}
