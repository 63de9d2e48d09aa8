/**
 * Proves that a leaf chains to a root of one bundle (RFC 5280 §6, the part that X.509-SVID needs).
 *
 * The handshake verifies against the roots of all bundles; this says that one of this bundle vouches, so that a
 * root of one trust domain cannot speak for another. Name constraints were judged by the handshake.
 */
import type { X509Certificate } from 'node:crypto';
import type { Bundle } from './bundle.ts';
import { type CertificateFields, KEY_USAGE_CERT_SIGN, readCertificate } from './certificate.ts';
import { validityFault } from './check-svid.ts';

/** Why a chain does not reach the bundle. */
export interface ChainFault {
  readonly reason: 'no_chain' | 'chain_too_long';
  readonly wanted: string;
  readonly got: string;
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
  signatureChecks: number;
}

/**
 * null: the chain, leaf first and the rest in any order, reaches a root of the bundle at `nowMs`. The caller has
 * found the leaf to be a valid SVID of the bundle's trust domain (`checkSvid`).
 */
export function findChainFault(
  chain: readonly [X509Certificate, ...X509Certificate[]],
  bundle: Bundle,
  nowMs: number,
): ChainFault | null {
  const [leaf, ...presented] = chain;
  if (presented.length > MAX_INTERMEDIATES) {
    return {
      reason: 'chain_too_long',
      wanted: `at most ${MAX_INTERMEDIATES} intermediates`,
      got: `${presented.length}`,
    };
  }
  const intermediates: Link[] = [];
  for (const certificate of presented) {
    const link = readLink(certificate, nowMs);
    if (link !== null) intermediates.push(link);
  }
  const search = { intermediates, roots: bundle.roots, nowMs, signatureChecks: MAX_SIGNATURE_CHECKS };
  if (reachesRoot(leaf, [], search)) return null;
  const issuer = (leaf.issuer ?? '').replaceAll('\n', ',').slice(0, 160);
  return {
    reason: 'no_chain',
    wanted: `a chain to ${bundle.subjects.slice(0, 4).map(quoted).join(' or ')}`,
    got: `issuer ${quoted(issuer)}, ${intermediates.length} usable of ${presented.length} intermediates`,
  };
}

const quoted = (text: string): string => JSON.stringify(text);

/** An intermediate that may sign now; null for any other, which is passed over as if it were not there. */
function readLink(certificate: X509Certificate, nowMs: number): Link | null {
  let fields: CertificateFields;
  try {
    fields = readCertificate(certificate.raw);
  } catch {
    return null;
  }
  const maySign = fields.keyUsage === -1 || (fields.keyUsage & KEY_USAGE_CERT_SIGN) !== 0;
  const isUsable =
    fields.version === 3 &&
    fields.ca &&
    maySign &&
    fields.duplicateExtension === '' &&
    // 2.5.29.30, nameConstraints, is the handshake's to judge.
    (fields.unknownCriticalExtension === '' || fields.unknownCriticalExtension === '2.5.29.30') &&
    validityFault(fields, nowMs) === null;
  return isUsable ? { certificate, fields } : null;
}

/** Depth first, roots before intermediates; `path` holds the intermediates climbed so far, nearest first. */
function reachesRoot(below: X509Certificate, path: readonly Link[], search: Search): boolean {
  for (const root of search.roots) {
    const fields = readCertificate(root.raw);
    const isInForce = validityFault(fields, search.nowMs) === null;
    const reachesDown = fields.pathLength === -1 || path.length <= fields.pathLength;
    if (isInForce && reachesDown && signed(root, below, search)) return true;
  }
  for (const link of search.intermediates) {
    const { pathLength } = link.fields;
    if (path.includes(link) || (pathLength !== -1 && path.length > pathLength)) continue;
    if (signed(link.certificate, below, search) && reachesRoot(link.certificate, [...path, link], search))
      return true;
  }
  return false;
}

/** checkIssued compares names and key identifiers and asks for keyCertSign; only then is the signature worth it. */
function signed(issuer: X509Certificate, below: X509Certificate, search: Search): boolean {
  if (!below.checkIssued(issuer)) return false;
  if (search.signatureChecks === 0) return false;
  search.signatureChecks--;
  return below.verify(issuer.publicKey);
}
