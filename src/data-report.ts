/** What a data half tells of itself when it is asked: its counters and the first of its live connections. */
import { monotonicMs } from './core/clock.ts';
import type { LiveConnections } from './intercept/live-connections.ts';
import type { ConnectionReport, FromData } from './messages.ts';
import type { Counters } from './observe/counters.ts';

/** Connections shown by a report; the rest is only counted. */
const MAX_REPORTED_CONNECTIONS = 1_000;

export function makeReport(id: number, counters: Counters, live: LiveConnections): FromData {
  const connections: ConnectionReport[] = [];
  const nowMs = monotonicMs();
  for (const connection of live.values()) {
    if (connections.length === MAX_REPORTED_CONNECTIONS) break;
    connections.push({
      id: connection.id,
      direction: connection.direction,
      phase: connection.phase,
      chain: connection.chain,
      destination: connection.destination,
      remote: connection.remote,
      peer: connection.peer?.spiffeId ?? '',
      peerSerials: connection.peerSerials,
      policyGeneration: connection.policyGeneration,
      ageMs: Math.round(nowMs - connection.openedAtMs),
      requests: connection.requests,
    });
  }
  return { kind: 'report', id, report: { counters, connections, connectionCount: live.size } };
}
