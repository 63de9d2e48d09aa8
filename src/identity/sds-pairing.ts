/**
 * Puts certificate and bundle together, which SDS sends apart: what is given on is always a pair that fits.
 *
 * While roots are changed one of them comes before the other. A part that fits nothing yet is held: after a time its
 * server is told, and it is taken all the same if its other half comes later. Until then the last good pair stays.
 */
import { X509Certificate } from 'node:crypto';
import { type OwnIdentity, verifyOwnIdentity } from '../svid/own-identity.ts';
import { formatCertificate, parseCertificates } from '../svid/pem.ts';
import { parseRoots } from '../svid/trust-bundles.ts';
import type { SdsContent, SdsKind } from './sds-resources.ts';

type Certificate = Extract<SdsContent, { kind: 'certificate' }>;
type Bundle = Extract<SdsContent, { kind: 'bundle' }>;

/** What came, and the way to say what became of it: to accept may follow on a refusal. */
interface Offer<Content> {
  readonly content: Content;
  readonly accept: () => void;
  readonly refuse: (why: string) => void;
}

export interface SdsPairingOptions {
  /** Of which the certificate must be. */
  readonly trustDomains: readonly string[];
  /** How long a part that does not fit waits for its other half before it is refused. */
  readonly holdMs: number;
  readonly nowMs: () => number;
  readonly onIdentity: (identity: OwnIdentity) => void;
}

export class SdsPairing {
  readonly #options: SdsPairingOptions;
  #certificate: Offer<Certificate> | null = null;
  #bundle: Offer<Bundle> | null = null;
  #current: { readonly certificate: Certificate; readonly bundle: Bundle } | null = null;
  /** Why the parts that are held do not fit. */
  #misfit = '';
  #timer: NodeJS.Timeout | null = null;

  constructor(options: SdsPairingOptions) {
    this.#options = options;
  }

  /** Why what is held does not fit; '' if nothing is held for that. */
  get misfit(): string {
    return this.#misfit;
  }

  /** What has to come before there is a first pair; none once there is one. */
  missing(): readonly SdsKind[] {
    if (this.#current !== null) return [];
    const missing: SdsKind[] = [];
    if (this.#certificate === null) missing.push('certificate');
    if (this.#bundle === null) missing.push('bundle');
    return missing;
  }

  /** Takes a part; it is accepted when it is in force, and not before. */
  offer(content: SdsContent, accept: () => void, refuse: (why: string) => void): void {
    if (content.kind === 'certificate') {
      this.#certificate = { content, accept, refuse };
    } else {
      const roots = parseRoots(content.rootsPem);
      if ('problem' in roots) {
        refuse(`the trust bundle cannot be used: ${roots.problem}`);
        return;
      }
      this.#bundle = { content, accept, refuse };
    }
    this.#judge();
  }

  /** Forgets what is held: the next connection brings everything anew. */
  clear(): void {
    this.#certificate = null;
    this.#bundle = null;
    this.#misfit = '';
    this.#stopTimer();
  }

  /** Newest parts first; a part of which another half may come is held, any other is refused at once. */
  #judge(): void {
    const certificate = this.#certificate;
    const bundle = this.#bundle;
    const current = this.#current;
    this.#misfit = '';
    if (
      certificate !== null &&
      bundle !== null &&
      this.#try(certificate, certificate.content, bundle, bundle.content)
    )
      return;
    if (current !== null && this.#certificate !== null)
      this.#try(this.#certificate, this.#certificate.content, null, current.bundle);
    if (this.#current !== null && this.#bundle !== null)
      this.#try(null, this.#current.certificate, this.#bundle, this.#bundle.content);
    if (this.#misfit === '') this.#stopTimer();
    else this.#timer ??= setTimeout(this.#complain, this.#options.holdMs);
  }

  /** Whether the two are in force now. */
  #try(
    certificateOffer: Offer<Certificate> | null,
    certificate: Certificate,
    bundleOffer: Offer<Bundle> | null,
    bundle: Bundle,
  ): boolean {
    const { nowMs, trustDomains } = this.#options;
    const answer = verifyOwnIdentity(certificate.chainPem, certificate.keyPem, bundle.rootsPem, nowMs());
    if (!answer.ok) {
      const why = answer.reasons.join('; ');
      // A certificate in force that has expired is no fault of the bundle that came: it is held for the next one.
      if (answer.needsOtherBundle || certificateOffer === null) this.#misfit = why;
      else this.#refuseCertificate(certificateOffer, why);
      return false;
    }
    const { trustDomain } = answer.identity.facts;
    if (!trustDomains.includes(trustDomain)) {
      const why = `the certificate is of trust domain "${trustDomain}", this mesh's are "${trustDomains.join('", "')}"`;
      if (certificateOffer !== null) this.#refuseCertificate(certificateOffer, why);
      return false;
    }
    this.#current = { certificate, bundle };
    if (certificateOffer !== null) this.#certificate = null;
    if (bundleOffer !== null) this.#bundle = null;
    this.#stopTimer();
    this.#options.onIdentity({ ...answer.identity, chainPem: withoutRoots(answer.identity.chainPem) });
    certificateOffer?.accept();
    bundleOffer?.accept();
    return true;
  }

  #refuseCertificate(offer: Offer<Certificate>, why: string): void {
    if (this.#certificate === offer) this.#certificate = null;
    offer.refuse(why);
  }

  readonly #complain = (): void => {
    this.#timer = null;
    this.#certificate?.refuse(this.#misfit);
    this.#bundle?.refuse(this.#misfit);
  };

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

/** Istio's agents send the root along; a peer has it or does not trust it. */
function withoutRoots(chainPem: string): string {
  const ders = parseCertificates(chainPem);
  if ('problem' in ders) return chainPem;
  return ders
    .filter((der, i) => i === 0 || !isSelfSigned(der))
    .map((der) => formatCertificate(der))
    .join('');
}

function isSelfSigned(der: Buffer): boolean {
  const certificate = new X509Certificate(der);
  return certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
}
