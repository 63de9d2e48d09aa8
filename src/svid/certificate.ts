/**
 * Reads the fields of an X.509 certificate that decide about identity (RFC 5280 §4), and judges none of them.
 *
 * Signature, key and algorithms are OpenSSL's business; they are stepped over. What is read, is read strictly.
 */
import {
  DerError,
  DerReader,
  TAG_BIT_STRING,
  TAG_BOOLEAN,
  TAG_GENERALIZED_TIME,
  TAG_INTEGER,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
  TAG_UTC_TIME,
} from './der-reader.ts';

export const KEY_USAGE_DIGITAL_SIGNATURE = 0x80;
export const KEY_USAGE_CERT_SIGN = 0x04;
export const KEY_USAGE_CRL_SIGN = 0x02;

export const PURPOSE_SERVER_AUTH = 1;
export const PURPOSE_CLIENT_AUTH = 2;

/** Bounds on what one certificate can make us hold. */
const MAX_EXTENSIONS = 64;
const MAX_NAMES = 256;
/** 20 bytes (RFC 5280 §4.1.2.2). */
const MAX_SERIAL_BYTES = 20;

export interface CertificateFields {
  readonly version: number;
  /** Lower-case hex, as many digits as whole bytes need. */
  readonly serial: string;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Where the subject's SEQUENCE begins and ends in the DER. */
  readonly subjectAt: number;
  readonly subjectEnd: number;
  /** The first byte of the bits of keyUsage; -1: the extension is absent. */
  readonly keyUsage: number;
  /** basicConstraints' cA; false when absent. */
  readonly ca: boolean;
  /** pathLenConstraint; -1: none. */
  readonly pathLength: number;
  /** Sum of PURPOSE_*; -1: extendedKeyUsage is absent. */
  readonly purposes: number;
  /** One byte a character, in the order of the certificate. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** The first extension that is there twice, in dotted form; '' for none. */
  readonly duplicateExtension: string;
  /** The first critical extension that nothing here understands, in dotted form; '' for none. */
  readonly unknownCriticalExtension: string;
}

interface Extensions {
  keyUsage: number;
  ca: boolean;
  pathLength: number;
  purposes: number;
  uris: string[];
  dnsNames: string[];
  duplicate: string;
  unknownCritical: string;
}

/** Throws a DerError for anything that is not laid out as a certificate. */
export function readCertificate(der: Uint8Array): CertificateFields {
  const outer = new DerReader(der);
  outer.expect(TAG_SEQUENCE, 'the certificate');
  outer.finish('the certificate');
  const parts = outer.enter();
  parts.expect(TAG_SEQUENCE, 'the signed part');
  const tbs = parts.enter();
  parts.expect(TAG_SEQUENCE, 'the signature algorithm');
  parts.expect(TAG_BIT_STRING, 'the signature');
  parts.finish('the signature');

  const version = readVersion(tbs);
  const serial = readSerial(tbs);
  tbs.expect(TAG_SEQUENCE, 'the inner signature algorithm');
  tbs.expect(TAG_SEQUENCE, 'the issuer');
  tbs.expect(TAG_SEQUENCE, 'the validity');
  const validity = tbs.enter();
  const notBeforeMs = readTime(validity);
  const notAfterMs = readTime(validity);
  validity.finish('the validity');
  tbs.expect(TAG_SEQUENCE, 'the subject');
  const subjectAt = tbs.at;
  const subjectEnd = tbs.end;
  tbs.expect(TAG_SEQUENCE, 'the public key');
  if (tbs.peek === 0x81) tbs.next(); // issuerUniqueID
  if (tbs.peek === 0x82) tbs.next(); // subjectUniqueID
  const extensions: Extensions = {
    keyUsage: -1,
    ca: false,
    pathLength: -1,
    purposes: -1,
    uris: [],
    dnsNames: [],
    duplicate: '',
    unknownCritical: '',
  };
  if (!tbs.atEnd) {
    tbs.expect(0xa3, 'the extensions');
    const wrapper = tbs.enter();
    wrapper.expect(TAG_SEQUENCE, 'the list of extensions');
    readExtensions(wrapper.enter(), extensions);
    wrapper.finish('the list of extensions');
    tbs.finish('the extensions');
  }
  return {
    version,
    serial,
    notBeforeMs,
    notAfterMs,
    subjectAt,
    subjectEnd,
    keyUsage: extensions.keyUsage,
    ca: extensions.ca,
    pathLength: extensions.pathLength,
    purposes: extensions.purposes,
    uris: extensions.uris,
    dnsNames: extensions.dnsNames,
    duplicateExtension: extensions.duplicate,
    unknownCriticalExtension: extensions.unknownCritical,
  };
}

