/**
 * Bulk load: a few connections that send or receive as fast as they can for the measured time.
 */
import type { Socket } from 'node:net';
import type { ClientOpener } from './client-opener.ts';
import type { LoadJob, LoadResult } from './job.ts';
import { delay } from './delay.ts';
import { MeasuredTime } from './measured-time.ts';
import { PatternCheck, writeEndlessly } from './stream-pattern.ts';

interface Stream {
  readonly socket: Socket;
  /** So far: received and right, or written and taken by the kernel. */
  bytes(): number;
}

function openStream(job: LoadJob, opener: ClientOpener, onFailed: (error: Error) => void): Promise<Stream> {
  const check = new PatternCheck();
  const socket = opener.open({});
  const isDownload = job.mode === 'download';
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      reject(error);
      onFailed(error);
    };
    socket.on('error', fail);
    socket.on('close', () => fail(new Error('The peer closed a stream that was in use')));
    socket.on('data', (chunk: Buffer) => {
      try {
        check.push(chunk);
      } catch (thrown) {
        fail(thrown as Error);
      }
    });
    socket.once(opener.openEvent, () => {
      socket.write(isDownload ? 'D' : 'U');
      if (!isDownload) writeEndlessly(socket);
      const bytes = (): number => (isDownload ? check.received : socket.bytesWritten - socket.writableLength);
      resolve({ socket, bytes });
    });
  });
}

/** `requests` of the result is the number of bytes. */
export async function runBulk(job: LoadJob, opener: ClientOpener): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const opened = Array.from({ length: job.connections }, () => openStream(job, opener, failure.reject));
  const streams = await Promise.all(opened);
  const sum = (): number => streams.reduce((total, each) => total + each.bytes(), 0);
  try {
    await Promise.race([delay(job.warmupMs), failure.promise]);
    const before = sum();
    time.open();
    await Promise.race([delay(job.durationMs), failure.promise]);
    const result = time.close();
    return { ...result, requests: sum() - before };
  } finally {
    for (const { socket } of streams) socket.removeAllListeners('close').destroy();
  }
}
