/**
 * Before a pair is timed: the app's answer comes through both sidecars, the app sees whose sidecar asked and not what
 * the client made up, and the client's sidecar speaks to nobody but the server that it means.
 */
import { connect } from 'node:net';
import { CLIENT_URI } from './certificates.ts';
import type { Certificates, ServerCertificates } from './certificates.ts';
import { ask, clientUriSeenByApp, isRefusal } from './check-peer.ts';
import type { Answer } from './check-peer.ts';
import { Impostor } from './impostor.ts';
import { answerBody } from './load/answer.ts';
import type { Peer } from './peers/peer.ts';
import type { LoadTarget } from './peers/running-peer.ts';

const MADE_UP = 'spiffe://cluster.local/ns/foo/sa/made-up';

function unfit(name: string, what: string): Error {
  return new Error(`The pair of ${name} is not fit to be measured: ${what}`);
}

function askApp({ port, host }: LoadTarget, path: string, fields: string = ''): Promise<Answer | null> {
  return ask(connect(port, '127.0.0.1'), path, host, fields);
}

/** Throws with the first thing that is not as it must be. */
export async function checkPair(pair: LoadTarget, peer: Peer): Promise<void> {
  const answer = await askApp(pair, '/bench');
  if (answer?.status !== 200)
    throw unfit(peer.name, `the client got ${answer?.status ?? 'no answer'}, not 200`);
  if (!answer.body.equals(answerBody())) throw unfit(peer.name, "the client got other bytes than the app's");

  const headers = await askApp(pair, '/headers', `x-forwarded-client-cert: URI=${MADE_UP}\r\n`);
  const head = headers?.body.toString('latin1') ?? '';
  if (!head.startsWith('GET /headers')) throw unfit(peer.name, 'the app did not see the request');
  const seen = clientUriSeenByApp(head);
  const wanted = peer.pairChecks === 'SPIFFE ID' ? CLIENT_URI : undefined;
  if (seen !== wanted) {
    throw unfit(peer.name, `the app saw the client as "${seen ?? 'nobody'}", not "${wanted ?? 'nobody'}"`);
  }
  if (head.includes(MADE_UP)) throw unfit(peer.name, 'the app saw an identity that the client made up');
}

/**
 * A client's sidecar alone, before a server that shows one certificate after the other: `start` starts it towards
 * that server's port and answers what to ask and how to end it.
 */
export async function checkRefusals(
  peer: Peer,
  certificates: Certificates,
  servers: ServerCertificates,
  start: (upstreamPort: number) => Promise<LoadTarget & { end(): Promise<void> }>,
): Promise<void> {
  const impostor = await Impostor.start(servers.server, certificates.roots);
  const sidecar = await start(impostor.port).catch(async (thrown: unknown) => {
    await impostor.end();
    throw thrown;
  });
  try {
    const right = await askApp(sidecar, '/bench');
    if (right?.status !== 200 || impostor.requests !== 1) {
      throw unfit(peer.name, `it did not speak to the right server: ${right?.status ?? 'no answer'}`);
    }
    for (const [what, certificate] of [
      ['with the identity of another workload', servers.other],
      ["with the right name from another mesh's CA", servers.foreign],
    ] as const) {
      impostor.show(certificate, certificates.roots);
      const answer = await askApp(sidecar, '/bench');
      if (impostor.requests > 0) throw unfit(peer.name, `it sent the request to a server ${what}`);
      if (!isRefusal(answer)) throw unfit(peer.name, `it answered for a server ${what}`);
      // A refusal for another reason would prove nothing.
      if (impostor.connections === 0) throw unfit(peer.name, `it never looked at a server ${what}`);
    }
  } finally {
    await sidecar.end();
    await impostor.end();
  }
}
