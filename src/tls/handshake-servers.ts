/**
 * The TLS servers of one secret version: none of them listens, sockets are handed to them.
 *
 * One server per ALPN answer, made when first needed, and one without a list for clients that offer nothing
 * of ours: Node ends a handshake with a fatal alert when nothing overlaps, Envoy goes on without ALPN.
 * No SNI or ALPN callback exists, so none can throw.
 */
import tls from 'node:tls';
import { MeshError } from '../core/errors.ts';
import type { SecretMaterial } from '../core/secret.ts';
import { sentChain } from './sent-chain.ts';
import { deriveTicketBinding } from './ticket-binding.ts';
import { tlsParameters } from './tls-parameters.ts';

export interface HandshakeListeners {
  readonly onSecure: (socket: tls.TLSSocket) => void;
  readonly onError: (error: unknown, socket: tls.TLSSocket) => void;
}

export class HandshakeServers {
  readonly #options: tls.TlsOptions;
  readonly #listeners: HandshakeListeners;
  readonly #byAnswer = new Map<string, tls.Server>();

  /** Throws if the certificate, the key or the roots cannot be used together. */
  constructor(
    secret: SecretMaterial,
    roots: readonly string[],
    tickets: boolean,
    listeners: HandshakeListeners,
  ) {
    if (secret.privateKeyPem.trim() === '') {
      // Node takes an empty key for "none is wanted" and fails each handshake instead.
      throw new MeshError('identity_invalid', 'Cannot find a private key for the certificate: it is empty');
    }
    this.#listeners = listeners;
    const parameters = tlsParameters(tickets);
    this.#options = {
      ...parameters,
      ...(tickets ? deriveTicketBinding(secret) : {}),
      // Without tickets OpenSSL still wants a context once it asks for client certificates.
      ...(tickets ? {} : { sessionIdContext: 'no sessions' }),
      cert: sentChain(secret.certificateChainPem, roots),
      key: secret.privateKeyPem,
      ca: [...roots],
      requestCert: true,
      // Node would drop a refused certificate and the reason with it; `acceptPeer` refuses instead.
      rejectUnauthorized: false,
    };
    this.serverFor('');
  }

  /** `answer` is one of a chain's few protocols, or '' for a handshake without ALPN. */
  serverFor(answer: string): tls.Server {
    const known = this.#byAnswer.get(answer);
    if (known !== undefined) return known;
    const server = tls.createServer(
      answer === '' ? this.#options : { ...this.#options, ALPNProtocols: [answer] },
    );
    server.on('secureConnection', this.#listeners.onSecure);
    server.on('tlsClientError', this.#listeners.onError);
    this.#byAnswer.set(answer, server);
    return server;
  }
}

/** The first of the chain's protocols that the client offers; '' if there is none. */
export function chooseAlpn(answerable: readonly string[], offered: readonly string[]): string {
  for (const protocol of answerable) if (offered.includes(protocol)) return protocol;
  return '';
}
