/** The workload's own identity as the data half has it now: its secret in the TLS room, for both directions, and its SPIFFE ID. */
import { X509Certificate } from 'node:crypto';
import type { SecretMaterial } from './core/secret.ts';
import { checkSvid } from './svid/check-svid.ts';
import type { InboundTls } from './tls/inbound-tls.ts';
import type { OutboundTls } from './tls/outbound-tls.ts';

export class IdentityInForce {
  secret: SecretMaterial | null = null;
  /** '' while there is no secret. */
  spiffeId = '';
  readonly #inbound: InboundTls;
  readonly #outbound: OutboundTls;

  constructor(inbound: InboundTls, outbound: OutboundTls) {
    this.#inbound = inbound;
    this.#outbound = outbound;
  }

  /** Throws, and then nothing has changed, if the secret cannot be used. */
  put(secret: SecretMaterial, trustDomains: readonly string[]): void {
    const leaf = new X509Certificate(secret.certificateChainPem);
    const { spiffeId } = checkSvid(leaf.raw, Date.now(), 'both');
    // What one of them refuses the other refuses too, so that both have the same.
    this.#inbound.setSecret(secret, trustDomains);
    this.#outbound.setSecret(secret, trustDomains);
    this.spiffeId = spiffeId;
    this.secret = secret;
  }

  /** Whether peers that were let in may not be under this secret. */
  trustDiffers(secret: SecretMaterial): boolean {
    return this.secret !== null && this.secret.trustVersion !== secret.trustVersion;
  }
}
