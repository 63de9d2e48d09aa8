/**
 * What a server presented in a full handshake, kept for as long as it may have to be judged again: Node gives no
 * certificate on a resumed client socket (26.10), and trust may change under a live connection.
 */
import type { X509Certificate } from 'node:crypto';
import { certificatesAbove } from './accept-peer.ts';

export interface ServerCertificates {
  readonly leaf: X509Certificate;
  /** Nearest first; DER. */
  readonly above: readonly Buffer[];
  /** Upper-case hex with colons. */
  readonly fingerprint: string;
  /** The earliest end of any of them that had not ended when they came. */
  readonly notAfterMs: number;
}

/** Servers remembered; the oldest goes. A forgotten one is kept by its own connections alone. */
const MAX_SHARED = 4_096;

/** One object for all connections to a server, as long as it presents the same. */
export class ServerCertificateCache {
  readonly #byFingerprint = new Map<string, ServerCertificates>();

  share(leaf: X509Certificate, nowMs: number): ServerCertificates {
    const fingerprint = leaf.fingerprint256;
    const issuers = certificatesAbove(leaf);
    const known = this.#byFingerprint.get(fingerprint);
    if (known !== undefined && hasSame(known.above, issuers)) return known;
    let notAfterMs = leaf.validToDate.getTime();
    for (const issuer of issuers) {
      const endMs = issuer.validToDate.getTime();
      // One that has ended already was not needed: the chain verified without it.
      if (endMs > nowMs && endMs < notAfterMs) notAfterMs = endMs;
    }
    const made = { leaf, above: issuers.map((issuer) => issuer.raw), fingerprint, notAfterMs };
    if (this.#byFingerprint.size >= MAX_SHARED && known === undefined) {
      const oldest = this.#byFingerprint.keys().next();
      if (oldest.done !== true) this.#byFingerprint.delete(oldest.value);
    }
    this.#byFingerprint.set(fingerprint, made);
    return made;
  }
}

function hasSame(above: readonly Buffer[], issuers: readonly X509Certificate[]): boolean {
  return above.length === issuers.length && above.every((der, i) => der.equals(issuers[i]!.raw));
}
