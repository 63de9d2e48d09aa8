/**
 * Decides whether a leaf certificate is an X.509-SVID that a workload may present (X.509-SVID §2–§5).
 *
 * It judges the leaf alone, for OpenSSL lets several of these pass; the signature and the chain are proved by the
 * handshake and `chain.ts`. It runs once a handshake, resumed ones included.
 */
import { hash } from 'node:crypto';
import type { ErrorCodeName } from '../core/errors.ts';
import type { PeerIdentity } from '../core/peer-identity.ts';
import {
  type CertificateFields,
  KEY_USAGE_CERT_SIGN,
  KEY_USAGE_CRL_SIGN,
  KEY_USAGE_DIGITAL_SIGNATURE,
  PURPOSE_CLIENT_AUTH,
  PURPOSE_SERVER_AUTH,
  readCertificate,
} from './certificate.ts';
import { DerError } from './der-reader.ts';
import { quoteText } from './quote-text.ts';
import { parseSpiffeId, serviceAccountOf, SpiffeId } from './spiffe-id.ts';
import { formatSubject } from './subject-name.ts';

/** What a valid SVID says of its holder. */
export interface SvidFacts extends PeerIdentity {
  readonly notBeforeMs: number;
}

/** Why a certificate or its chain is refused; stable, for logs, metrics and tests. */
export type SvidReason =
  | 'malformed'
  | 'not_version_3'
  | 'duplicate_extension'
  | 'unknown_critical_extension'
  | 'no_uri_san'
  | 'several_uri_sans'
  | 'bad_spiffe_id'
  | 'no_path'
  | 'bad_dns_san'
  | 'is_ca'
  | 'no_key_usage'
  | 'no_digital_signature'
  | 'may_sign'
  | 'wrong_purpose'
  | 'not_yet_valid'
  | 'expired'
  | 'foreign_trust_domain'
  | 'no_chain'
  | 'chain_too_long';

export interface SvidProblem {
  readonly code: ErrorCodeName;
  readonly reason: SvidReason;
  readonly wanted: string;
  /** What was found, printable and shortened. */
  readonly got: string;
  /** For the log line of the refused handshake, as far as they could be read: '' and 0 if not. */
  readonly spiffeId: string;
  readonly serial: string;
  readonly notAfterMs: number;
}

/** What the presented certificate has to be good for, if it names purposes at all. */
export type SvidPurpose = 'client' | 'server' | 'both';

const PURPOSE_BITS: Readonly<Record<SvidPurpose, number>> = {
  client: PURPOSE_CLIENT_AUTH,
  server: PURPOSE_SERVER_AUTH,
  both: PURPOSE_CLIENT_AUTH | PURPOSE_SERVER_AUTH,
};

export function isSvidProblem(answer: object): answer is SvidProblem {
  return 'reason' in answer;
}

/** The identity that this leaf proves at `nowMs`, or why it proves none. */
export function checkSvid(
  der: Uint8Array,
  nowMs: number,
  purpose: SvidPurpose = 'client',
): SvidFacts | SvidProblem {
  let fields: CertificateFields;
  let subject: string;
  try {
    fields = readCertificate(der);
    subject = formatSubject(der, fields.subjectAt, fields.subjectEnd);
  } catch (thrown) {
    if (thrown instanceof DerError) return malformed(thrown.message);
    throw thrown;
  }
  const id = fields.uris.length === 1 ? parseSpiffeId(fields.uris[0]!) : null;
  const found = findFault(fields, id, nowMs, PURPOSE_BITS[purpose]);
  if (found !== null) return problemOf(found, fields, id);
  // Not reached: findFault has answered for every certificate without one valid ID.
  if (!(id instanceof SpiffeId)) return malformed('no SPIFFE ID');
  const { text, trustDomain, path } = id;
  const account = serviceAccountOf(path);
  return {
    spiffeId: text,
    trustDomain,
    namespace: account === null ? '' : account.namespace,
    serviceAccount: account === null ? '' : account.serviceAccount,
    dnsNames: fields.dnsNames,
    subject,
    hash: hash('sha256', der, 'hex'),
    serial: fields.serial,
    notAfterMs: fields.notAfterMs,
    notBeforeMs: fields.notBeforeMs,
  };
}

interface Fault {
  readonly reason: SvidReason;
  readonly wanted: string;
  readonly got: string;
}

const fault = (reason: SvidReason, wanted: string, got: string): Fault => ({ reason, wanted, got });

