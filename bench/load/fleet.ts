/**
 * The connections of a load that keeps them: opened a few at a time, each with one answer, for only then was the
 * client accepted.
 */
import { ClientConnection } from './client-connection.ts';
import type { ClientOpener } from './client-opener.ts';

/** How many handshakes are under way at once while the connections are opened. */
const OPENING_AT_ONCE = 8;

export interface Fleet {
  readonly connections: readonly ClientConnection[];
  destroy(): void;
}

/** `onAnswer` is told of every answer but the first of each connection. */
export function openFleet(
  opener: ClientOpener,
  count: number,
  onAnswer: (connection: ClientConnection) => void,
  onFailed: (error: Error) => void,
): Promise<Fleet> {
  const connections: ClientConnection[] = [];
  const destroy = (): void => connections.forEach((each) => each.destroy());
  return new Promise((resolve, reject) => {
    let accepted = 0;
    const isOpen = new Set<ClientConnection>();
    const openNext = (): void => {
      if (connections.length === count) return;
      connections.push(
        new ClientConnection(opener, {
          onOpen: (connection) => connection.send(),
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
