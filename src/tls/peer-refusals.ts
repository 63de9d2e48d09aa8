/**
 * The words of every refusal of a peer's certificate, a client's or a server's: a stable reason and one sentence
 * that says what to do. Codes are those of the inbound side; `accept-server.ts` maps them.
 */
import type { X509Certificate } from 'node:crypto';
import type { SvidFacts, SvidProblem, SvidReason } from '../svid/check-svid.ts';
import type { PeerSide, Refusal } from './handshake-failure.ts';
import { oneLineName, type TrustView } from './trust-view.ts';

const MAX_SUBJECTS_IN_HINT = 4;
/** How far a stranger's text goes into a hint. */
const MAX_QUOTED = 160;

export const NO_CERTIFICATE: Refusal = {
  code: 'tls_no_certificate',
  reason: 'no_certificate',
  hint: 'the client presented no certificate: this port needs mutual TLS, so give the client an SVID of this mesh',
};

export const NO_SERVER_CERTIFICATE: Refusal = {
  code: 'tls_no_certificate',
  reason: 'no_certificate',
  hint: 'the server presented no certificate: it has no identity to prove, so give it an SVID of this mesh',
};

const SAME_ROOT = 'give both sides the same root';

const untrusted = (reason: string, hint: string): Refusal => ({
  code: 'tls_untrusted_certificate',
  reason,
  hint,
});

/** The library does not trust the chain; `verdict` is OpenSSL's name of the first reason it kept. */
export function untrustedCertificate(
  verdict: string,
  leaf: X509Certificate,
  trust: TrustView,
  side: PeerSide,
): Refusal {
  const issuer = quoted(oneLineName(leaf.issuer));
  switch (verdict) {
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return untrusted(
        'self_signed',
        `the ${side} certificate is signed by itself, not by a root of our bundle (${subjects(trust)}): let the mesh CA issue it`,
      );
    case 'INVALID_PURPOSE':
      return {
        code: 'tls_not_an_svid',
        reason: 'wrong_purpose',
        hint: `the keyUsage or extendedKeyUsage of the ${side} certificate, or of one above it, does not allow a TLS ${side}: issue it with digitalSignature, serverAuth and clientAuth`,
      };
    case 'CERT_SIGNATURE_FAILURE':
      return untrusted(
        'bad_chain_signature',
        `a signature in the ${side}'s chain is wrong: a CA was made again under the same name, or the file is damaged; ${SAME_ROOT}`,
      );
    case 'INVALID_CA':
    case 'PATH_LENGTH_EXCEEDED':
    case 'CERT_CHAIN_TOO_LONG':
    case 'PERMITTED_VIOLATION':
    case 'EXCLUDED_VIOLATION':
      return untrusted(
        'invalid_chain',
        `a certificate above the ${side}'s may not sign it (${verdict}): look at basicConstraints and name constraints of the issuer ${issuer}`,
      );
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'UNABLE_TO_GET_ISSUER_CERT':
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return untrusted('unknown_issuer', unknownIssuerHint(leaf, trust, side));
    default:
      return untrusted(
        'untrusted',
        `the ${side} certificate, issued by ${issuer}, cannot be verified (${verdict}) against our bundle (${subjects(trust)})`,
      );
  }
}

function unknownIssuerHint(leaf: X509Certificate, trust: TrustView, side: PeerSide): string {
  let top = leaf;
  for (let next = leaf.issuerCertificate, depth = 0; next !== undefined && depth < 16; depth++) {
    top = next;
    next = next.issuerCertificate;
  }
  const issuer = oneLineName(top.issuer);
  if (trust.subjects.includes(issuer)) {
    return `the ${side} certificate chains to ${quoted(issuer)}, a name that our bundle has with another key: the root was made again, so ${SAME_ROOT}`;
  }
  return `the ${side} certificate chains to ${quoted(issuer)}, not to our bundle (${subjects(trust)}): ${SAME_ROOT}, or let the ${side} send its intermediate certificates`;
}

