/** What `tls.connect` is called with for one endpoint. */
import { isIP } from 'node:net';
import type { OnReadOpts } from 'node:net';
import type tls from 'node:tls';
import type { DialTarget, DialTls } from '../core/dialer.ts';
import { messageOf } from '../core/errors.ts';
import type { Refusal } from './handshake-failure.ts';

/** As Node takes them; its types leave out what it passes on to the TCP socket. */
export type OutboundOptions = tls.ConnectionOptions & {
  readonly noDelay: boolean;
  readonly allowHalfOpen: boolean;
  readonly onread?: OnReadOpts;
};

type TlsTarget = DialTarget & { readonly tls: DialTls };

function acceptAnyName(): undefined {
  // Names are judged by whoever asked for the connection, by the certificate and not by its text.
}

export function connectOptions(
  target: TlsTarget,
  secureContext: tls.SecureContext,
  session: Buffer | undefined,
): OutboundOptions {
  const { alpn, sni } = target.tls;
  return {
    host: target.host,
    port: target.port,
    noDelay: true,
    allowHalfOpen: true,
    secureContext,
    // Node would destroy the socket and the reason with it; what `onSecured` refuses is destroyed before a byte
    // of a request is written.
    rejectUnauthorized: false,
    checkServerIdentity: acceptAnyName,
    // An address is no name for SNI (RFC 6066 §3).
    servername: isIP(sni) === 0 ? sni : '',
    ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
    ...(session === undefined ? {} : { session }),
  };
}

const keys = new WeakMap<DialTarget, string>();

/** Targets of one key are the same server, asked in the same way for the same identity. */
export function sessionKey(target: TlsTarget): string {
  let key = keys.get(target);
  if (key === undefined) {
    const { alpn, sni, subjectAltNames } = target.tls;
    key = JSON.stringify([target.host, target.port, sni, alpn, subjectAltNames]);
    keys.set(target, key);
  }
  return key;
}

/** OpenSSL's messages name what is wrong and never hold key bytes. */
export function badFiles(thrown: unknown): Refusal {
  return {
    code: 'upstream_tls_failed',
    reason: 'bad_files',
    hint: `the certificates that the DestinationRule names cannot be used (${messageOf(thrown)}): look at caCertificates, clientCertificate and privateKey`,
  };
}
