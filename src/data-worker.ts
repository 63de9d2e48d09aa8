/**
 * The entry of a worker: one data half, its own loggers, and the port to the control half.
 *
 * An exception that nobody catches ends this thread and not the process: the control half starts another one.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { FromWorker, WorkerStart } from './data-half.ts';
import type { ToData } from './messages.ts';
import { createLoggers } from './observe/loggers.ts';
import { Sidecar } from './sidecar.ts';

const port = parentPort;
if (port === null) throw new Error('Cannot run "data-worker": it is the entry of a worker thread');

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- only `data-thread.ts` starts this
const start = workerData as WorkerStart;

function send(message: FromWorker): void {
  port!.postMessage(message, []);
}

const loggers = createLoggers({
  worker: start.worker,
  onLeftOut: () => {
    sidecar.counters.process.logLinesLeftOut++;
  },
  ...(start.logTo === 'stderr' ? {} : { write: (line: string) => send({ kind: 'log-line', line }) }),
});

const sidecar = new Sidecar({ ...start.settings, filters: [], loggers, send });

port.on('message', (message: ToData) => {
  sidecar.receive(message);
  // Without the port the thread ends by itself, once the last lines are written.
  if (message.kind === 'stop') port.close();
});
