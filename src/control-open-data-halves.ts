/** Chooses where the data half runs: in this thread, or `concurrency` times in workers. */
import { availableParallelism } from 'node:os';
import type { PosternConfig } from './config/postern-config.ts';
import { DataHalves } from './control-data-halves.ts';
import type { DataSettings, StartDataHalf } from './data-half.ts';
import type { Filter } from './http/filter.ts';
import type { ControlCounters } from './observe/control-counters.ts';
import type { Loggers } from './observe/loggers.ts';
import type { Readiness } from './observe/readiness.ts';
import { StartError } from './start-error.ts';

export interface OpenDataHalvesOptions {
  readonly config: PosternConfig;
  readonly loggers: Loggers;
  readonly filters: readonly Filter[];
  /** Takes the log lines of workers; absent: they go to stderr. */
  readonly writeLog?: (line: string) => void;
  readonly counters: ControlCounters;
  readonly readiness: Readiness;
}

/** What a worker did in so long is lost when it ends. */
const REPORT_INTERVAL_MS = 2_000;

/** Starts them; nothing is told to them yet. */
export async function openDataHalves(options: OpenDataHalvesOptions): Promise<DataHalves> {
  const { concurrency } = options.config;
  if (concurrency !== 1 && options.filters.length > 0) {
    const why = 'functions cannot be sent to another thread; set concurrency: 1';
    throw new StartError([`postern: Cannot run filters of the embedding program in workers: ${why}`]);
  }
  const count = concurrency === 0 ? availableParallelism() : concurrency;
  const isAlone = count === 1;
  const halves = new DataHalves({
    count,
    start: isAlone ? await inThisThread(options) : await inWorkers(options),
    reportIntervalMs: isAlone ? 0 : REPORT_INTERVAL_MS,
    counters: options.counters,
    readiness: options.readiness,
    log: options.loggers.get('main'),
  });
  halves.open();
  halves.setLevels(options.loggers.levels());
  return halves;
}

// Each is loaded where it is used: with workers this thread has no data path, alone it starts no thread.

async function inThisThread({ config, filters, loggers }: OpenDataHalvesOptions): Promise<StartDataHalf> {
  const { startDataInThread } = await import('./data-in-thread.ts');
  const settings = settingsOf(config, false);
  return (_worker, events) => startDataInThread({ settings, filters, loggers }, events);
}

async function inWorkers({ config, writeLog }: OpenDataHalvesOptions): Promise<StartDataHalf> {
  const { startDataThread } = await import('./data-thread.ts');
  const settings = settingsOf(config, true);
  const logTo = writeLog === undefined ? 'stderr' : 'parent';
  return (worker, events) => startDataThread({ worker, settings, logTo }, events, (line) => writeLog?.(line));
}

function settingsOf({ app, intercept }: PosternConfig, reusePort: boolean): DataSettings {
  const { bind, direct, inboundPort, port } = intercept;
  return { bind, port, inboundPort, direct, appHost: app.host, reusePort };
}
