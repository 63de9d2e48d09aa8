/**
 * A certificate authority for tests: good SVIDs in well under a millisecond, and every bad one on purpose.
 *
 * It signs what it is told to and checks nothing; `src/identity/authority.ts` is the one that refuses.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign as signBytes } from 'node:crypto';
import * as der from './der-writer.ts';

export type KeyType = 'ecdsa-p256' | 'ecdsa-p384' | 'rsa-2048';
export type KeyUsage = 'digitalSignature' | 'keyEncipherment' | 'keyAgreement' | 'keyCertSign' | 'cRLSign';
export type Purpose = 'serverAuth' | 'clientAuth' | 'codeSigning' | 'any';

const HOUR_MS = 3_600_000;
const KEY_USAGE_BITS: Readonly<Record<KeyUsage, number>> = {
  digitalSignature: 0x80,
  keyEncipherment: 0x20,
  keyAgreement: 0x08,
  keyCertSign: 0x04,
  cRLSign: 0x02,
};
const PURPOSES: Readonly<Record<Purpose, string>> = {
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  any: '2.5.29.37.0',
};

export interface IssueOptions {
  /** The one URI SAN of a good leaf; shorthand for `uris`. */
  readonly spiffeId?: string;
  /** All URI SANs; one byte a character, so that NUL, CR and LF can be written. */
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly emails?: readonly string[];
  /** UTF8String otherNames (id-on-SmtpUTF8Mailbox): text that a careless reader takes for a URI. */
  readonly otherNames?: readonly string[];
  /** Ready GeneralName TLVs, after the ones above. */
  readonly rawNames?: readonly Uint8Array[];
  /** false: no subjectAltName extension at all. */
  readonly san?: boolean;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** Shorthand: ended an hour ago. */
  readonly expired?: boolean;
  /** Shorthand: begins in an hour. */
  readonly notYetValid?: boolean;
  readonly key?: KeyType;
  readonly subject?: readonly der.Rdn[];
  /** Hex. */
  readonly serial?: string;
  /** 1: no extensions can be written, as in X.509 v1. */
  readonly version?: 1 | 3;
  /** basicConstraints' cA; null: the extension is absent. Default false. */
  readonly ca?: boolean | null;
  readonly pathLength?: number;
  /** null: the extension is absent. */
  readonly keyUsage?: readonly KeyUsage[] | null;
  /** null: the extension is absent. */
  readonly extendedKeyUsage?: readonly Purpose[] | null;
  /** Whole extension TLVs (see `der.extension`), after all others. */
  readonly extensions?: readonly Uint8Array[];
}

export interface Issued {
  readonly certPem: string;
  /** Leaf first, then the intermediates, without the root. */
  readonly chainPem: string;
  readonly keyPem: string;
  readonly der: Buffer;
  /** Lower-case hex. */
  readonly serial: string;
}

