/**
 * Reads a certificate request (PKCS #10, RFC 2986) as strictly as a certificate, proves that its sender holds the
 * key, and takes nothing from it but that key and whether it has a common name.
 *
 * What else it asks for is ignored; only a SPIFFE ID that is not the caller's own is told to the caller.
 */
import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { MeshError } from '../core/errors.ts';
import { dottedOid } from '../svid/certificate.ts';
import {
  DerError,
  DerReader,
  TAG_BIT_STRING,
  TAG_BOOLEAN,
  TAG_INTEGER,
  TAG_OCTET_STRING,
  TAG_OID,
  TAG_SEQUENCE,
  TAG_SET,
} from '../svid/der-reader.ts';
import { parsePem } from '../svid/pem.ts';
import { quoteText } from '../svid/quote-text.ts';
import { parseSpiffeId, SpiffeId } from '../svid/spiffe-id.ts';
import type { ServiceAccount } from './service-account.ts';

/** A request for an RSA key of 8,192 bits has less than 4 KiB. */
export const MAX_CSR_BYTES = 16_384;
const MIN_RSA_BITS = 2_048;
/** Beyond this, verifying costs the CA more than asking costs the caller. */
const MAX_RSA_BITS = 8_192;
const MAX_RSA_EXPONENT = 0x7fff_ffffn;
const CURVES: ReadonlySet<string> = new Set(['prime256v1', 'secp384r1', 'secp521r1']);
/** Bounds on what one request can make us walk. */
const MAX_ATTRIBUTES = 16;
const MAX_EXTENSIONS = 64;
const MAX_NAMES = 256;

/** Signature algorithm → digest; null: it has its own. */
const DIGESTS: Readonly<Record<string, { readonly keyType: string; readonly digest: string | null }>> = {
  '1.2.840.10045.4.3.2': { keyType: 'ec', digest: 'sha256' },
  '1.2.840.10045.4.3.3': { keyType: 'ec', digest: 'sha384' },
  '1.2.840.10045.4.3.4': { keyType: 'ec', digest: 'sha512' },
  '1.2.840.113549.1.1.11': { keyType: 'rsa', digest: 'sha256' },
  '1.2.840.113549.1.1.12': { keyType: 'rsa', digest: 'sha384' },
  '1.2.840.113549.1.1.13': { keyType: 'rsa', digest: 'sha512' },
  '1.3.101.112': { keyType: 'ed25519', digest: null },
};

const COMMON_NAME = '2.5.4.3';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const SUBJECT_ALT_NAME = '2.5.29.17';
const TAG_URI = 0x86;
const TAG_ATTRIBUTES = 0xa0;

/** What is taken from a request. */
export interface CheckedCsr {
  /** SPKI in DER. */
  readonly publicKey: Buffer;
  readonly hasCommonName: boolean;
}

/** Throws `csr_invalid`, `csr_weak_key` or `csr_identity_mismatch`. */
export function checkCsr(pem: string, caller: ServiceAccount): CheckedCsr {
  let parts: CsrParts;
  try {
    parts = readCsr(derOf(pem));
  } catch (thrown) {
    if (thrown instanceof DerError) throw invalid(thrown.message);
    throw thrown;
  }
  const key = readKey(parts.publicKey);
  if (!isSignedBy(key, parts)) throw invalid('it is not signed by its own key');
  refuseOtherIdentity(parts.uris, caller);
  // Written anew, so that no odd encoding of the caller's goes into a certificate.
  const publicKey = key.export({ type: 'spki', format: 'der' });
  return { publicKey, hasCommonName: parts.hasCommonName };
}

function invalid(problem: string): MeshError {
  return new MeshError('csr_invalid', problem);
}

