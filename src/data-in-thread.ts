/**
 * A data half in this thread. Messages are cloned both ways, so that nothing but plain values ever passes, as
 * between threads.
 */
import type { DataHalf, DataHalfEvents, DataSettings } from './data-half.ts';
import type { Filter } from './http/filter.ts';
import type { Loggers } from './observe/loggers.ts';
import { Sidecar } from './sidecar.ts';

export interface InThreadOptions {
  readonly settings: DataSettings;
  /** The embedding program's own: functions, which cannot be sent to another thread. */
  readonly filters: readonly Filter[];
  readonly loggers: Loggers;
}

export function startDataInThread(options: InThreadOptions, events: DataHalfEvents): DataHalf {
  const sidecar = new Sidecar({
    ...options.settings,
    filters: options.filters,
    loggers: options.loggers,
    send: (message) => events.onMessage(structuredClone(message)),
  });
  return {
    send: (message) => sidecar.receive(structuredClone(message)),
    end() {
      sidecar.receive({ kind: 'stop' });
      return Promise.resolve();
    },
  };
}
