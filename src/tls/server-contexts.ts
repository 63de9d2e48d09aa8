/**
 * Secure contexts for what we dial: one a secret version towards the mesh, one a set of files towards servers outside
 * of it. Making one costs as much as half a handshake, so that no connection makes its own.
 */
import { hash } from 'node:crypto';
import tls from 'node:tls';
import type { ExternalTlsSettings } from '../core/dialer.ts';
import { MeshError } from '../core/errors.ts';
import type { SecretMaterial } from '../core/secret.ts';
import { sentChain } from './sent-chain.ts';
import { tlsParameters } from './tls-parameters.ts';

/** Sets of files in use at once; the oldest goes and is made again when needed. */
const MAX_EXTERNAL = 64;

/** With our SVID; verified against `roots`, of which `acceptServer` says which one counts. */
export function meshContext(secret: SecretMaterial, roots: readonly string[]): tls.SecureContext {
  if (secret.privateKeyPem.trim() === '')
    throw new MeshError('identity_invalid', 'Cannot find a private key for the certificate: it is empty');
  return tls.createSecureContext({
    ...tlsParameters(true),
    cert: sentChain(secret.certificateChainPem, roots),
    key: secret.privateKeyPem,
    ca: [...roots],
  });
}

export class ExternalContexts {
  readonly #byFiles = new Map<string, tls.SecureContext>();

  /** Throws what OpenSSL says of files that cannot be used. */
  contextOf(settings: ExternalTlsSettings): tls.SecureContext {
    const { caPem, certificatePem, privateKeyPem, verify } = settings;
    const isVerified = verify !== 'none';
    const key = hash('sha256', JSON.stringify([isVerified, caPem, certificatePem, privateKeyPem]));
    const known = this.#byFiles.get(key);
    if (known !== undefined) return known;
    const context = tls.createSecureContext({
      ...tlsParameters(true),
      // None where nothing is verified: reading the system's takes a quarter of a second.
      ca: isVerified ? (caPem === '' ? systemRoots() : caPem) : [],
      ...(certificatePem === '' ? {} : { cert: certificatePem, key: privateKeyPem }),
    });
    if (this.#byFiles.size >= MAX_EXTERNAL) {
      const oldest = this.#byFiles.keys().next();
      if (oldest.done !== true) this.#byFiles.delete(oldest.value);
    }
    this.#byFiles.set(key, context);
    return context;
  }
}

/** The operating system's; Node's own list where the system has none, as in a small image. */
function systemRoots(): string[] {
  const system = tls.getCACertificates('system');
  return system.length > 0 ? system : tls.getCACertificates('bundled');
}
