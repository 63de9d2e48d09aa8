/**
 * Root certificates by trust domain, never as one pool (SPIFFE Trust Domain and Bundle §4).
 */
import { X509Certificate } from 'node:crypto';
import { MeshError } from '../core/errors.ts';
import { readCertificate } from './certificate.ts';
import { formatCertificate, parseCertificates } from './pem.ts';
import { quoteText } from './quote-text.ts';
import { parseTrustDomain } from './spiffe-id.ts';

const NO_ROOTS: readonly X509Certificate[] = [];

export class TrustBundles {
  readonly #roots: ReadonlyMap<string, readonly X509Certificate[]>;
  /** Every root once, as PEM: what the handshake itself verifies against. */
  readonly poolPem: readonly string[];
  readonly #poolSize: number;

  constructor(roots: ReadonlyMap<string, readonly X509Certificate[]>) {
    this.#roots = roots;
    const pool = new Map<string, string>();
    for (const bundle of roots.values())
      for (const root of bundle) pool.set(root.fingerprint256, formatCertificate(root.raw));
    this.poolPem = [...pool.values()];
    this.#poolSize = pool.size;
  }

  get trustDomains(): readonly string[] {
    return [...this.#roots.keys()];
  }

  /** The roots of one trust domain; none for a domain that is not trusted. */
  rootsOf(trustDomain: string): readonly X509Certificate[] {
    return this.#roots.get(trustDomain) ?? NO_ROOTS;
  }

  /**
   * Whether every root that anybody is trusted by is a root of this domain. Then a chain that the handshake
   * verified against the pool ends in a root of this domain, and `chainEndsInBundle` would only prove it again.
   */
  coversPool(trustDomain: string): boolean {
    return this.#poolSize > 0 && this.rootsOf(trustDomain).length === this.#poolSize;
  }
}

/** Throws `identity_invalid` with the reason for a bundle that cannot be used, whole or in part. */
export function parseBundles(bundles: Readonly<Record<string, string>>): TrustBundles {
  const roots = new Map<string, readonly X509Certificate[]>();
  for (const [name, pem] of Object.entries(bundles)) {
    const trustDomain = parseTrustDomain(name);
    if (typeof trustDomain !== 'string')
      throw new MeshError(
        'identity_invalid',
        `Cannot use trust domain ${quoteText(name)}: ${trustDomain.problem}`,
      );
    const parsed = parseRoots(pem);
    if ('problem' in parsed)
      throw new MeshError(
        'identity_invalid',
        `Cannot use the trust bundle of "${trustDomain}": ${parsed.problem}; give its root certificates as PEM`,
      );
    roots.set(trustDomain, parsed);
  }
  return new TrustBundles(roots);
}

/** The roots of one bundle, each once; every certificate has to be a CA's. */
export function parseRoots(pem: string): readonly X509Certificate[] | { readonly problem: string } {
  const ders = parseCertificates(pem);
  if ('problem' in ders) return ders;
  const roots = new Map<string, X509Certificate>();
  for (const [i, der] of ders.entries()) {
    let root: X509Certificate;
    try {
      root = new X509Certificate(der);
      readCertificate(der); // `chainEndsInBundle` reads it again for its path length
    } catch {
      return { problem: `certificate ${i + 1} cannot be read` };
    }
    if (!root.ca) return { problem: `certificate ${i + 1} is not a CA's; a bundle holds root certificates` };
    roots.set(root.fingerprint256, root);
  }
  return [...roots.values()];
}
