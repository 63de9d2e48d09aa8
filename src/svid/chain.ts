/**
 * Proves that a leaf chains to one of the given roots (RFC 5280 §6, the part that X.509-SVID needs).
 *
 * The handshake verifies against the pool of all roots; this says by which root, so that a root of one trust
 * domain cannot vouch for an identity of another. Name constraints were judged by the handshake.
 */
import { X509Certificate } from 'node:crypto';
import { type CertificateFields, KEY_USAGE_CERT_SIGN, readCertificate } from './certificate.ts';
import { checkSvid, isSvidProblem, type SvidProblem, type SvidPurpose, validityFault } from './check-svid.ts';
import { quoteText } from './quote-text.ts';
import type { TrustBundles } from './trust-bundles.ts';

/** A chain that reaches a root. */
export interface ChainFacts {
  /** Serials from the leaf to the last intermediate, lower-case hex: what a CRL is asked about. */
  readonly serials: readonly string[];
  /** Upper-case hex with colons, as `X509Certificate.fingerprint256`. */
  readonly rootFingerprint: string;
}

/** Bounds on the work that a presented chain can cause. */
const MAX_INTERMEDIATES = 10;
const MAX_SIGNATURE_CHECKS = 32;

interface Link {
  readonly certificate: X509Certificate;
  readonly fields: CertificateFields;
}

interface Search {
  readonly intermediates: readonly Link[];
  readonly roots: readonly X509Certificate[];
  readonly nowMs: number;
  /** Signature checks left. */
  budget: number;
}

/** Checks the chain against the bundle of the leaf's own trust domain. The leaf has to be a valid SVID. */
export function chainEndsInBundle(
  leafDer: Uint8Array,
  intermediatesDer: readonly Uint8Array[],
  bundles: TrustBundles,
  nowMs: number,
  purpose: SvidPurpose = 'client',
): ChainFacts | SvidProblem {
  const facts = checkSvid(leafDer, nowMs, purpose);
  if (isSvidProblem(facts)) return facts;
  const roots = bundles.rootsOf(facts.trustDomain);
  const refuse = (
    reason: 'foreign_trust_domain' | 'no_chain' | 'chain_too_long',
    wanted: string,
    got: string,
  ): SvidProblem => ({
    code: reason === 'foreign_trust_domain' ? 'tls_foreign_trust_domain' : 'tls_untrusted_certificate',
    reason,
    wanted,
    got,
    spiffeId: facts.spiffeId,
    serial: facts.serial,
    notAfterMs: facts.notAfterMs,
  });
  if (roots.length === 0)
    return refuse(
      'foreign_trust_domain',
      `a trust domain of ${bundles.trustDomains.join(', ')}`,
      facts.trustDomain,
    );
  if (intermediatesDer.length > MAX_INTERMEDIATES)
    return refuse(
      'chain_too_long',
      `at most ${MAX_INTERMEDIATES} intermediates`,
      `${intermediatesDer.length}`,
    );
  const leaf = new X509Certificate(leafDer);
  const intermediates: Link[] = [];
  for (const der of intermediatesDer) {
    const link = readLink(der, nowMs);
    if (link !== null) intermediates.push(link);
  }
  const search: Search = { intermediates, roots, nowMs, budget: MAX_SIGNATURE_CHECKS };
  const found = climb(leaf, [], search);
  if (found === null)
    return refuse(
      'no_chain',
      `a chain to a root of ${facts.trustDomain}`,
      `issuer ${quoteText((leaf.issuer ?? '').replaceAll('\n', ','))}, ${intermediates.length} usable of ${intermediatesDer.length} intermediates`,
    );
  return {
    serials: [facts.serial, ...found.path.map((link) => link.fields.serial)],
    rootFingerprint: found.root.fingerprint256,
  };
}

/** An intermediate that may sign now; null for any other, which is passed over as if it were not there. */
function readLink(der: Uint8Array, nowMs: number): Link | null {
  let link: Link;
  try {
    link = { certificate: new X509Certificate(der), fields: readCertificate(der) };
  } catch {
    return null;
  }
  const { fields } = link;
  const maySign = fields.keyUsage === -1 || (fields.keyUsage & KEY_USAGE_CERT_SIGN) !== 0;
  const isUsable =
    fields.version === 3 &&
    fields.ca &&
    maySign &&
    fields.duplicateExtension === '' &&
    // 2.5.29.30, nameConstraints, is the handshake's to judge.
    (fields.unknownCriticalExtension === '' || fields.unknownCriticalExtension === '2.5.29.30') &&
    validityFault(fields, nowMs) === null;
  return isUsable ? link : null;
}

/** Depth first, roots before intermediates; `path` holds the intermediates climbed so far, nearest first. */
function climb(
  below: X509Certificate,
  path: readonly Link[],
  search: Search,
): { root: X509Certificate; path: readonly Link[] } | null {
  for (const root of search.roots) {
    if (isWithinValidity(root, search.nowMs) && signs(root, below, search)) {
      const limit = pathLengthOf(root);
      if (limit === -1 || path.length <= limit) return { root, path };
    }
  }
  for (const link of search.intermediates) {
    if (path.includes(link)) continue;
    const { pathLength } = link.fields;
    if (pathLength !== -1 && path.length > pathLength) continue;
    if (!signs(link.certificate, below, search)) continue;
    const found = climb(link.certificate, [...path, link], search);
    if (found !== null) return found;
  }
  return null;
}

/** checkIssued compares names and key identifiers and asks for keyCertSign; only then is the signature worth it. */
function signs(issuer: X509Certificate, below: X509Certificate, search: Search): boolean {
  if (!below.checkIssued(issuer)) return false;
  if (search.budget-- <= 0) return false;
  return below.verify(issuer.publicKey);
}

function isWithinValidity(certificate: X509Certificate, nowMs: number): boolean {
  return nowMs >= certificate.validFromDate.getTime() && nowMs < certificate.validToDate.getTime();
}

function pathLengthOf(root: X509Certificate): number {
  return readCertificate(root.raw).pathLength;
}