function readVersion(tbs: DerReader): number {
  if (tbs.peek !== 0xa0) return 1;
  tbs.next();
  const inner = tbs.enter();
  inner.expect(TAG_INTEGER, 'the version');
  inner.finish('the version');
  const value = inner.bytes[inner.unsignedStart()]!;
  // v1 is the DEFAULT and so is never written in DER; past v3 there is nothing.
  if (inner.end - inner.start !== 1 || value < 1 || value > 2)
    throw new DerError('the version is not known', inner.at);
  return value + 1;
}

function readSerial(tbs: DerReader): string {
  tbs.expect(TAG_INTEGER, 'the serial number');
  const start = tbs.unsignedStart();
  if (tbs.end - start > MAX_SERIAL_BYTES) throw new DerError('the serial number is too long', tbs.at);
  return textOf(tbs.bytes, start, tbs.end, 'hex');
}

/** UTCTime YYMMDDHHMMSSZ or GeneralizedTime YYYYMMDDHHMMSSZ, nothing else (RFC 5280 §4.1.2.5). */
function readTime(validity: DerReader): number {
  validity.next();
  const { bytes, tag, start, end } = validity;
  const digits = end - start - 1;
  if (!((tag === TAG_UTC_TIME && digits === 12) || (tag === TAG_GENERALIZED_TIME && digits === 14)))
    throw new DerError('a time is neither UTCTime nor GeneralizedTime', validity.at);
  if (bytes[end - 1] !== 0x5a) throw new DerError('a time does not end with Z', validity.at);
  for (let i = start; i < end - 1; i++)
    if (bytes[i]! < 0x30 || bytes[i]! > 0x39) throw new DerError('a time is not digits', i);
  const pair = (i: number): number => bytes[i]! * 10 + bytes[i + 1]! - 528;
  const monthAt = start + digits - 10;
  let year = pair(start);
  if (digits === 14) year = year * 100 + pair(start + 2);
  else year += year >= 50 ? 1900 : 2000;
  const month = pair(monthAt);
  const day = pair(monthAt + 2);
  const hour = pair(monthAt + 4);
  const minute = pair(monthAt + 6);
  const second = pair(monthAt + 8);
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  // Date.UTC takes 31 February for 3 March, and years below 100 for 19xx.
  const isReal = year >= 1900 && month >= 1 && month <= 12 && day >= 1 && day <= 31;
  if (!isReal || hour > 23 || minute > 59 || second > 59 || new Date(ms).getUTCDate() !== day)
    throw new DerError('a time is not a date', validity.at);
  return ms;
}

function readExtensions(list: DerReader, out: Extensions): void {
  /** Offsets of the identifiers read so far: start, end, start, end … */
  const seen: number[] = [];
  while (!list.atEnd) {
    list.expect(TAG_SEQUENCE, 'an extension');
    const extension = list.enter();
    extension.expect(TAG_OID, 'the identifier of an extension');
    const { bytes, start, end } = extension;
    let critical = false;
    if (extension.peek === TAG_BOOLEAN) {
      extension.next();
      critical = extension.boolean();
    }
    extension.expect(TAG_OCTET_STRING, 'the value of an extension');
    extension.finish('an extension');
    if (seen.length >= 2 * MAX_EXTENSIONS) throw new DerError('there are too many extensions', list.at);
    if (wasSeen(bytes, start, end, seen)) {
      // Never read twice: the first one must not be overwritten by the second.
      out.duplicate ||= dottedOid(bytes, start, end);
      continue;
    }
    seen.push(start, end);
    const understood =
      end - start === 3 &&
      bytes[start] === 0x55 &&
      bytes[start + 1] === 0x1d &&
      readStandardExtension(bytes[start + 2]!, extension.enter(), out);
    if (critical && !understood) out.unknownCritical ||= dottedOid(bytes, start, end);
  }
}

function wasSeen(bytes: Uint8Array, start: number, end: number, seen: readonly number[]): boolean {
  next: for (let i = 0; i < seen.length; i += 2) {
    const other = seen[i]!;
    if (seen[i + 1]! - other !== end - start) continue;
    for (let k = end - start - 1; k >= 0; k--) if (bytes[other + k] !== bytes[start + k]) continue next;
    return true;
  }
  return false;
}