/** The first thing wrong; validity comes last, so that "expired" means an SVID that is fine but for its age. */
function findFault(
  fields: CertificateFields,
  id: ReturnType<typeof parseSpiffeId> | null,
  nowMs: number,
  purposeBits: number,
): Fault | null {
  if (fields.version !== 3) return fault('not_version_3', 'version 3', `version ${fields.version}`);
  if (fields.duplicateExtension !== '')
    return fault('duplicate_extension', 'each extension once', `${fields.duplicateExtension} twice`);
  if (fields.unknownCriticalExtension !== '')
    return fault(
      'unknown_critical_extension',
      'critical extensions that are understood',
      fields.unknownCriticalExtension,
    );
  if (fields.uris.length === 0) return fault('no_uri_san', 'exactly one URI SAN', 'none');
  if (fields.uris.length > 1)
    return fault('several_uri_sans', 'exactly one URI SAN', fields.uris.slice(0, 4).map(quoteText).join(' '));
  if (!(id instanceof SpiffeId))
    return fault('bad_spiffe_id', 'a SPIFFE ID', `${quoteText(fields.uris[0]!)}: ${id?.problem ?? ''}`);
  if (id.path === '') return fault('no_path', 'a SPIFFE ID with a path', quoteText(id.text));
  for (const dnsName of fields.dnsNames)
    if (!isSafeDnsName(dnsName))
      return fault(
        'bad_dns_san',
        'DNS SANs of printable characters but space " , ; = \\',
        quoteText(dnsName),
      );
  if (fields.ca) return fault('is_ca', 'basicConstraints CA:FALSE', 'CA:TRUE');
  return keyFault(fields.keyUsage, fields.purposes, purposeBits) ?? validityFault(fields, nowMs);
}

function keyFault(keyUsage: number, purposes: number, purposeBits: number): Fault | null {
  if (keyUsage === -1) return fault('no_key_usage', 'keyUsage digitalSignature', 'no keyUsage extension');
  if ((keyUsage & KEY_USAGE_DIGITAL_SIGNATURE) === 0)
    return fault('no_digital_signature', 'keyUsage digitalSignature', `keyUsage 0x${keyUsage.toString(16)}`);
  if ((keyUsage & (KEY_USAGE_CERT_SIGN | KEY_USAGE_CRL_SIGN)) !== 0) {
    const got = (keyUsage & KEY_USAGE_CERT_SIGN) === 0 ? 'cRLSign' : 'keyCertSign';
    return fault('may_sign', 'keyUsage without keyCertSign and cRLSign', got);
  }
  if (purposes !== -1 && (purposes & purposeBits) !== purposeBits)
    return fault('wrong_purpose', purposeText(purposeBits), purposeText(purposes));
  return null;
}

/** As OpenSSL: the first millisecond of notAfter is already too late. Shared with the check of chains. */
export function validityFault(
  fields: { readonly notBeforeMs: number; readonly notAfterMs: number },
  nowMs: number,
): Fault | null {
  if (nowMs < fields.notBeforeMs)
    return fault('not_yet_valid', `notBefore before ${timeText(nowMs)}`, timeText(fields.notBeforeMs));
  if (nowMs >= fields.notAfterMs)
    return fault('expired', `notAfter after ${timeText(nowMs)}`, timeText(fields.notAfterMs));
  return null;
}

/** Characters that would end a value or an element in XFCC, a log line or a header are refused, not escaped. */
function isSafeDnsName(dnsName: string): boolean {
  if (dnsName.length === 0 || dnsName.length > 255) return false;
  for (let i = 0; i < dnsName.length; i++) {
    const code = dnsName.charCodeAt(i);
    if (code <= 0x20 || code >= 0x7f) return false;
    if (code === 0x22 || code === 0x2c || code === 0x3b || code === 0x3d || code === 0x5c) return false;
  }
  return true;
}

function problemOf(found: Fault, fields: CertificateFields, id: unknown): SvidProblem {
  const isOutdated = found.reason === 'expired' || found.reason === 'not_yet_valid';
  return {
    code: isOutdated ? 'tls_expired_certificate' : 'tls_not_an_svid',
    reason: found.reason,
    wanted: found.wanted,
    got: found.got,
    spiffeId: id instanceof SpiffeId ? id.text : '',
    serial: fields.serial,
    notAfterMs: fields.notAfterMs,
  };
}

function malformed(got: string): SvidProblem {
  return {
    code: 'tls_not_an_svid',
    reason: 'malformed',
    wanted: 'a certificate in DER',
    got,
    spiffeId: '',
    serial: '',
    notAfterMs: 0,
  };
}

function purposeText(bits: number): string {
  const names: string[] = [];
  if ((bits & PURPOSE_CLIENT_AUTH) !== 0) names.push('clientAuth');
  if ((bits & PURPOSE_SERVER_AUTH) !== 0) names.push('serverAuth');
  return `extendedKeyUsage ${names.length === 0 ? 'of other purposes' : names.join(' ')}`;
}

function timeText(ms: number): string {
  return new Date(ms).toISOString().replace('.000Z', 'Z');
}
