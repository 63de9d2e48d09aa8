/** How a data half ends: a drain lets what is under way finish, in bounded time. */
import type { LiveConnections } from './intercept/live-connections.ts';

/**
 * Ends what is idle, HTTP with the answers under way, tunnels after `tunnelMs`, whatever is left after `maxMs`;
 * resolves when no connection is left.
 */
export async function drainConnections(
  live: LiveConnections,
  tunnelMs: number,
  maxMs: number,
): Promise<void> {
  live.closeAllGracefully();
  const timers = [
    setTimeout(() => closeTunnels(live), Math.min(tunnelMs, maxMs)),
    setTimeout(() => live.closeAll('draining'), maxMs),
  ];
  await live.whenEmpty();
  for (const timer of timers) clearTimeout(timer);
}

/** A tunnel has no end of its own that could be waited for. */
function closeTunnels(live: LiveConnections): void {
  for (const connection of live.values()) {
    if (connection.phase !== 'http') connection.owner.close('draining');
  }
}
