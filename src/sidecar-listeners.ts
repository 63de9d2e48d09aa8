/**
 * All listeners of a data half: those that take redirected connections, open from `listen` to the end, and those
 * of the configuration, which come and go with snapshots.
 */
import { FixedListeners } from './intercept/fixed-listeners.ts';
import type { FixedListener, FixedPorts, PreparedListeners } from './intercept/fixed-listeners.ts';
import { createHostAddresses } from './intercept/host-addresses.ts';
import { openListeners } from './intercept/listener.ts';
import type { InterceptListeners } from './intercept/listener.ts';
import type { ArrivalContext } from './intercept/arrival.ts';
import { createOriginalDestination } from './intercept/original-destination.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { BoundPorts } from './messages.ts';
import type { SidecarOptions } from './sidecar-options.ts';

const NO_PORTS: FixedPorts = { ingress: {}, egress: {} };

export class SidecarListeners {
  readonly #options: SidecarOptions;
  readonly #context: ArrivalContext;
  readonly #fixed: FixedListeners;
  readonly #reserved = new Set<number>();
  readonly #hostAddresses = createHostAddresses();
  #intercept: InterceptListeners | null = null;
  #fixedPorts = NO_PORTS;

  constructor(options: SidecarOptions, context: ArrivalContext) {
    this.#options = options;
    this.#context = context;
    this.#fixed = new FixedListeners(context, options.reusePort);
  }

  /** null before `open`. */
  get ports(): BoundPorts | null {
    return this.#intercept === null ? null : { ...this.#intercept.ports, ...this.#fixedPorts };
  }

  /** Opens all or none. `bound`: what another worker has got already. */
  async open(
    snapshot: Snapshot,
    reservedPorts: readonly number[],
    bound: BoundPorts | null,
  ): Promise<BoundPorts> {
    const { appHost, bind, direct, inboundPort, port, reusePort } = this.#options;
    for (const reserved of reservedPorts) this.#reserved.add(reserved);
    const { handlers, live, settings } = this.#context;
    const prepared = await this.#fixed.prepare(listenersOf(snapshot), bound);
    try {
      this.#intercept = await openListeners({
        bind,
        port: bound?.intercept ?? port,
        inboundPort: bound?.inbound ?? inboundPort,
        reusePort,
        direct,
        appHost,
        reservedPorts: this.#reserved,
        originalDestination: createOriginalDestination(),
        hostAddresses: this.#hostAddresses,
        live,
        settings,
        handlers,
      });
    } catch (thrown) {
      prepared.rollback();
      throw thrown;
    }
    this.#commit(prepared);
    return { ...this.#intercept.ports, ...this.#fixedPorts };
  }

  /** Opens what a new snapshot adds; null before `open`. Rejects, and then nothing has changed. */
  async prepare(snapshot: Snapshot, bound: BoundPorts | null): Promise<PreparedListeners | null> {
    if (this.#intercept === null) return null;
    const prepared = await this.#fixed.prepare(listenersOf(snapshot), bound);
    return { ...prepared, commit: () => this.#commit(prepared) };
  }

  /** Whether what is dialled there would come back as a call of the app, and so on without end. */
  isEgress(host: string, port: number): boolean {
    return this.#fixed.isEgress(host, port, this.#hostAddresses);
  }

  /** Stops accepting what comes from outside, at once. */
  closeInbound(): void {
    this.#intercept?.closeInbound();
    this.#fixed.closeInbound();
  }

  /** Stops accepting, at once. */
  close(): void {
    this.#intercept?.close();
    this.#fixed.close();
  }

  #commit(prepared: PreparedListeners): void {
    prepared.commit();
    this.#fixedPorts = prepared.ports;
  }
}

function listenersOf({ inbound, outbound }: Snapshot): FixedListener[] {
  return [
    ...inbound.listeners.map((plan): FixedListener => ({ ...plan, kind: 'ingress' })),
    ...outbound.listeners.map(({ key, bind, port }): FixedListener => {
      return { kind: 'egress', key, bind, port, workloadPort: 0, appTarget: null };
    }),
  ];
}
