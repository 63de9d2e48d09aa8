/**
 * Numbers the verified identities of one source, and tells which of them say anything new.
 *
 * `trustVersion` and the ticket secret change only with the roots: resumed sessions survive a new certificate and
 * do not survive a new bundle.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { SecretMaterial } from '../core/secret.ts';
import type { OwnIdentity } from '../svid/own-identity.ts';

const TICKET_SECRET_BYTES = 32;

export class SecretVersions {
  readonly #trustDomains: readonly string[];
  #last: SecretMaterial | null = null;
  #chainHash = '';
  #bundleHash = '';

  /** Own trust domain first, then its aliases: all of them have our bundle. */
  constructor(trustDomains: readonly string[]) {
    this.#trustDomains = trustDomains;
  }

  /** The next version; null if it says what the last one said. */
  next(identity: OwnIdentity): SecretMaterial | null {
    // The key is left out: it fits the leaf, and so is another one only if the leaf is.
    const chainHash = sha256(identity.chainPem);
    const bundleHash = rootsHash(identity.bundlePem);
    const last = this.#last;
    const isSameTrust = last !== null && this.#bundleHash === bundleHash;
    if (isSameTrust && this.#chainHash === chainHash) return null;
    const { bundlePem } = identity;
    this.#chainHash = chainHash;
    this.#bundleHash = bundleHash;
    this.#last = {
      version: (last?.version ?? 0) + 1,
      trustVersion: (last?.trustVersion ?? 0) + (isSameTrust ? 0 : 1),
      certificateChainPem: identity.chainPem,
      privateKeyPem: identity.keyPem,
      bundles: Object.fromEntries(this.#trustDomains.map((name) => [name, bundlePem])),
      ticketSecret: isSameTrust ? last.ticketSecret : new Uint8Array(randomBytes(TICKET_SECRET_BYTES)),
    };
    return this.#last;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** The same for the same roots in any order. */
function rootsHash(bundlePem: string): string {
  return sha256(
    bundlePem
      .split(/(?<=-----END CERTIFICATE-----\n)/)
      .toSorted()
      .join(''),
  );
}