function derOf(pem: string): Buffer {
  if (Buffer.byteLength(pem) > MAX_CSR_BYTES) throw invalid(`it is longer than ${MAX_CSR_BYTES} bytes`);
  const blocks = parsePem(pem);
  if ('problem' in blocks) throw invalid(blocks.problem);
  const [block] = blocks;
  if (block === undefined || blocks.length !== 1)
    throw invalid(`it has ${blocks.length} PEM blocks, wanted one`);
  if (block.label !== 'CERTIFICATE REQUEST' && block.label !== 'NEW CERTIFICATE REQUEST')
    throw invalid(`it is ${quoteText(block.label)}, wanted "CERTIFICATE REQUEST"`);
  if (pem.replaceAll('\r\n', '\n').trim() !== block.text.trim())
    throw invalid('there is text outside of the PEM block');
  return block.der;
}

interface CsrParts {
  readonly signed: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly hasCommonName: boolean;
  readonly uris: readonly string[];
  readonly signatureAlgorithm: string;
  readonly signature: Uint8Array;
}

function readCsr(der: Buffer): CsrParts {
  const outer = new DerReader(der);
  outer.expect(TAG_SEQUENCE, 'the request');
  outer.finish('the request');
  const parts = outer.enter();
  parts.expect(TAG_SEQUENCE, 'the signed part');
  const signed = der.subarray(parts.at, parts.end);
  const info = parts.enter();

  info.expect(TAG_INTEGER, 'the version');
  if (info.end - info.start !== 1 || der[info.start] !== 0)
    throw new DerError('the version is not 1', info.at);
  info.expect(TAG_SEQUENCE, 'the subject');
  const hasCommonName = readsCommonName(info.enter());
  info.expect(TAG_SEQUENCE, 'the public key');
  const publicKey = der.subarray(info.at, info.end);
  const uris: string[] = [];
  // RFC 2986 has the attributes always there; OpenSSL and Go leave out what is empty.
  if (!info.atEnd) {
    info.expect(TAG_ATTRIBUTES, 'the attributes');
    readAttributes(info.enter(), uris);
    info.finish('the attributes');
  }

  parts.expect(TAG_SEQUENCE, 'the signature algorithm');
  const algorithm = parts.enter();
  algorithm.expect(TAG_OID, 'the signature algorithm');
  const signatureAlgorithm = dottedOid(der, algorithm.start, algorithm.end);
  parts.expect(TAG_BIT_STRING, 'the signature');
  parts.finish('the signature');
  if (der[parts.start] !== 0) throw new DerError('the signature is not whole bytes', parts.at);
  const signature = der.subarray(parts.start + 1, parts.end);
  return { signed, publicKey, hasCommonName, uris, signatureAlgorithm, signature };
}

function readsCommonName(subject: DerReader): boolean {
  let found = false;
  for (let count = 0; !subject.atEnd; count++) {
    if (count === MAX_NAMES) throw new DerError('the subject has too many names', subject.at);
    subject.expect(TAG_SET, 'a relative name of the subject');
    const names = subject.enter();
    while (!names.atEnd) {
      names.expect(TAG_SEQUENCE, 'a name of the subject');
      const name = names.enter();
      name.expect(TAG_OID, 'the type of a name');
      const type = dottedOid(name.bytes, name.start, name.end);
      name.next();
      name.finish('a name of the subject');
      if (type === COMMON_NAME && name.end > name.start) found = true;
    }
  }
  return found;
}

/** Every requested SAN is read, however often and in however many attributes one is there: none can hide. */
function readAttributes(attributes: DerReader, uris: string[]): void {
  for (let count = 0; !attributes.atEnd; count++) {
    if (count === MAX_ATTRIBUTES) throw new DerError('there are too many attributes', attributes.at);
    attributes.expect(TAG_SEQUENCE, 'an attribute');
    const attribute = attributes.enter();
    attribute.expect(TAG_OID, 'the type of an attribute');
    const type = dottedOid(attribute.bytes, attribute.start, attribute.end);
    attribute.expect(TAG_SET, 'the values of an attribute');
    attribute.finish('an attribute');
    if (type !== EXTENSION_REQUEST) continue;
    const values = attribute.enter();
    while (!values.atEnd) {
      values.expect(TAG_SEQUENCE, 'the list of extensions');
      readExtensions(values.enter(), uris);
    }
  }
}

