/**
 * Whom this proxy trusts at one moment: the trust domains that may connect, each with the roots of its own bundle.
 *
 * It also remembers what full handshakes proved of the certificates above a leaf: a resumed session brings the
 * leaf alone. A new trust view forgets it all.
 */
import { MeshError } from '../core/errors.ts';
import type { PeerIdentity } from '../core/peer-identity.ts';
import type { SecretMaterial } from '../core/secret.ts';
import { parseBundles, type TrustBundles } from '../svid/trust-bundles.ts';

/** What a full handshake proved of the chain above a leaf. */
export interface RememberedChain {
  /** One object for all connections of a leaf. */
  readonly peer: PeerIdentity;
  /** Lower-case hex, leaf first. */
  readonly serials: readonly string[];
  /** The earliest end of any certificate that the peer sent. */
  readonly notAfterMs: number;
  /** When the chain was last followed to a root of the leaf's own trust domain; 0: the library's word was enough. */
  readonly followedAtMs: number;
}

/** Leaves remembered; the oldest goes. A forgotten one still resumes, known by its own serial alone. */
const MAX_REMEMBERED = 4_096;

export class TrustView {
  readonly bundles: TrustBundles;
  /** Every trust domain has the same roots: what the library verified needs no second look. */
  readonly provenByLibrary: boolean;
  /** Of all roots, for hints. */
  readonly subjects: readonly string[];
  readonly #pool: ReadonlySet<string>;
  readonly #chains = new Map<string, RememberedChain>();

  constructor(bundles: TrustBundles) {
    this.bundles = bundles;
    this.provenByLibrary = bundles.trustDomains.every((trustDomain) => bundles.coversPool(trustDomain));
    const roots = bundles.trustDomains.flatMap((trustDomain) => bundles.rootsOf(trustDomain));
    this.subjects = [...new Set(roots.map((root) => oneLineName(root.subject)))];
    this.#pool = new Set(bundles.poolPem);
  }

  /** Whether anybody of this trust domain may connect. */
  trusts(trustDomain: string): boolean {
    return this.bundles.rootsOf(trustDomain).length > 0;
  }

  /** Whether a chain that the library verified under the other view would verify under this one too. */
  hasPoolOf(other: TrustView): boolean {
    return other === this || (other.#pool.size === this.#pool.size && other.#pool.isSubsetOf(this.#pool));
  }

  remember(leafHash: string, chain: RememberedChain): void {
    if (this.#chains.size >= MAX_REMEMBERED && !this.#chains.has(leafHash)) {
      const oldest = this.#chains.keys().next();
      if (oldest.done !== true) this.#chains.delete(oldest.value);
    }
    this.#chains.set(leafHash, chain);
  }

  recall(leafHash: string): RememberedChain | undefined {
    return this.#chains.get(leafHash);
  }
}

/**
 * `trustDomains`: own first; one without a bundle of its own is an alias and has ours. Bundles of any other
 * trust domain are left out: nobody of it may connect, so its roots have no say.
 */
export function createTrustView(secret: SecretMaterial, trustDomains: readonly string[]): TrustView {
  const own = trustDomains[0] ?? '';
  const pemOf = (trustDomain: string): string | undefined =>
    Object.hasOwn(secret.bundles, trustDomain) ? secret.bundles[trustDomain] : undefined;
  const ownPem = pemOf(own);
  if (ownPem === undefined) {
    const known = Object.keys(secret.bundles).join(', ');
    throw new MeshError(
      'identity_invalid',
      `Cannot find a trust bundle for the own trust domain "${own}", there are bundles for "${known}"; compare meshConfig.trustDomain with the certificate`,
    );
  }
  const pems: Record<string, string> = {};
  for (const trustDomain of trustDomains) pems[trustDomain] = pemOf(trustDomain) ?? ownPem;
  return new TrustView(parseBundles(pems));
}

/** Node writes one attribute a line, first one first; logs want one line. */
export function oneLineName(name: string | undefined): string {
  return name === undefined ? '' : name.split('\n').toReversed().join(',');
}
