/**
 * A number of connections with one request each; every second one is closed by the peer, which was asked to, and the
 * others by the client. All of them have to be answered right and to come to their end.
 */
import { ClientConnection } from './client-connection.ts';
import type { ClientOpener } from './client-opener.ts';
import type { LoadJob, LoadResult } from './job.ts';
import { MeasuredTime } from './measured-time.ts';

/** The kernel keeps a closed pair of addresses for a minute: with several local ones it does not run out of them. */
const LOCAL_ADDRESSES = 16;

export async function runShort(job: LoadJob, opener: ClientOpener): Promise<LoadResult> {
  const time = new MeasuredTime(job);
  const done = Promise.withResolvers<void>();
  const live = new Set<ClientConnection>();
  let started = 0;
  let finished = 0;
  const startNext = (): void => {
    if (started === job.total) return;
    const isClosedByPeer = started % 2 === 1;
    const localAddress = `127.0.0.${2 + (started % LOCAL_ADDRESSES)}`;
    started += 1;
    const onClosed = (connection: ClientConnection): void => {
      live.delete(connection);
      finished += 1;
      if (finished === job.total) done.resolve();
      else startNext();
    };
    const connection = new ClientConnection(
      opener,
      {
        onOpen: (opened) => (isClosedByPeer ? opened.sendLast() : opened.send()),
        onAnswer: (answered) => {
          time.record(answered.sentAtMs, false);
          if (isClosedByPeer) answered.awaitEnd(() => onClosed(answered));
          else answered.end(() => onClosed(answered));
        },
        onFailed: (error) => {
          done.reject(
            new Error(`Connection ${started} of ${job.total} failed: ${error.message}`, { cause: error }),
          );
        },
      },
      { localAddress },
    );
    live.add(connection);
  };
  time.open();
  for (let at = 0; at < job.connections; at += 1) startNext();
  try {
    await done.promise;
    return time.close();
  } finally {
    live.forEach((connection) => connection.destroy());
  }
}
