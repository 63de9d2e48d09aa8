/** The thread of a pacer: sleeps to each moment and says so. It never ends by itself. */
import { parentPort, workerData } from 'node:worker_threads';
import type { PacerData } from './pacer.ts';

const { periodMs, startHrMs } = workerData as PacerData;
/** Nobody ever wakes it: the wait is the sleep, and unlike a timer it knows fractions of a millisecond. */
const cell = new Int32Array(new SharedArrayBuffer(4));

if (parentPort === null) throw new Error('This is the thread of a pacer: startPacer starts it');
const port = parentPort;
for (let due = 0; ;) {
  const waitMs = startHrMs + due * periodMs - Number(process.hrtime.bigint()) / 1e6;
  if (waitMs > 0) Atomics.wait(cell, 0, 0, waitMs);
  else {
    port.postMessage(null);
    due += 1;
  }
}
