/**
 * A started pair: the client's sidecar and the server's, both of one peer and both on the proxies' CPU.
 */
import type { ServerCertificates } from '../certificates.ts';
import { checkPair, checkRefusals } from '../check-pair.ts';
import { checkPeer } from '../check-peer.ts';
import type { Installed, Peer } from './peer.ts';
import { startPeer } from './running-peer.ts';
import type { LoadTarget, PeerPlace, RunningPeer } from './running-peer.ts';

export interface RunningPair extends LoadTarget {
  readonly peer: Peer;
  readonly version: string;
  /** The client's sidecar. */
  readonly outbound: RunningPeer;
  /** The server's. */
  readonly inbound: RunningPeer;
  end(): Promise<void>;
}

async function startOutbound(
  peer: Peer,
  installed: Installed,
  place: PeerPlace,
  upstreamPort: number,
): Promise<RunningPeer> {
  const start = installed.startOutbound?.bind(installed);
  if (start === undefined) throw new Error(`${peer.name} has no client's sidecar`);
  const running = await startPeer(peer, installed, { ...place, upstreamPort }, start);
  return { ...running, host: `httpbin.foo:${running.port}`, isMtls: false };
}

/** Starts both and proves that they do their work. */
export async function startCheckedPair(
  peer: Peer,
  installed: Installed,
  place: PeerPlace,
): Promise<RunningPair> {
  const { certificates } = place;
  const servers: ServerCertificates = peer.pairChecks === 'DNS name' ? certificates.named : certificates.mesh;
  const whole = { ...place, servers };
  await checkRefusals(peer, certificates, servers, (port) => startOutbound(peer, installed, whole, port));
  const running: RunningPeer[] = [];
  const end = async (): Promise<void> => {
    await Promise.all(running.map((each) => each.end()));
  };
  try {
    const inbound = await startPeer(peer, installed, whole);
    running.push(inbound);
    await checkPeer(inbound, certificates, servers.roots);
    const outbound = await startOutbound(peer, installed, whole, inbound.port);
    running.push(outbound);
    const { name, version, port, host, isMtls } = outbound;
    const proxies = (): number[][] => [outbound.pids(), inbound.pids()];
    const pair = { peer, name, version, port, host, isMtls, outbound, inbound, proxies, end };
    await checkPair(pair, peer);
    return pair;
  } catch (thrown) {
    await end();
    throw thrown;
  }
}