export interface CaOptions {
  readonly key?: KeyType;
  readonly commonName?: string;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
  /** false: a root or intermediate that may not sign, for tests of chains. */
  readonly ca?: boolean;
  readonly keyUsage?: readonly KeyUsage[] | null;
  readonly pathLength?: number;
}

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export function toPem(label: string, content: Uint8Array): string {
  const lines =
    Buffer.from(content)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

export class TestCa {
  readonly trustDomain: string;
  /** The root's certificate, also for an intermediate. */
  readonly rootPem: string;
  /** This authority's own certificate: the root's, or the intermediate's. */
  readonly certPem: string;
  readonly certDer: Buffer;
  /** PEM of the certificates between a leaf and the root, nearest first; '' for a root. */
  readonly #between: string;
  readonly #subject: readonly der.Rdn[];
  readonly #keys: KeyPair;

  private constructor(
    trustDomain: string,
    keys: KeyPair,
    subject: readonly der.Rdn[],
    certDer: Buffer,
    parent: TestCa | null,
  ) {
    this.trustDomain = trustDomain;
    this.#keys = keys;
    this.#subject = subject;
    this.certDer = certDer;
    this.certPem = toPem('CERTIFICATE', certDer);
    this.rootPem = parent === null ? this.certPem : parent.rootPem;
    this.#between = parent === null ? '' : this.certPem + parent.#between;
  }

  /** A root. Two roots of one trust domain have the same name and different keys. */
  static async create(trustDomain: string, options: CaOptions = {}): Promise<TestCa> {
    const keys = generateKeys(options.key ?? 'ecdsa-p256');
    const subject = caSubject(trustDomain, options.commonName ?? 'root');
    const certificate = build({ ...caProfile(options), subject }, subject, keys.publicKey, keys);
    return new TestCa(trustDomain, keys, subject, certificate.der, null);
  }

  /** An authority below this one. */
  async intermediate(options: CaOptions = {}): Promise<TestCa> {
    const keys = generateKeys(options.key ?? 'ecdsa-p256');
    const subject = caSubject(this.trustDomain, options.commonName ?? 'intermediate');
    const certificate = build({ ...caProfile(options), subject }, this.#subject, keys.publicKey, this.#keys);
    return new TestCa(this.trustDomain, keys, subject, certificate.der, this);
  }

  /** A leaf: without options, a good SVID of `spiffe://TRUST_DOMAIN/ns/foo/sa/sleep`. */
  async issue(options: IssueOptions = {}): Promise<Issued> {
    const keys = generateKeys(options.key ?? 'ecdsa-p256');
    const uris =
      options.uris ??
      (options.spiffeId === undefined
        ? [`spiffe://${this.trustDomain}/ns/foo/sa/sleep`]
        : [options.spiffeId]);
    const certificate = build({ ...options, uris }, this.#subject, keys.publicKey, this.#keys);
    const certPem = toPem('CERTIFICATE', certificate.der);
    return {
      certPem,
      chainPem: certPem + this.#between,
      keyPem: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }),
      der: certificate.der,
      serial: certificate.serial,
    };
  }
}

function caSubject(trustDomain: string, commonName: string): readonly der.Rdn[] {
  return [[['O', trustDomain]], [['CN', commonName]]];
}

function caProfile(options: CaOptions): IssueOptions {
  return {
    ca: options.ca ?? true,
    keyUsage: options.keyUsage === undefined ? ['keyCertSign'] : options.keyUsage,
    extendedKeyUsage: null,
    notBefore: options.notBefore ?? new Date(Date.now() - HOUR_MS),
    notAfter: options.notAfter ?? new Date(Date.now() + 24 * HOUR_MS),
    ...(options.pathLength === undefined ? {} : { pathLength: options.pathLength }),
  };
}

const rsaKeys: KeyPair[] = [];

function generateKeys(type: KeyType): KeyPair {
  if (type === 'rsa-2048') {
    // One RSA key for the whole process: making one takes longer than most tests.
    if (rsaKeys.length === 0) rsaKeys.push(generateKeyPairSync('rsa', { modulusLength: 2048 }));
    return rsaKeys[0]!;
  }
  return generateKeyPairSync('ec', { namedCurve: type === 'ecdsa-p384' ? 'P-384' : 'P-256' });
}

function build(
  options: IssueOptions,
  issuer: readonly der.Rdn[],
  publicKey: KeyObject,
  signer: KeyPair,
): { der: Buffer; serial: string } {
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const version = options.version ?? 3;
  const serial = (options.serial ?? randomSerial()).toLowerCase();
  const algorithm = signatureAlgorithm(signer.privateKey);
  const now = Date.now();
  let notBefore = options.notBefore ?? new Date(now - 120_000);
  let notAfter = options.notAfter ?? new Date(now + HOUR_MS);
  if (options.expired === true) {
    notBefore = new Date(now - 2 * HOUR_MS);
    notAfter = new Date(now - HOUR_MS);
  } else if (options.notYetValid === true) {
    notBefore = new Date(now + HOUR_MS);
    notAfter = new Date(now + 2 * HOUR_MS);
  }
  const extensions = [
    ...standardExtensions(options, spki, signer.publicKey.export({ type: 'spki', format: 'der' })),
    ...(options.extensions ?? []),
  ];
  const tbs = der.sequence(
    ...(version === 3 ? [der.explicit(0, der.integer('02'))] : []),
    der.integer(serial),
    algorithm,
    der.name(issuer),
    der.sequence(der.time(notBefore), der.time(notAfter)),
    der.name(options.subject ?? []),
    spki,
    ...(version === 3 && extensions.length > 0 ? [der.explicit(3, der.sequence(...extensions))] : []),
  );
  const signature = signBytes('sha256', tbs, signer.privateKey);
  return { der: der.sequence(tbs, algorithm, der.bits(signature)), serial };
}

function randomSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40; // positive and always 16 bytes
  return bytes.toString('hex');
}

