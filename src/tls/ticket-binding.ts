/**
 * What ties a session ticket to the trust and the certificate that it was made under.
 *
 * Node checks nothing again when a ticket is redeemed, so a ticket must not open at all after either changed:
 * a removed root would live on in it, and a resuming client would go on seeing the old certificate.
 */
import { createHash, hkdfSync } from 'node:crypto';
import type { SecretMaterial } from '../core/secret.ts';

export interface TicketBinding {
  /** 48 bytes, as OpenSSL wants them: name, HMAC key, AES key. */
  readonly ticketKeys: Buffer;
  /** A second lock: OpenSSL refuses a session of another context, TLS 1.2 session ids included. */
  readonly sessionIdContext: string;
}

/** The same for every worker that holds the same secret; another one for any other trust or certificate. */
export function deriveTicketBinding(secret: SecretMaterial): TicketBinding {
  const hash = createHash('sha256');
  const bind = (text: string): void => {
    hash.update(`${text.length}:`).update(text);
  };
  bind(String(secret.trustVersion));
  for (const trustDomain of Object.keys(secret.bundles).toSorted()) {
    bind(trustDomain);
    bind(secret.bundles[trustDomain]!);
  }
  bind(secret.certificateChainPem);
  const salt = hash.digest();
  const derive = (purpose: string, bytes: number): Buffer =>
    Buffer.from(hkdfSync('sha256', secret.ticketSecret, salt, purpose, bytes));
  return {
    ticketKeys: derive('postern session ticket keys', 48),
    sessionIdContext: derive('postern session id context', 16).toString('hex'),
  };
}
