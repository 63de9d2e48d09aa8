import type { Socket } from 'node:net';
import type { LiveConnection } from './intercept/live-connections.ts';

/** Ends a connection at `limits.maxConnectionAgeMs`; 0: never. HTTP ends after the answers under way. */
export function limitAge(connection: LiveConnection, socket: Socket, maxAgeMs: number): void {
  if (maxAgeMs === 0) return;
  const timer = setTimeout(() => {
    // A tunnel has no end of its own that could be waited for.
    if (connection.phase === 'tcp') connection.owner.close('connection_too_old');
    else connection.owner.closeGracefully();
  }, maxAgeMs);
  socket.once('close', () => clearTimeout(timer));
}
