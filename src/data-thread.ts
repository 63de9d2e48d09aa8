/**
 * A data half in a worker thread, as its owner has it.
 *
 * It shares nothing with this thread but the process: its sockets, its heap and its exceptions are its own.
 */
import { Worker } from 'node:worker_threads';
import { messageOf } from './core/errors.ts';
import type { DataHalf, DataHalfEvents, FromWorker, WorkerStart } from './data-half.ts';

/** How long a worker that was told to stop may take to write what it still has. */
const END_DEADLINE_MS = 3_000;

/** Beside this file, from source and compiled alike. */
const ENTRY = new URL(`./data-worker${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url);

/** `onLogLine` takes its log lines if `start.logTo` says so. */
export function startDataThread(
  start: WorkerStart,
  events: DataHalfEvents,
  onLogLine: (line: string) => void,
): DataHalf {
  const worker = new Worker(ENTRY, { workerData: start, name: `postern data half ${start.worker}` });
  const exited = Promise.withResolvers<void>();
  let isEnding = false;
  let why = '';
  worker.on('message', (message: FromWorker) => {
    if (message.kind === 'log-line') onLogLine(message.line);
    else events.onMessage(message);
  });
  worker.on('error', (thrown) => {
    why = thrown instanceof Error ? (thrown.stack ?? thrown.message) : messageOf(thrown);
  });
  worker.on('exit', (code) => {
    exited.resolve();
    if (!isEnding) events.onDied(why === '' ? `it ended with code ${code}` : why);
  });
  return {
    send: (message) => worker.postMessage(message, []),
    async end() {
      if (isEnding) return exited.promise;
      isEnding = true;
      worker.postMessage({ kind: 'stop' }, []);
      const deadline = setTimeout(() => void worker.terminate(), END_DEADLINE_MS);
      await exited.promise;
      clearTimeout(deadline);
    },
  };
}
