/**
 * How a data half ends: what is under way finishes, in bounded time. What came from outside ends first: the app may
 * need its own calls to answer it, so that these go on, new ones too, until nothing from outside is left.
 */
import type { LiveConnection, LiveConnections } from './intercept/live-connections.ts';

/** Whoever accepts. Both calls stop it at once. */
interface DrainedListeners {
  closeInbound(): void;
  close(): void;
}

export class Drain {
  readonly #live: LiveConnections;
  readonly #listeners: DrainedListeners;
  #ending: 'nothing' | 'inbound' | 'all' = 'nothing';
  #tunnelsEnd = false;

  constructor(live: LiveConnections, listeners: DrainedListeners) {
    this.#live = live;
    this.#listeners = listeners;
  }

  /** Whether a connection of this direction ends as soon as it can. */
  ends(direction: LiveConnection['direction']): boolean {
    return this.#ending === 'all' || (this.#ending === 'inbound' && direction === 'inbound');
  }

  /**
   * Ends what is idle, HTTP with the answers under way, tunnels after `tunnelMs`, whatever is left after `maxMs`;
   * resolves when no connection is left.
   */
  async run(tunnelMs: number, maxMs: number): Promise<void> {
    this.#ending = 'inbound';
    this.#listeners.closeInbound();
    this.#live.closeAllGracefully('inbound');
    const timers = [
      setTimeout(
        () => {
          this.#tunnelsEnd = true;
          this.#closeTunnels();
        },
        Math.min(tunnelMs, maxMs),
      ),
      setTimeout(() => {
        this.#endAll();
        this.#live.closeAll('draining');
      }, maxMs),
    ];
    await this.#live.whenNoneInbound();
    this.#endAll();
    await this.#live.whenEmpty();
    for (const timer of timers) clearTimeout(timer);
  }

  #endAll(): void {
    this.#ending = 'all';
    this.#listeners.close();
    this.#live.closeAllGracefully();
    if (this.#tunnelsEnd) this.#closeTunnels();
  }

  /** A tunnel has no end of its own that could be waited for. */
  #closeTunnels(): void {
    for (const { direction, owner, phase } of this.#live.values())
      if (phase !== 'http' && this.ends(direction)) owner.close('draining');
  }
}