function readExtensions(list: DerReader, uris: string[]): void {
  for (let count = 0; !list.atEnd; count++) {
    if (count === MAX_EXTENSIONS) throw new DerError('there are too many extensions', list.at);
    list.expect(TAG_SEQUENCE, 'an extension');
    const extension = list.enter();
    extension.expect(TAG_OID, 'the identifier of an extension');
    const id = dottedOid(extension.bytes, extension.start, extension.end);
    if (extension.peek === TAG_BOOLEAN) {
      extension.next();
      extension.boolean();
    }
    extension.expect(TAG_OCTET_STRING, 'the value of an extension');
    extension.finish('an extension');
    if (id === SUBJECT_ALT_NAME) readUris(extension.enter(), uris);
  }
}

function readUris(value: DerReader, uris: string[]): void {
  value.expect(TAG_SEQUENCE, 'subjectAltName');
  value.finish('subjectAltName');
  const names = value.enter();
  for (let count = 0; !names.atEnd; count++) {
    if (count === MAX_NAMES) throw new DerError('subjectAltName has too many names', names.at);
    names.next();
    if (names.tag === TAG_URI)
      uris.push(Buffer.from(names.bytes.subarray(names.start, names.end)).toString('latin1'));
  }
}

function readKey(spki: Uint8Array): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch {
    throw invalid('its public key cannot be read');
  }
  const weakness = weaknessOf(key);
  if (weakness !== null) throw new MeshError('csr_weak_key', weakness);
  return key;
}

function weaknessOf(key: KeyObject): string | null {
  const { modulusLength = 0, namedCurve = 'of explicit parameters' } = key.asymmetricKeyDetails ?? {};
  const { publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  const type = key.asymmetricKeyType;
  if (type === 'ed25519') return null;
  if (type === 'ec')
    return CURVES.has(namedCurve) ? null : `the curve is ${namedCurve}, wanted P-256, P-384 or P-521`;
  if (type !== 'rsa') return `the key is ${type ?? 'of no known kind'}, wanted RSA, ECDSA or Ed25519`;
  if (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS)
    return `the RSA key has ${modulusLength} bits, wanted ${MIN_RSA_BITS} to ${MAX_RSA_BITS}`;
  const isSound = publicExponent >= 3n && publicExponent <= MAX_RSA_EXPONENT && publicExponent % 2n === 1n;
  return isSound ? null : 'the RSA key has an exponent that is even, below 3 or too large';
}

function isSignedBy(key: KeyObject, parts: CsrParts): boolean {
  const algorithm = Object.hasOwn(DIGESTS, parts.signatureAlgorithm)
    ? DIGESTS[parts.signatureAlgorithm]
    : undefined;
  if (algorithm === undefined)
    throw invalid(`the signature algorithm ${quoteText(parts.signatureAlgorithm)} is not known`);
  if (key.asymmetricKeyType !== algorithm.keyType)
    throw invalid('the signature algorithm is not of the kind of the key');
  try {
    return verify(algorithm.digest, parts.signed, key, parts.signature);
  } catch {
    return false;
  }
}

/**
 * The trust domain may be another one: agents of one mesh say `cluster.local` whatever their CA's is. A SPIFFE ID
 * that cannot be parsed is nobody's, and so not the caller's.
 */
function refuseOtherIdentity(uris: readonly string[], caller: ServiceAccount): void {
  const ownPath = `/ns/${caller.namespace}/sa/${caller.serviceAccount}`;
  for (const uri of uris) {
    if (!/^spiffe:/i.test(uri)) continue;
    const id = parseSpiffeId(uri);
    if (id instanceof SpiffeId && id.path === ownPath) continue;
    throw new MeshError(
      'csr_identity_mismatch',
      `it names ${quoteText(uri)}, the caller is "${caller.namespace}/${caller.serviceAccount}"`,
    );
  }
}
