/**
 * Listeners that nobody redirects to: one for the app's own calls (Sidecar.egress, captureMode NONE), one for
 * its callers (Sidecar.ingress). They come and go with the configuration: `prepare` opens what is new, and only
 * `commit` lets go of what is not wanted any more, so that a reload that fails has changed nothing.
 */
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import type { Address } from '../core/address.ts';
import { formatAddress, isLoopback } from '../core/address.ts';
import { acceptConnection } from './accept-connection.ts';
import type { InterceptCounters } from './accept-connection.ts';
import type { ArrivalContext } from './arrival.ts';
import type { AppTarget, Direction } from './direction.ts';
import type { HostAddresses } from './host-addresses.ts';
import { listen } from './listen.ts';

export interface FixedListener {
  readonly kind: 'ingress' | 'egress';
  /** Unique within its kind. */
  readonly key: string;
  readonly bind: string;
  /** 0 picks a free port. */
  readonly port: number;
  /** Of an ingress listener: what policies see, and where the app is. */
  readonly workloadPort: number;
  readonly appTarget: AppTarget | null;
}

/** Ports by the listeners' keys. */
export interface FixedPorts {
  readonly ingress: Readonly<Record<string, number>>;
  readonly egress: Readonly<Record<string, number>>;
}

export interface PreparedListeners {
  readonly ports: FixedPorts;
  /** The new set is in force. */
  commit(): void;
  /** What was opened for it is closed again. */
  rollback(): void;
}

interface OpenListener {
  readonly server: Server;
  readonly port: number;
  wanted: FixedListener;
}

export class FixedListeners {
  readonly #context: ArrivalContext;
  readonly #reusePort: boolean;
  readonly #counters: InterceptCounters = { arrived: 0, vanished: 0, acceptErrors: 0 };
  #open: readonly OpenListener[] = [];

  constructor(context: ArrivalContext, reusePort: boolean) {
    this.#context = context;
    this.#reusePort = reusePort;
  }

  /** `bound`: ports that another worker has got already. Rejects with the reason, and then nothing is left open. */
  async prepare(wanted: readonly FixedListener[], bound: FixedPorts | null): Promise<PreparedListeners> {
    const next: OpenListener[] = [];
    const opened: OpenListener[] = [];
    try {
      for (const listener of wanted) {
        const kept = this.#open.find((open) => isSameAddress(open.wanted, listener) && !next.includes(open));
        const open = kept ?? (await this.#listen(listener, bound?.[listener.kind][listener.key]));
        if (kept === undefined) opened.push(open);
        next.push(open);
      }
    } catch (thrown) {
      for (const { server } of opened) server.close();
      throw thrown;
    }
    const ports = { ingress: portsOf('ingress', wanted, next), egress: portsOf('egress', wanted, next) };
    return {
      ports,
      commit: () => {
        for (const [index, open] of next.entries()) open.wanted = wanted[index]!;
        for (const open of this.#open) if (!next.includes(open)) open.server.close();
        this.#open = next;
      },
      rollback: () => {
        for (const { server } of opened) server.close();
      },
    };
  }

  /** Whether a connection to there would come back as a call of the app. */
  isEgress(host: string, port: number, hostAddresses: HostAddresses): boolean {
    return this.#open.some(
      ({ port: bound, wanted: { bind, kind } }) =>
        kind === 'egress' && bound === port && isBoundTo(bind, host, hostAddresses),
    );
  }

  /** Stops accepting what comes from outside, at once. */
  closeInbound(): void {
    for (const { server, wanted } of this.#open) if (wanted.kind === 'ingress') server.close();
    this.#open = this.#open.filter(({ wanted }) => wanted.kind === 'egress');
  }

  /** Stops accepting, at once; accepted connections live on. */
  close(): void {
    for (const { server } of this.#open) server.close();
    this.#open = [];
  }

  async #listen(wanted: FixedListener, boundPort: number | undefined): Promise<OpenListener> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket: Socket) => {
      acceptConnection(socket, (_, local) => directionOf(open.wanted, local), this.#context, this.#counters);
    });
    const on = { bind: wanted.bind, port: boundPort ?? wanted.port, reusePort: this.#reusePort };
    const port = await listen(
      server,
      on,
      () => `free the port, or change port or bind of this Sidecar.${wanted.kind} listener`,
    );
    server.on('error', (error) => {
      this.#counters.acceptErrors++;
      this.#context.handlers.onAcceptError(error);
    });
    const open: OpenListener = { server, port, wanted };
    return open;
  }
}

function isBoundTo(bind: string, host: string, hostAddresses: HostAddresses): boolean {
  const isLocal = host === 'localhost' || isLoopback(host);
  if (bind === '0.0.0.0' || bind === '::') return isLocal || hostAddresses.has(host);
  return bind === host || (host === 'localhost' && isLoopback(bind));
}

/** The same socket serves both; a free port is one of its key. */
function isSameAddress(a: FixedListener, b: FixedListener): boolean {
  if (a.bind !== b.bind || a.port !== b.port) return false;
  return a.port !== 0 || (a.kind === b.kind && a.key === b.key);
}

function portsOf(
  kind: FixedListener['kind'],
  wanted: readonly FixedListener[],
  open: readonly OpenListener[],
): Record<string, number> {
  const ports: Record<string, number> = {};
  for (const [index, listener] of wanted.entries())
    if (listener.kind === kind) ports[listener.key] = open[index]!.port;
  return ports;
}

function directionOf(listener: FixedListener, local: Address): Direction {
  if (listener.kind === 'egress') return { kind: 'outbound', destination: local, listener: listener.key };
  const { appTarget, workloadPort } = listener;
  if (appTarget === null) throw new Error(`the ingress listener ${formatAddress(local)} has no app`);
  return {
    kind: 'inbound',
    destination: { ip: local.ip, port: workloadPort },
    appTarget,
    direct: true,
  };
}