function signatureAlgorithm(key: KeyObject): Buffer {
  return key.asymmetricKeyType === 'rsa'
    ? der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nothing())
    : der.sequence(der.oid('1.2.840.10045.4.3.2'));
}

/** The key identifier of RFC 5280 §4.2.1.2 (1), near enough: over the whole SPKI. */
const keyId = (spki: Uint8Array): Buffer => createHash('sha1').update(spki).digest();

function standardExtensions(options: IssueOptions, spki: Uint8Array, signerSpki: Uint8Array): Buffer[] {
  const out: Buffer[] = [];
  const keyUsage = options.keyUsage === undefined ? DEFAULT_KEY_USAGE : options.keyUsage;
  if (keyUsage !== null) out.push(der.extension('2.5.29.15', true, keyUsageValue(keyUsage)));
  const purposes = options.extendedKeyUsage === undefined ? DEFAULT_PURPOSES : options.extendedKeyUsage;
  if (purposes !== null) {
    const ids = purposes.map((purpose) => der.oid(PURPOSES[purpose]));
    out.push(der.extension('2.5.29.37', false, der.sequence(...ids)));
  }
  const ca = options.ca === undefined ? false : options.ca;
  if (ca !== null) {
    const path = options.pathLength === undefined ? [] : [der.integer(options.pathLength.toString(16))];
    out.push(der.extension('2.5.29.19', true, der.sequence(...(ca ? [der.boolean(true)] : []), ...path)));
  }
  if (ca === true) out.push(der.extension('2.5.29.14', false, der.octets(keyId(spki))));
  out.push(der.extension('2.5.29.35', false, der.sequence(der.tlv(0x80, keyId(signerSpki)))));
  const names = generalNames(options);
  if (options.san !== false && names.length > 0) {
    // Critical exactly when the subject is empty (RFC 5280 §4.2.1.6), as Istio does.
    out.push(der.extension('2.5.29.17', (options.subject ?? []).length === 0, der.sequence(...names)));
  }
  return out;
}

const DEFAULT_KEY_USAGE: readonly KeyUsage[] = ['digitalSignature', 'keyEncipherment'];
const DEFAULT_PURPOSES: readonly Purpose[] = ['serverAuth', 'clientAuth'];

function keyUsageValue(usages: readonly KeyUsage[]): Buffer {
  let value = 0;
  for (const usage of usages) value |= KEY_USAGE_BITS[usage];
  if (value === 0) return der.bits(Buffer.alloc(0));
  let unused = 0;
  while ((value & (1 << unused)) === 0) unused++;
  return der.bits(Buffer.from([value]), unused);
}

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

function generalNames(options: IssueOptions): Buffer[] {
  return [
    ...(options.uris ?? []).map((uri) => der.tlv(0x86, latin1(uri))),
    ...(options.dnsNames ?? []).map((dnsName) => der.tlv(0x82, latin1(dnsName))),
    ...(options.emails ?? []).map((email) => der.tlv(0x81, latin1(email))),
    ...(options.otherNames ?? []).map((text) =>
      der.tlv(0xa0, der.oid('1.3.6.1.5.5.7.8.9'), der.explicit(0, der.tlv(0x0c, Buffer.from(text)))),
    ),
    ...(options.rawNames ?? []).map((raw) => Buffer.from(raw)),
  ];
}
