/**
 * The only way from a finished handshake to a peer: it runs on full and on resumed sessions.
 *
 * The library lets everybody through (`rejectUnauthorized: false`) so that the reason of a refusal is known;
 * it checks nothing on resumption, and it knows neither SPIFFE IDs nor which root may vouch for which trust
 * domain. All of that is decided here (X.509-SVID §4–5).
 */
import type { X509Certificate } from 'node:crypto';
import type tls from 'node:tls';
import type { PeerIdentity } from '../core/peer-identity.ts';
import { chainEndsInBundle } from '../svid/chain.ts';
import { checkSvid, isSvidProblem, type SvidFacts } from '../svid/check-svid.ts';
import type { PeerSide, PresentedCertificate, Refusal } from './handshake-failure.ts';
import {
  foreignChain,
  foreignTrustDomain,
  NO_CERTIFICATE,
  notAnSvid,
  outdatedCertificate,
  outdatedIssuer,
  untrustedCertificate,
} from './peer-refusals.ts';
import { oneLineName, type RememberedChain, type TrustView } from './trust-view.ts';

export interface AcceptedPeer {
  readonly ok: true;
  readonly peer: PeerIdentity;
  readonly chainSerials: readonly string[];
  readonly resumed: boolean;
}

export interface RefusedPeer {
  readonly ok: false;
  readonly refusal: Refusal;
  readonly presented: PresentedCertificate | null;
  /** The library's verdict on the chain, '' if it was content. */
  readonly libraryError: string;
}

/** How many of the certificates that a peer sent are looked at. */
const MAX_ABOVE = 10;
/** How far a stranger's names go into a log line. */
const MAX_NAME = 512;
/** How long a chain that was followed here is not followed again for the same leaf. */
export const FOLLOWED_LIFETIME_MS = 60_000;

/**
 * `proven`: the library verified against exactly the roots of `trust`, and these are the roots of every trust
 * domain in it. Where that is not so, the chain is followed again to a root of the leaf's own trust domain.
 */
export function acceptPeer(
  socket: tls.TLSSocket,
  trust: TrustView,
  proven: boolean,
  nowMs: number,
): AcceptedPeer | RefusedPeer {
  const certificate = socket.getPeerX509Certificate();
  // Not "authorised" comes first. A certificate is asked for as well: a session that was made without one may
  // be resumed, and a library that forgets to look calls it authorised.
  if (!socket.authorized || certificate === undefined)
    return refuseUnauthorised(socket, certificate, trust, nowMs);
  const svid = checkSvid(certificate.raw, nowMs);
  if (isSvidProblem(svid)) return refuse(notAnSvid(svid, 'client'), certificate);
  if (!trust.trusts(svid.trustDomain)) return refuse(foreignTrustDomain(svid, trust, 'client'), certificate);
  const resumed = socket.isSessionReused();
  const remembered = trust.recall(svid.hash);
  let followedAtMs = remembered?.followedAtMs ?? 0;
  if (!proven && Math.abs(nowMs - followedAtMs) >= FOLLOWED_LIFETIME_MS) {
    // A resumed session has lost the certificates between leaf and root: a leaf that no root signed itself
    // cannot be followed then, and is refused.
    const above = certificatesAbove(certificate).map((issuer) => issuer.raw);
    const followed = chainEndsInBundle(certificate.raw, above, trust.bundles, nowMs);
    if (isSvidProblem(followed)) return refuse(foreignChain(followed, svid, 'client'), certificate);
    followedAtMs = nowMs;
  }
  if (resumed) {
    if (remembered === undefined) return { ok: true, peer: svid, chainSerials: [svid.serial], resumed };
    if (remembered.notAfterMs <= nowMs) {
      return refuse(outdatedCertificate('expired', remembered.notAfterMs, true, 'client'), certificate);
    }
    return { ok: true, peer: remembered.peer, chainSerials: remembered.serials, resumed };
  }
  const chain = rememberedChain(certificate, svid, followedAtMs, nowMs, remembered);
  trust.remember(svid.hash, chain);
  return { ok: true, peer: chain.peer, chainSerials: chain.serials, resumed };
}

/** What the peer sent besides its leaf, nearest first. */
export function certificatesAbove(leaf: X509Certificate): X509Certificate[] {
  const above: X509Certificate[] = [];
  let next = leaf.issuerCertificate;
  for (; next !== undefined && above.length < MAX_ABOVE; next = next.issuerCertificate) above.push(next);
  return above;
}

function rememberedChain(
  leaf: X509Certificate,
  svid: SvidFacts,
  followedAtMs: number,
  nowMs: number,
  before: RememberedChain | undefined,
): RememberedChain {
  const serials = [svid.serial];
  let { notAfterMs } = svid;
  for (const issuer of certificatesAbove(leaf)) {
    serials.push(issuer.serialNumber.toLowerCase());
    const endMs = issuer.validToDate.getTime();
    // One that has ended already was not needed: the chain verified without it.
    if (endMs > nowMs && endMs < notAfterMs) notAfterMs = endMs;
  }
  // The same bytes under the same hash: what was read of them serves all connections of this leaf.
  const peer = before?.peer ?? svid;
  if (before !== undefined && String(before.serials) === String(serials)) {
    return { peer, serials: before.serials, notAfterMs, followedAtMs };
  }
  return { peer, serials, notAfterMs, followedAtMs };
}

/** The library said no, or had nothing to say it of. */
function refuseUnauthorised(
  socket: tls.TLSSocket,
  certificate: X509Certificate | undefined,
  trust: TrustView,
  nowMs: number,
): RefusedPeer {
  if (certificate === undefined) {
    return { ok: false, refusal: NO_CERTIFICATE, presented: null, libraryError: '' };
  }
  // Typed as an Error, and a code in fact.
  const verdict = String(socket.authorizationError);
  return refuse(unverified(certificate, verdict, trust, nowMs, 'client'), certificate, verdict);
}

/** Why the library's `verdict` on a chain is not "good", in our words. */
export function unverified(
  leaf: X509Certificate,
  verdict: string,
  trust: TrustView,
  nowMs: number,
  side: PeerSide,
): Refusal {
  if (verdict !== 'CERT_HAS_EXPIRED' && verdict !== 'CERT_NOT_YET_VALID')
    return untrustedCertificate(verdict, leaf, trust, side);
  // Whose time it was: the leaf's, or that of something above it.
  const endMs = leaf.validToDate.getTime();
  const beginMs = leaf.validFromDate.getTime();
  if (endMs <= nowMs) return outdatedCertificate('expired', endMs, false, side);
  if (beginMs > nowMs) return outdatedCertificate('not_yet_valid', beginMs, false, side);
  return outdatedIssuer(verdict, side);
}

function refuse(refusal: Refusal, certificate: X509Certificate, libraryError = ''): RefusedPeer {
  return { ok: false, refusal, presented: describeCertificate(certificate), libraryError };
}

/** For the log line; a certificate that nobody vouched for is read with the same care. */
export function describeCertificate(certificate: X509Certificate): PresentedCertificate {
  const svid = checkSvid(certificate.raw, 0);
  return {
    spiffeId: svid.spiffeId,
    subject: oneLineName(certificate.subject).slice(0, MAX_NAME),
    issuer: oneLineName(certificate.issuer).slice(0, MAX_NAME),
    serial: certificate.serialNumber.toLowerCase(),
    notBeforeMs: certificate.validFromDate.getTime(),
    notAfterMs: certificate.validToDate.getTime(),
  };
}
