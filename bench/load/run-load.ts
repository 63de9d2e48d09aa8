/**
 * The kinds of load. Each resolves with what was counted, or rejects with the first thing that went wrong:
 * a benchmark in which one answer was missing or wrong has no figures.
 */
import { TLSSocket } from 'node:tls';
import { ClientConnection } from './client-connection.ts';
import type { ClientOpener } from './client-opener.ts';
import { openFleet } from './fleet.ts';
import type { LoadJob, LoadMode, LoadResult } from './job.ts';
import { measure } from './measure.ts';
import { MeasuredTime } from './measured-time.ts';
import { runBulk } from './run-bulk.ts';
import { runRate } from './run-rate.ts';
import { runShort } from './run-short.ts';

/** Over warm-up and measured time; a peer that hangs ends the run and not the patience. */
const GRACE_MS = 60_000;
/** A short connection takes less than a millisecond of either CPU. */
const SHORT_MS = 10;

async function runClosed(job: LoadJob, opener: ClientOpener): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const onAnswer = (connection: ClientConnection): void => {
    time.record(connection.sentAtMs, false);
    connection.send();
  };
  const fleet = await openFleet(opener, job.connections, onAnswer, failure.reject);
  fleet.connections.forEach((connection) => connection.send());
  try {
    return await measure(job, time, failure.promise);
  } finally {
    fleet.destroy();
  }
}

async function runHandshakes(job: LoadJob, opener: ClientOpener): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const live = new Set<ClientConnection>();
  let isStopping = false;
  const startNext = (ticket: Buffer | null): void => {
    if (isStopping) return;
    const startedMs = performance.now();
    const connection = new ClientConnection(
      opener,
      {
        onOpen: (secured) => secured.send(startedMs),
        onAnswer: (answered) => {
          const { socket } = answered;
          time.record(startedMs, socket instanceof TLSSocket && socket.isSessionReused());
          answered.end(() => {
            live.delete(answered);
            // Node's server gives no new ticket on a resumed session: the old one goes on.
            startNext(job.mode === 'resumed' ? (answered.session ?? ticket) : null);
          });
        },
        onFailed: failure.reject,
      },
      ticket === null ? {} : { session: ticket },
    );
    live.add(connection);
  };
  for (let started = 0; started < job.connections; started += 1) startNext(null);
  try {
    return await measure(job, time, failure.promise);
  } finally {
    isStopping = true;
    live.forEach((connection) => connection.destroy());
  }
}

/** Holds all connections open from `onOpen` until its promise settles; the result carries no latencies. */
async function runIdle(job: LoadJob, opener: ClientOpener, hold: () => Promise<void>): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  time.open();
  const fleet = await openFleet(opener, job.connections, () => undefined, failure.reject);
  try {
    await Promise.race([hold(), failure.promise]);
    return time.close();
  } finally {
    fleet.destroy();
  }
}

/** `hold` is for `idle` only: called when all connections are open, ends them when it settles. */
export async function runLoad(
  job: LoadJob,
  opener: ClientOpener,
  hold: () => Promise<void>,
): Promise<LoadResult> {
  const limit = Promise.withResolvers<never>();
  const limitMs = job.warmupMs + job.durationMs + GRACE_MS + (job.connections + job.total) * SHORT_MS;
  const timer = setTimeout(() => limit.reject(new Error(`Load did not end within ${limitMs} ms`)), limitMs);
  const kinds: Readonly<Record<LoadMode, () => Promise<LoadResult>>> = {
    closed: () => runClosed(job, opener),
    rate: () => runRate(job, opener),
    full: () => runHandshakes(job, opener),
    resumed: () => runHandshakes(job, opener),
    short: () => runShort(job, opener),
    idle: () => runIdle(job, opener, hold),
    download: () => runBulk(job, opener),
    upload: () => runBulk(job, opener),
  };
  try {
    return await Promise.race([kinds[job.mode](), limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}
