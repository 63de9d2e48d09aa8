/**
 * Judges a server outside the mesh (SIMPLE and MUTUAL of a DestinationRule): a chain to the roots of the rule, and a
 * name: one of the rule's SANs, or the one that was asked for. Names are read from the DER, never from text.
 */
import type { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import type tls from 'node:tls';
import type { DialTls } from '../core/dialer.ts';
import { readCertificate } from '../svid/certificate.ts';
import { DerError } from '../svid/der-reader.ts';
import { namesOf } from './accept-server.ts';
import type { Refusal } from './handshake-failure.ts';

/** RFC 6125 §6.4.3: a whole label, leftmost only, and SANs alone: nobody's common name is a host. */
const HOST_CHECK = {
  subject: 'never',
  wildcards: true,
  partialWildcards: false,
  multiLabelWildcards: false,
} as const;

const untrusted = (reason: string, hint: string): Refusal => ({ code: 'upstream_untrusted', reason, hint });

/** null: it is the server that was meant. */
export function refuseExternal(
  socket: tls.TLSSocket,
  certificate: X509Certificate | undefined,
  dialTls: DialTls,
): Refusal | null {
  const verify = dialTls.external?.verify ?? 'name';
  if (verify === 'none') return null;
  if (certificate === undefined)
    return untrusted('no_certificate', 'the server presented no certificate: it has no identity to prove');
  if (!socket.authorized) {
    const verdict = String(socket.authorizationError);
    return untrusted(
      verdict.toLowerCase(),
      `the server certificate cannot be verified (${verdict}): set caCertificates of the DestinationRule to the root that issued it`,
    );
  }
  const { sni, subjectAltNames } = dialTls;
  if (subjectAltNames.length > 0) return refuseNames(certificate, subjectAltNames);
  if (verify === 'chain') return null;
  if (sni === '')
    return untrusted(
      'no_name',
      'there is no name to compare the server certificate with: set sni or subjectAltNames in the DestinationRule',
    );
  const known = isIP(sni) === 0 ? certificate.checkHost(sni, HOST_CHECK) : certificate.checkIP(sni);
  if (known !== undefined) return null;
  return mismatch(certificate, [sni]);
}

/** URI or DNS SANs, exactly. */
function refuseNames(certificate: X509Certificate, wanted: readonly string[]): Refusal | null {
  try {
    const { dnsNames, uris } = readCertificate(certificate.raw);
    for (const name of wanted) if (uris.includes(name) || dnsNames.includes(name)) return null;
  } catch (thrown) {
    if (!(thrown instanceof DerError)) throw thrown;
    return untrusted('malformed', `the server certificate cannot be read: ${thrown.message}`);
  }
  return mismatch(certificate, wanted);
}

function mismatch(certificate: X509Certificate, wanted: readonly string[]): Refusal {
  const got = JSON.stringify((certificate.subjectAltName ?? '').slice(0, 160));
  return {
    code: 'upstream_identity_mismatch',
    reason: 'name_mismatch',
    hint: `the server certificate has the names ${got}, wanted ${namesOf(wanted)}: correct sni or subjectAltNames of the DestinationRule`,
  };
}
