/** The certificates in force, as `/certs`, `/ready` and metrics tell of them. Never holds the key. */
import { X509Certificate } from 'node:crypto';
import type { SecretMaterial } from './core/secret.ts';
import { checkSvid } from './svid/check-svid.ts';

export interface CertificateFacts {
  readonly spiffeId: string;
  /** Lower-case hex. */
  readonly serial: string;
  /** Milliseconds since the epoch; 0 while there is none. */
  readonly notAfterMs: number;
}

/** One certificate in the shape of Envoy's `/certs`. */
export interface CertificateDetails {
  readonly path: string;
  readonly serial_number: string;
  readonly subject_alt_names: readonly { readonly uri: string }[];
  readonly days_until_expiration: string;
  readonly valid_from: string;
  readonly expiration_time: string;
}

const NONE: CertificateFacts = { spiffeId: '', serial: '', notAfterMs: 0 };
const MS_PER_DAY = 86_400_000;
const PEM_BLOCK = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

export class OwnCertificate {
  #facts = NONE;
  #chainPem = '';
  #rootNotAfterMs = 0;
  #bundles: Readonly<Record<string, string>> = {};

  set(secret: SecretMaterial): void {
    const leaf = new X509Certificate(secret.certificateChainPem);
    const { notAfterMs, serial, spiffeId } = checkSvid(leaf.raw, Date.now(), 'both');
    this.#facts = { notAfterMs, serial, spiffeId };
    this.#chainPem = secret.certificateChainPem;
    this.#bundles = secret.bundles;
    const ends = Object.values(secret.bundles)
      .flatMap((pem) => pem.match(PEM_BLOCK) ?? [])
      .map((block) => new X509Certificate(block).validToDate.getTime());
    this.#rootNotAfterMs = ends.length === 0 ? 0 : Math.min(...ends);
  }

  facts(): CertificateFacts {
    return this.#facts;
  }

  /** For log lines. */
  shown(): Readonly<Record<string, string>> {
    const { notAfterMs, serial, spiffeId } = this.#facts;
    return { spiffeId, serial, notAfter: new Date(notAfterMs).toISOString() };
  }

  /** What is odd about this certificate in the hands of this workload; '' if nothing is. */
  oddityFor(workload: { readonly namespace: string; readonly serviceAccount: string }): string {
    const path = `/ns/${workload.namespace}/sa/${workload.serviceAccount}`;
    if (this.#facts.spiffeId.endsWith(path)) return '';
    return `The certificate is of "${this.#facts.spiffeId}", and postern.yaml says the workload is "${path}": compare identity with workload.serviceAccount`;
  }

  /** When the first of the roots expires, milliseconds since the epoch; 0 while there is none. */
  rootNotAfterMs(): number {
    return this.#rootNotAfterMs;
  }

  /** Envoy's shape: the CA certificates of each bundle and the own chain. */
  details(): {
    readonly ca_cert: readonly CertificateDetails[];
    readonly cert_chain: readonly CertificateDetails[];
  } {
    const seen = new Set<string>();
    const roots: CertificateDetails[] = [];
    for (const pem of Object.values(this.#bundles)) {
      for (const details of detailsOf(pem)) {
        if (seen.has(details.serial_number)) continue;
        seen.add(details.serial_number);
        roots.push(details);
      }
    }
    return { ca_cert: roots, cert_chain: detailsOf(this.#chainPem) };
  }
}

function detailsOf(pem: string): CertificateDetails[] {
  return (pem.match(PEM_BLOCK) ?? []).map((block) => {
    const certificate = new X509Certificate(block);
    const notAfterMs = certificate.validToDate.getTime();
    const { spiffeId } = checkSvid(certificate.raw, Date.now(), 'both');
    return {
      path: '<inline>',
      serial_number: certificate.serialNumber.toLowerCase(),
      subject_alt_names: spiffeId === '' ? [] : [{ uri: spiffeId }],
      days_until_expiration: String(Math.max(0, Math.floor((notAfterMs - Date.now()) / MS_PER_DAY))),
      valid_from: certificate.validFromDate.toISOString(),
      expiration_time: certificate.validToDate.toISOString(),
    };
  });
}