/** The extensions under 2.5.29: true if this one is understood, so that it may be critical. */
function readStandardExtension(id: number, value: DerReader, out: Extensions): boolean {
  switch (id) {
    case 15:
      out.keyUsage = readKeyUsage(value);
      return true;
    case 17:
      readNames(value, out);
      return true;
    case 19:
      readBasicConstraints(value, out);
      return true;
    case 32: // certificatePolicies: every policy will do, so any value is understood
      return true;
    case 37:
      out.purposes = readPurposes(value);
      return true;
    default:
      return false;
  }
}

function readKeyUsage(value: DerReader): number {
  value.expect(TAG_BIT_STRING, 'keyUsage');
  value.finish('keyUsage');
  const { bytes, start, end } = value;
  const unused = bytes[start]!;
  const isOk = end - start >= 1 && end - start <= 3 && unused <= 7 && (end - start > 1 || unused === 0);
  if (!isOk || (end - start > 1 && (bytes[end - 1]! & ((1 << unused) - 1)) !== 0))
    throw new DerError('keyUsage is malformed', value.at);
  return end - start > 1 ? bytes[start + 1]! : 0;
}

function readBasicConstraints(value: DerReader, out: Extensions): void {
  value.expect(TAG_SEQUENCE, 'basicConstraints');
  value.finish('basicConstraints');
  const inner = value.enter();
  if (inner.peek === TAG_BOOLEAN) {
    // A written-out FALSE is not DER, but common and without a second meaning.
    inner.next();
    out.ca = inner.boolean();
  }
  if (!inner.atEnd) {
    inner.expect(TAG_INTEGER, 'pathLenConstraint');
    const start = inner.unsignedStart();
    if (inner.end - start !== 1 || !out.ca) throw new DerError('pathLenConstraint is malformed', inner.at);
    out.pathLength = inner.bytes[start]!;
  }
  inner.finish('basicConstraints');
}

/** id-kp is 1.3.6.1.5.5.7.3: seven bytes, then 1 for serverAuth and 2 for clientAuth. */
const ID_KP = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03];

function readPurposes(value: DerReader): number {
  value.expect(TAG_SEQUENCE, 'extendedKeyUsage');
  value.finish('extendedKeyUsage');
  const list = value.enter();
  if (list.atEnd) throw new DerError('extendedKeyUsage is empty', value.at);
  let purposes = 0;
  while (!list.atEnd) {
    list.expect(TAG_OID, 'a purpose of extendedKeyUsage');
    const { bytes, start, end } = list;
    if (end - start !== ID_KP.length + 1 || !ID_KP.every((byte, i) => bytes[start + i] === byte)) continue;
    if (bytes[end - 1] === 1) purposes |= PURPOSE_SERVER_AUTH;
    else if (bytes[end - 1] === 2) purposes |= PURPOSE_CLIENT_AUTH;
  }
  return purposes;
}

/** GeneralNames: only [2] dNSName and [6] URI are kept; a name of another type is never taken for one of them. */
function readNames(value: DerReader, out: Extensions): void {
  value.expect(TAG_SEQUENCE, 'subjectAltName');
  value.finish('subjectAltName');
  const names = value.enter();
  let count = 0;
  while (!names.atEnd) {
    names.next();
    if (++count > MAX_NAMES) throw new DerError('subjectAltName has too many names', names.at);
    switch (names.tag) {
      case 0x86:
        out.uris.push(textOf(names.bytes, names.start, names.end, 'latin1'));
        break;
      case 0x82:
        out.dnsNames.push(textOf(names.bytes, names.start, names.end, 'latin1'));
        break;
      case 0xa0: // otherName
      case 0x81: // rfc822Name
      case 0xa3: // x400Address
      case 0xa4: // directoryName
      case 0xa5: // ediPartyName
      case 0x87: // iPAddress
      case 0x88: // registeredID
        break;
      default:
        throw new DerError('subjectAltName has a name of no known type', names.at);
    }
  }
}

function textOf(bytes: Uint8Array, start: number, end: number, encoding: 'latin1' | 'hex'): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  return buffer.toString(encoding, start, end);
}

/** `2.5.29.17` of the content of an OBJECT IDENTIFIER, for messages and names. */
export function dottedOid(bytes: Uint8Array, start: number, end: number): string {
  const arcs: number[] = [];
  let arc = 0;
  for (let i = start; i < end; i++) {
    arc = arc * 128 + (bytes[i]! & 0x7f);
    if (bytes[i]! >= 0x80) continue;
    if (arcs.length === 0) {
      const first = Math.min(2, Math.floor(arc / 40));
      arcs.push(first, arc - 40 * first);
    } else arcs.push(arc);
    arc = 0;
  }
  return arcs.join('.');
}
