/**
 * The only way from a finished handshake to a server of the mesh: it runs on full and on resumed sessions, and again
 * when trust changes. A valid SVID, a chain to a root of its own trust domain, and one of the identities that the
 * service is known by (X.509-SVID §4–5; threats: a valid neighbour that answers in the place of the service).
 */
import type { X509Certificate } from 'node:crypto';
import type tls from 'node:tls';
import type { PeerIdentity } from '../core/peer-identity.ts';
import { chainEndsInBundle } from '../svid/chain.ts';
import { checkSvid, isSvidProblem } from '../svid/check-svid.ts';
import type { SvidFacts } from '../svid/check-svid.ts';
import { FOLLOWED_LIFETIME_MS, unverified } from './accept-peer.ts';
import type { Refusal } from './handshake-failure.ts';
import {
  foreignChain,
  foreignTrustDomain,
  NO_SERVER_CERTIFICATE,
  notAnSvid,
  outdatedCertificate,
} from './peer-refusals.ts';
import type { ServerCertificates } from './server-certificates.ts';
import type { TrustView } from './trust-view.ts';

/** How many identities a hint names. */
const MAX_NAMED = 4;

/** What the library says of a full handshake: null is good. */
export function refuseUnverified(
  socket: tls.TLSSocket,
  certificate: X509Certificate | undefined,
  trust: TrustView,
  nowMs: number,
): Refusal | null {
  if (certificate === undefined) return upstreamRefusal(NO_SERVER_CERTIFICATE);
  if (socket.authorized) return null;
  // Typed as an Error, and a code in fact.
  return upstreamRefusal(unverified(certificate, String(socket.authorizationError), trust, nowMs, 'server'));
}

export interface AcceptedServer {
  readonly ok: true;
  readonly peer: PeerIdentity;
}

export interface RefusedServer {
  readonly ok: false;
  readonly refusal: Refusal;
}

/**
 * `wanted`: SANs of which the server must have one, exactly; empty: any member of the mesh. `proven`: the library
 * verified against exactly the roots of `trust`, and every trust domain in it has these roots.
 */
export function acceptServer(
  server: ServerCertificates,
  wanted: readonly string[],
  trust: TrustView,
  proven: boolean,
  nowMs: number,
): AcceptedServer | RefusedServer {
  const der = server.leaf.raw;
  const svid = checkSvid(der, nowMs, 'server');
  if (isSvidProblem(svid)) return refused(notAnSvid(svid, 'server'));
  if (!trust.trusts(svid.trustDomain)) return refused(foreignTrustDomain(svid, trust, 'server'));
  if (server.notAfterMs <= nowMs)
    return refused(outdatedCertificate('expired', server.notAfterMs, true, 'server'));
  const remembered = trust.recall(svid.hash);
  const followedAtMs = remembered?.followedAtMs ?? 0;
  if (!proven && Math.abs(nowMs - followedAtMs) >= FOLLOWED_LIFETIME_MS) {
    const followed = chainEndsInBundle(der, server.above, trust.bundles, nowMs, 'server');
    if (isSvidProblem(followed)) return refused(foreignChain(followed, svid, 'server'));
    trust.remember(svid.hash, {
      peer: svid,
      serials: followed.serials,
      notAfterMs: server.notAfterMs,
      followedAtMs: nowMs,
    });
  }
  // The last check, so that whoever fails it is known to be a member of the mesh.
  if (wanted.length > 0 && !hasOneOf(svid, wanted)) return { ok: false, refusal: mismatch(svid, wanted) };
  return { ok: true, peer: svid };
}

function hasOneOf(svid: SvidFacts, wanted: readonly string[]): boolean {
  return wanted.includes(svid.spiffeId) || svid.dnsNames.some((dnsName) => wanted.includes(dnsName));
}

function mismatch(svid: SvidFacts, wanted: readonly string[]): Refusal {
  return {
    code: 'upstream_identity_mismatch',
    reason: 'identity_mismatch',
    hint: `the server is "${svid.spiffeId}" and the service is known as ${namesOf(wanted)}: it answers at an address of the service without its service account, so correct serviceAccount of the WorkloadEntry or subjectAltNames, or look who took the address`,
  };
}

/** A few of them, quoted. */
export function namesOf(wanted: readonly string[]): string {
  const shown = wanted.slice(0, MAX_NAMED).map((name) => JSON.stringify(name));
  const more = wanted.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function refused(refusal: Refusal): RefusedServer {
  return { ok: false, refusal: upstreamRefusal(refusal) };
}

/** Whatever is wrong with a certificate, a request hears of one thing: the upstream is not trusted. */
export function upstreamRefusal(refusal: Refusal): Refusal {
  return { code: 'upstream_untrusted', reason: refusal.reason, hint: refusal.hint };
}