/** The leaf itself, or with `above` a certificate over it, is outside its validity. */
export function outdatedCertificate(
  which: 'expired' | 'not_yet_valid',
  atMs: number,
  above: boolean,
  side: PeerSide,
): Refusal {
  const what = above ? `a certificate in the ${side}'s chain` : `the ${side} certificate`;
  const at = new Date(atMs).toISOString();
  const hint =
    which === 'expired'
      ? `${what} expired at ${at}: renew it, and look at the clocks of both hosts`
      : `${what} is not valid before ${at}: look at the clocks of both hosts`;
  return { code: 'tls_expired_certificate', reason: above ? `issuer_${which}` : which, hint };
}

/** The library verified against several bundles and said "outdated" of something above the leaf. */
export function outdatedIssuer(verdict: string, side: PeerSide): Refusal {
  return {
    code: 'tls_expired_certificate',
    reason: verdict === 'CERT_NOT_YET_VALID' ? 'issuer_not_yet_valid' : 'issuer_expired',
    hint: `a certificate above the ${side}'s, or the root itself, is outside its validity: renew the CA and look at the clocks`,
  };
}

const SVID_FIXES: Readonly<Partial<Record<SvidReason, string>>> = {
  no_uri_san: 'issue it with the SPIFFE ID as its one URI SAN',
  several_uri_sans: 'issue one certificate a workload, each with one SPIFFE ID',
  bad_spiffe_id: 'issue it with a valid SPIFFE ID',
  no_path: 'that is the identity of a trust domain, not of a workload: issue it with a path',
  is_ca: "a CA's certificate is not a workload's: issue a leaf",
  may_sign: 'issue the leaf without the right to sign certificates',
  wrong_purpose: 'issue it with serverAuth and clientAuth',
};

/** The leaf verified and is still no X.509-SVID, or one outside its validity. */
export function notAnSvid(problem: SvidProblem, side: PeerSide): Refusal {
  const { code, reason, wanted, got } = problem;
  if (code === 'tls_expired_certificate') {
    const verb = reason === 'expired' ? 'has expired' : 'is not valid yet';
    return {
      code,
      reason,
      hint: `the ${side} certificate ${verb} (wanted ${wanted}, got ${got}): renew it, and look at the clocks of both hosts`,
    };
  }
  const fix = SVID_FIXES[reason] ?? 'let an SVID-issuing CA make it';
  return {
    code,
    reason,
    hint: `the ${side} certificate is not an X.509-SVID (wanted ${wanted}, got ${got}): ${fix}`,
  };
}

export function foreignTrustDomain(svid: SvidFacts, trust: TrustView, side: PeerSide): Refusal {
  const ours = trust.bundles.trustDomains.join(', ');
  return {
    code: 'tls_foreign_trust_domain',
    reason: 'foreign_trust_domain',
    hint: `the ${side} is ${quoted(svid.spiffeId)} and we take identities of ${ours}: add its trust domain to meshConfig.trustDomainAliases or caCertificates, or connect within one mesh`,
  };
}

/** The chain verified against some root, but not against one of the leaf's own trust domain. */
export function foreignChain(fault: SvidProblem, svid: SvidFacts, side: PeerSide): Refusal {
  return untrusted(
    fault.reason === 'no_chain' ? 'root_of_other_trust_domain' : fault.reason,
    `the ${side} says it is ${quoted(svid.spiffeId)} and does not chain to the bundle of "${svid.trustDomain}" (wanted ${fault.wanted}, got ${fault.got}): only its own bundle may vouch for a trust domain`,
  );
}

function subjects(trust: TrustView): string {
  const shown = trust.subjects.slice(0, MAX_SUBJECTS_IN_HINT).map(quoted).join(', ');
  const more = trust.subjects.length - MAX_SUBJECTS_IN_HINT;
  return `subjects ${shown}${more > 0 ? ` and ${more} more` : ''}`;
}

/** A stranger's text: quoted, escaped, cut. */
function quoted(text: string): string {
  return JSON.stringify(text.length > MAX_QUOTED ? `${text.slice(0, MAX_QUOTED)}…` : text);
}
