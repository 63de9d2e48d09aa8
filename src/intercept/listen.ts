import type { Server } from 'node:net';
import { formatAddress } from '../core/address.ts';

/** Connections that the kernel holds until we accept them; it cuts this to net.core.somaxconn. */
const LISTEN_BACKLOG = 4_096;

export interface ListenOn {
  readonly bind: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Several workers share the port. */
  readonly reusePort: boolean;
}

/** Resolves with the port as bound; rejects with what cannot be listened on, why, and what `fixOf` advises. */
export function listen(server: Server, on: ListenOn, fixOf: (error: Error) => string): Promise<number> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      const where = formatAddress({ ip: on.bind, port: on.port });
      reject(new Error(`Cannot listen on "${where}": ${error.message}; ${fixOf(error)}`, { cause: error }));
    };
    server.once('error', onError);
    const { bind: host, port, reusePort } = on;
    server.listen({ host, port, backlog: LISTEN_BACKLOG, reusePort }, () => {
      server.removeListener('error', onError);
      const address = server.address();
      if (address === null || typeof address === 'string') reject(new Error('a listener has no TCP port'));
      else resolve(address.port);
    });
  });
}
