/**
 * A program for tests that need a process of their own (a network namespace, a limit on descriptors): opens
 * the listeners as told in one JSON argument and reports every connection as a JSON line on stdout.
 * It ends when stdin ends.
 */
import { LiveConnections } from '../../src/intercept/live-connections.ts';
import { createHostAddresses } from '../../src/intercept/host-addresses.ts';
import { openListeners } from '../../src/intercept/listener.ts';
import { createOriginalDestination } from '../../src/intercept/original-destination.ts';

export interface ProbeOptions {
  readonly bind: string;
  readonly port: number;
  readonly inboundPort: number | null;
  readonly direct: { readonly host: string; readonly port: number } | null;
  /** Accepted connections are answered `accepted\n`, then closed, or held open until the peer ends. */
  readonly hold: boolean;
}

/** One line of the report. */
export interface ProbeReport {
  readonly event: 'listening' | 'accepted' | 'refused' | 'accept-error';
  readonly [fact: string]: unknown;
}

function report(line: ProbeReport): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const options = JSON.parse(process.argv[2] ?? '{}') as ProbeOptions;
const originalDestination = createOriginalDestination();
const listeners = await openListeners({
  bind: options.bind,
  port: options.port,
  inboundPort: options.inboundPort,
  reusePort: false,
  direct: options.direct,
  appHost: '127.0.0.1',
  reservedPorts: new Set([15000]),
  originalDestination,
  hostAddresses: createHostAddresses(),
  live: new LiveConnections(),
  settings: () => ({
    limits: { maxConnections: 10_000, sniffTimeoutMs: 5_000 },
    protocolDetectionTimeoutMs: 0,
  }),
  handlers: {
    needsSniff: () => 'none',
    onAccepted({ socket, route, remote, local }) {
      report({ event: 'accepted', route, remote, local });
      socket.resume();
      socket.write('accepted\n');
      if (options.hold) socket.on('end', () => socket.end());
      else socket.end();
    },
    onRefused({ code, remote, destination, hint }) {
      report({ event: 'refused', code, remote, destination, hint });
    },
    onClosed() {},
    onAcceptError(error) {
      report({ event: 'accept-error', message: error.message });
    },
  },
});
report({
  event: 'listening',
  ports: listeners.ports,
  unavailableReason: originalDestination.unavailableReason,
});

process.stdin.resume();
process.stdin.on('end', () => {
  process.exit(0);
});
