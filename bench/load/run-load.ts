/**
 * The kinds of load. Each resolves with what was counted, or rejects with the first thing that went wrong:
 * a benchmark in which one answer was missing or wrong has no figures.
 */
import type { ConnectionOptions } from 'node:tls';
import type { LoadJob, LoadMode, LoadResult } from './job.ts';
import { delay } from './delay.ts';
import { MeasuredTime } from './measured-time.ts';
import { runBulk } from './run-bulk.ts';
import { MtlsConnection } from './mtls-connection.ts';

/** How many handshakes are under way at once while the connections are opened. */
const OPENING_AT_ONCE = 8;
const MAX_WAITING = 20_000;
/** Over warm-up and measured time; a peer that hangs ends the run and not the patience. */
const GRACE_MS = 60_000;

interface Fleet {
  readonly connections: MtlsConnection[];
  destroy(): void;
}

/** Opens all connections and has one answer on each: only then was the client's certificate accepted. */
function openFleet(
  options: ConnectionOptions,
  count: number,
  onAnswer: (connection: MtlsConnection) => void,
  onFailed: (error: Error) => void,
): Promise<Fleet> {
  const connections: MtlsConnection[] = [];
  const destroy = (): void => connections.forEach((each) => each.destroy());
  return new Promise((resolve, reject) => {
    let accepted = 0;
    const isOpen = new Set<MtlsConnection>();
    const openNext = (): void => {
      if (connections.length === count) return;
      connections.push(
        new MtlsConnection(options, {
          onSecure: (connection) => connection.send(),
          onAnswer: (connection) => {
            if (isOpen.has(connection)) {
              onAnswer(connection);
              return;
            }
            isOpen.add(connection);
            accepted += 1;
            openNext();
            if (accepted === count) resolve({ connections, destroy });
          },
          onFailed: (error) => {
            reject(error);
            onFailed(error);
          },
        }),
      );
    };
    for (let started = 0; started < OPENING_AT_ONCE; started += 1) openNext();
  });
}

/** Warm-up, then the measured time; rejects when `failed` does. */
async function measure(job: LoadJob, time: MeasuredTime, failed: Promise<never>): Promise<LoadResult> {
  await Promise.race([delay(job.warmupMs), failed]);
  time.open();
  await Promise.race([delay(job.durationMs), failed]);
  return time.close();
}

async function runClosed(job: LoadJob, options: ConnectionOptions): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const onAnswer = (connection: MtlsConnection): void => {
    time.record(connection.sentAtMs, false);
    connection.send();
  };
  const fleet = await openFleet(options, job.connections, onAnswer, failure.reject);
  fleet.connections.forEach((connection) => connection.send());
  try {
    return await measure(job, time, failure.promise);
  } finally {
    fleet.destroy();
  }
}

async function runRate(job: LoadJob, options: ConnectionOptions): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const free: MtlsConnection[] = [];
  const waitingSinceMs: number[] = [];
  const onAnswer = (connection: MtlsConnection): void => {
    time.record(connection.sentAtMs, false);
    const sinceMs = waitingSinceMs.shift();
    if (sinceMs === undefined) free.push(connection);
    else connection.send(sinceMs);
  };
  const fleet = await openFleet(options, job.connections, onAnswer, failure.reject);
  free.push(...fleet.connections);
  const startMs = performance.now();
  let due = 0;
  const timer = setInterval(() => {
    const nowMs = performance.now();
    // A late timer is the load's fault: what it sends in one go counts from now, what then has to wait does too.
    for (const until = ((nowMs - startMs) / 1000) * job.ratePerSecond; due < until; due += 1) {
      const connection = free.shift();
      if (connection === undefined) waitingSinceMs.push(nowMs);
      else connection.send();
    }
    if (waitingSinceMs.length > MAX_WAITING) {
      failure.reject(new Error(`The peer cannot keep up with ${job.ratePerSecond} requests/s`));
    }
  }, 1);
  try {
    return await measure(job, time, failure.promise);
  } finally {
    clearInterval(timer);
    fleet.destroy();
  }
}

async function runHandshakes(job: LoadJob, options: ConnectionOptions): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const live = new Set<MtlsConnection>();
  let isStopping = false;
  const startNext = (ticket: Buffer | null): void => {
    if (isStopping) return;
    const startedMs = performance.now();
    const connection = new MtlsConnection(ticket === null ? options : { ...options, session: ticket }, {
      onSecure: (secured) => secured.send(startedMs),
      onAnswer: (answered) => {
        time.record(startedMs, answered.socket.isSessionReused());
        answered.end(() => {
          live.delete(answered);
          // Node's server gives no new ticket on a resumed session: the old one goes on.
          startNext(job.mode === 'resumed' ? (answered.session ?? ticket) : null);
        });
      },
      onFailed: failure.reject,
    });
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
async function runIdle(
  job: LoadJob,
  options: ConnectionOptions,
  hold: () => Promise<void>,
): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  time.open();
  const fleet = await openFleet(options, job.connections, () => undefined, failure.reject);
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
  options: ConnectionOptions,
  hold: () => Promise<void>,
): Promise<LoadResult> {
  const limit = Promise.withResolvers<never>();
  const limitMs = job.warmupMs + job.durationMs + GRACE_MS + job.connections * 10;
  const timer = setTimeout(() => limit.reject(new Error(`Load did not end within ${limitMs} ms`)), limitMs);
  const kinds: Readonly<Record<LoadMode, () => Promise<LoadResult>>> = {
    closed: () => runClosed(job, options),
    rate: () => runRate(job, options),
    full: () => runHandshakes(job, options),
    resumed: () => runHandshakes(job, options),
    idle: () => runIdle(job, options, hold),
    download: () => runBulk(job, options),
    upload: () => runBulk(job, options),
  };
  try {
    return await Promise.race([kinds[job.mode](), limit.promise]);
  } finally {
    clearTimeout(timer);
  }
}
