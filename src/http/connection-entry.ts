import type { AccessLogEntry } from '../observe/access-log-entry.ts';
import type { ConnectionFacts } from './filter.ts';

/** What a connection gives to every access-log line of it; addresses as text, made once a connection. */
export interface ConnectionEntryFacts {
  readonly facts: ConnectionFacts;
  readonly tlsCipher: string;
  readonly ownSpiffeId: string;
}

/** Fills what all lines of one connection have in common, HTTP or TCP. */
export function noteConnection(
  entry: AccessLogEntry,
  connection: ConnectionEntryFacts,
  localAddress: string,
  remoteAddress: string,
): void {
  const { facts, ownSpiffeId, tlsCipher } = connection;
  entry.downstreamLocalAddress = localAddress;
  entry.downstreamRemoteAddress = remoteAddress;
  entry.requestedServerName = facts.sni;
  entry.connectionId = facts.id;
  entry.tlsVersion = facts.tlsVersion;
  entry.tlsCipher = tlsCipher;
  if (facts.peer === null) return;
  entry.peerUri = facts.peer.spiffeId;
  entry.peerSerial = facts.peer.serial;
  entry.localUri = ownSpiffeId;
}
