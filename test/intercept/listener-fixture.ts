/**
 * Listeners on loopback ports that the system picks, with a record of every connection that left the room.
 */
import { LiveConnections } from '../../src/intercept/live-connections.ts';
import { openListeners } from '../../src/intercept/listener.ts';
import type { InterceptListeners, ListenerOptions } from '../../src/intercept/listener.ts';
import type {
  AcceptedConnection,
  InterceptSettings,
  RefusedConnection,
} from '../../src/intercept/arrival.ts';
import type { SniffNeed } from '../../src/intercept/sniff.ts';
import { createHostAddresses } from '../../src/intercept/host-addresses.ts';
import { withDeadline } from '../support/with-deadline.ts';

export interface FixtureOptions extends Partial<ListenerOptions> {
  readonly need?: SniffNeed;
  readonly maxConnections?: number;
  readonly sniffTimeoutMs?: number;
  readonly protocolDetectionTimeoutMs?: number;
  readonly needsSniff?: () => SniffNeed;
  /** Runs before the connection is recorded. */
  readonly onAccepted?: (accepted: AcceptedConnection) => void;
}

/** A queue that can be waited on. */
class Queue<T> {
  readonly #what: string;
  readonly #items: T[] = [];
  #wake = Promise.withResolvers<void>();

  constructor(what: string) {
    this.#what = what;
  }

  push(item: T): void {
    this.#items.push(item);
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  get length(): number {
    return this.#items.length;
  }

  async next(): Promise<T> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      await withDeadline(this.#wake.promise, 5_000, this.#what);
    }
  }
}

export class ListenerFixture implements AsyncDisposable {
  readonly accepted: Queue<AcceptedConnection> = new Queue('an accepted connection');
  readonly refused: Queue<RefusedConnection> = new Queue('a refused connection');
  readonly live: LiveConnections = new LiveConnections();
  #listeners: InterceptListeners | null = null;

  static async open(options: FixtureOptions = {}): Promise<ListenerFixture> {
    const fixture = new ListenerFixture();
    const settings: InterceptSettings = {
      limits: {
        maxConnections: options.maxConnections ?? 100,
        sniffTimeoutMs: options.sniffTimeoutMs ?? 5_000,
      },
      protocolDetectionTimeoutMs: options.protocolDetectionTimeoutMs ?? 0,
    };
    fixture.#listeners = await openListeners({
      bind: '127.0.0.1',
      port: 0,
      inboundPort: null,
      reusePort: false,
      direct: { host: '127.0.0.1', port: 8080 },
      appHost: '127.0.0.1',
      reservedPorts: new Set(),
      originalDestination: { unavailableReason: null, of: () => null },
      hostAddresses: createHostAddresses(),
      live: fixture.live,
      settings: () => settings,
      handlers: {
        needsSniff: options.needsSniff ?? (() => options.need ?? 'tls+http'),
        onAccepted(accepted) {
          options.onAccepted?.(accepted);
          fixture.accepted.push(accepted);
        },
        onRefused(refused) {
          fixture.refused.push(refused);
        },
        onClosed() {},
        onAcceptError(error) {
          throw error;
        },
      },
      ...options,
    });
    return fixture;
  }

  get listeners(): InterceptListeners {
    if (this.#listeners === null) throw new Error('the fixture is not open');
    return this.#listeners;
  }

  get port(): number {
    return this.listeners.ports.intercept;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.listeners.close();
    this.live.closeAll('draining');
    await withDeadline(this.live.whenEmpty(), 5_000, 'the last connection to leave the table');
  }
}
