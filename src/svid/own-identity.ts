/**
 * Checks our own chain, key and bundle before they are put to use: what is wrong is said here, at load,
 * and not by every peer that refuses us. Reasons end with the fix and never hold a byte of the key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { chainEndsInBundle } from './chain.ts';
import { checkSvid, isSvidProblem, type SvidFacts, type SvidProblem } from './check-svid.ts';
import { formatCertificate, parseCertificates, parsePem } from './pem.ts';
import { parseRoots, TrustBundles } from './trust-bundles.ts';

/** A verified identity, written anew so that nothing but what it names is in each part. */
export interface OwnIdentity {
  readonly facts: SvidFacts;
  /** Leaf first; certificates only. */
  readonly chainPem: string;
  /** The one block of the private key. */
  readonly keyPem: string;
  /** Each root once, in the order of the file. */
  readonly bundlePem: string;
}

export type OwnIdentityAnswer =
  | { readonly ok: true; readonly identity: OwnIdentity }
  | {
      readonly ok: false;
      readonly reasons: readonly string[];
      /** Nothing else is wrong than that the chain does not reach this bundle: with another one it may be good. */
      readonly needsOtherBundle: boolean;
    };

export function verifyOwnIdentity(
  chainPem: string,
  keyPem: string,
  bundlePem: string,
  nowMs: number,
): OwnIdentityAnswer {
  const reasons: string[] = [];
  const chain = readChain(chainPem, reasons);
  const key = readKey(keyPem, reasons);
  const roots = parseRoots(bundlePem);
  if ('problem' in roots)
    reasons.push(`the trust bundle cannot be used: ${roots.problem}; give the root certificates as PEM`);
  if (chain === null) return { ok: false, reasons, needsOtherBundle: false };
  const [leaf, ...above] = chain;
  const facts = checkSvid(leaf.raw, nowMs, 'both');
  if (isSvidProblem(facts)) reasons.push(leafReason(facts));
  if (key !== null && !keyFits(leaf, key.object))
    reasons.push(
      'the private key does not fit the first certificate of the chain; write the pair of one issuance, the leaf first',
    );
  if (reasons.length > 0 || 'problem' in roots || key === null || isSvidProblem(facts))
    return { ok: false, reasons, needsOtherBundle: false };
  const bundles = new TrustBundles(new Map([[facts.trustDomain, roots]]));
  const raws = above.map((certificate) => certificate.raw);
  const fault = chainEndsInBundle(leaf.raw, raws, bundles, nowMs, 'both');
  if (isSvidProblem(fault)) {
    const found = `wanted ${fault.wanted}, got ${fault.got}`;
    const fix = "add the intermediates after the leaf, or the issuer's root to the bundle";
    const reason = `the chain does not reach the trust bundle: ${found}; ${fix}`;
    return { ok: false, reasons: [reason], needsOtherBundle: true };
  }
  return {
    ok: true,
    identity: {
      facts,
      chainPem: chain.map((certificate) => formatCertificate(certificate.raw)).join(''),
      keyPem: key.pem,
      bundlePem: roots.map((root) => formatCertificate(root.raw)).join(''),
    },
  };
}

function readChain(text: string, reasons: string[]): readonly [X509Certificate, ...X509Certificate[]] | null {
  const parsed = parseCertificates(text);
  if ('problem' in parsed) {
    reasons.push(`the certificate chain cannot be used: ${parsed.problem}; give the leaf first, as PEM`);
    return null;
  }
  const chain: X509Certificate[] = [];
  for (const der of parsed) {
    try {
      chain.push(new X509Certificate(der));
    } catch {
      reasons.push(`certificate ${chain.length + 1} of the chain cannot be read; write the file anew`);
      return null;
    }
  }
  const [leaf, ...rest] = chain;
  return leaf === undefined ? null : [leaf, ...rest];
}

const KEY_LABELS: ReadonlySet<string> = new Set(['PRIVATE KEY', 'EC PRIVATE KEY', 'RSA PRIVATE KEY']);

function readKey(text: string, reasons: string[]): { pem: string; object: KeyObject } | null {
  const refuse = (problem: string): null => {
    reasons.push(`the private key cannot be used: ${problem}`);
    return null;
  };
  if (text.trim() === '') return refuse('it is empty; give an unencrypted private key as PEM');
  const blocks = parsePem(text);
  if ('problem' in blocks) return refuse(`${blocks.problem}; write the file anew`);
  if (blocks.some((block) => block.label === 'ENCRYPTED PRIVATE KEY'))
    return refuse('it is encrypted; decrypt it with "openssl pkey -in KEY -out KEY.plain"');
  const keys = blocks.filter((block) => KEY_LABELS.has(block.label));
  if (keys.length !== 1) return refuse(`the file has ${keys.length} private keys; give exactly one, as PEM`);
  const pem = keys[0]!.text;
  try {
    return { pem, object: createPrivateKey(pem) };
  } catch {
    // The library's message is left out: it is about the bytes of a key.
    return refuse('its content is not a private key that can be read; write the file anew');
  }
}

function keyFits(leaf: X509Certificate, key: KeyObject): boolean {
  try {
    return leaf.checkPrivateKey(key);
  } catch {
    return false;
  }
}

function leafReason(problem: SvidProblem): string {
  const found = `wanted ${problem.wanted}, got ${problem.got}`;
  if (problem.reason === 'expired') return `the own certificate has expired: ${found}; issue a new one`;
  if (problem.reason === 'not_yet_valid')
    return `the own certificate is not valid yet: ${found}; check the clock of this host and of the issuer`;
  if (problem.reason === 'is_ca')
    return `the first certificate of the chain is a CA's: ${found}; put the leaf first`;
  const fix = 'issue one with a single SPIFFE ID, digitalSignature, clientAuth and serverAuth';
  return `the own certificate is not a valid X.509-SVID (${problem.reason}): ${found}; ${fix}`;
}
