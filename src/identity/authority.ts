/**
 * A certificate authority for one trust domain: it signs workload certificates as Istio's does.
 *
 * The leaf's profile is istiod's; what a request may name is its identity, its key and its time, nothing else.
 * Loaded only by `ca`, `demo` and the development certificates: the library behind it is far too heavy for a sidecar.
 */
// Has to be loaded before the library, whose container needs it, and exports nothing.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { MeshError, messageOf } from '../core/errors.ts';
import { type CertificateFields, KEY_USAGE_CERT_SIGN, readCertificate } from '../svid/certificate.ts';
import { parseCertificates } from '../svid/pem.ts';
import { parseSpiffeId, parseTrustDomain, SpiffeId, type TrustDomain } from '../svid/spiffe-id.ts';
import {
  exportPrivateKey,
  generateKeys,
  importKeys,
  KEY_ALGORITHMS,
  type KeyAlgorithmName,
  type SigningAlgorithm,
} from './authority-keys.ts';

export type { KeyAlgorithmName } from './authority-keys.ts';

export interface AuthorityOptions {
  readonly trustDomain: string;
  /** Default ecdsa-p256. */
  readonly keyAlgorithm?: KeyAlgorithmName;
  /** Default: now, less two minutes for clocks that lag. */
  readonly notBefore?: Date;
  /** Default: ten years from now. */
  readonly notAfter?: Date;
}

export interface IntermediateOptions extends Omit<AuthorityOptions, 'trustDomain'> {
  /** Default `intermediate`. */
  readonly commonName?: string;
}

export interface LeafRequest {
  /** Of the authority's own trust domain, with a path. */
  readonly spiffeId: string;
  /** SPKI in DER: the only thing that is taken from a certificate request. */
  readonly publicKey: Uint8Array;
  /** Default 24 hours. Ignored if `notAfter` is given. */
  readonly ttlMs?: number;
  /** Default: now, less two minutes. */
  readonly notBefore?: Date;
  /** Never past the authority's own end: it is cut to that. */
  readonly notAfter?: Date;
  /** Put the name into the subject as well, if it is short enough for one; default false. */
  readonly commonName?: boolean;
}

/** A certificate for a TLS server that is no workload: the CA's own. */
export interface ServerRequest {
  /** DNS names and IP addresses. */
  readonly names: readonly string[];
  /** SPKI in DER. */
  readonly publicKey: Uint8Array;
  readonly ttlMs: number;
}

export interface LeafCertificate {
  readonly certificatePem: string;
  /** Leaf first, then the intermediates, without the root. */
  readonly chainPem: string;
  /** Lower-case hex. */
  readonly serial: string;
  readonly notAfterMs: number;
}

export interface KeyedLeaf extends LeafCertificate {
  /** PKCS #8. The caller owns it; nothing here keeps it. */
  readonly privateKeyPem: string;
}

const CLOCK_LAG_MS = 2 * 60_000;
const DAY_MS = 86_400_000;
const ROOT_LIFE_MS = 3_650 * DAY_MS;
const SERIAL_BYTES = 16;
/** The bound of a common name (RFC 5280 appendix A, ub-common-name). */
const MAX_COMMON_NAME = 64;

/** Makes a self-signed root. */
export async function createAuthority(options: AuthorityOptions): Promise<Authority> {
  const trustDomain = parseTrustDomain(options.trustDomain);
  if (typeof trustDomain !== 'string')
    throw new MeshError(
      'identity_invalid',
      `Cannot make an authority for "${options.trustDomain}": ${trustDomain.problem}`,
    );
  return Authority.createRoot(trustDomain, options);
}

export class Authority {
  readonly trustDomain: TrustDomain;
  /** The root at the end of every chain of this authority. */
  readonly rootPem: string;
  /** This authority's own certificate; the root's, unless it is an intermediate. */
  readonly certificatePem: string;
  readonly #certificate: x509.X509Certificate;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly #signing: SigningAlgorithm;
  /** The certificates between a leaf and the root, nearest first. */
  readonly #between: string;

  private constructor(
    trustDomain: TrustDomain,
    certificate: x509.X509Certificate,
    keys: webcrypto.CryptoKeyPair,
    signing: SigningAlgorithm,
    parent: Authority | null,
  ) {
    this.trustDomain = trustDomain;
    this.#certificate = certificate;
    this.#keys = keys;
    this.#signing = signing;
    this.certificatePem = pemOf(certificate);
    this.rootPem = parent === null ? this.certificatePem : parent.rootPem;
    this.#between = parent === null ? '' : this.certificatePem + parent.#between;
  }

  static async createRoot(
    trustDomain: TrustDomain,
    options: Omit<AuthorityOptions, 'trustDomain'>,
  ): Promise<Authority> {
    const signing = KEY_ALGORITHMS[options.keyAlgorithm ?? 'ecdsa-p256'];
    const keys = await generateKeys(signing);
    const name = new x509.Name([{ O: [trustDomain] }]);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: randomSerial(),
      subject: name,
      issuer: name,
      ...lifeOfAuthority(options, Number.POSITIVE_INFINITY),
      signingAlgorithm: signing,
      publicKey: keys.publicKey,
      signingKey: keys.privateKey,
      extensions: await authorityExtensions(keys.publicKey, null),
    });
    return new Authority(trustDomain, certificate, keys, signing, null);
  }

  /**
   * A root that was made before. Rejects with `identity_invalid` or `identity_expired` unless it is one certificate
   * of a CA that signed itself with this key, and has not ended.
   */
  static async loadRoot(
    trustDomain: TrustDomain,
    certificatePem: string,
    privateKeyPem: string,
  ): Promise<Authority> {
    // First, for it says more of a key that cannot be read.
    const { keys, signing } = await importKeys(privateKeyPem);
    const certificate = checkRoot(certificatePem, privateKeyPem);
    return new Authority(trustDomain, certificate, keys, signing, null);
  }

  get notAfterMs(): number {
    return this.#certificate.notAfter.getTime();
  }

  /** An authority below this one, with a key of its own. */
  async createIntermediate(options: IntermediateOptions = {}): Promise<Authority> {
    this.#refuseIfExpired();
    const signing = KEY_ALGORITHMS[options.keyAlgorithm ?? 'ecdsa-p256'];
    const keys = await generateKeys(signing);
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: randomSerial(),
      subject: new x509.Name([{ O: [this.trustDomain] }, { CN: [options.commonName ?? 'intermediate'] }]),
      issuer: this.#certificate.subjectName,
      ...lifeOfAuthority(options, this.notAfterMs),
      signingAlgorithm: this.#signing,
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      extensions: await authorityExtensions(keys.publicKey, this.#keys.publicKey),
    });
    return new Authority(this.trustDomain, certificate, keys, signing, this);
  }

  /** Signs a workload certificate for a key that somebody else holds. */
  async issue(request: LeafRequest): Promise<LeafCertificate> {
    this.#refuseIfExpired();
    const spiffeId = this.#ownIdentity(request.spiffeId);
    const extensions = [
      // Critical, because there is no subject (RFC 5280 §4.1.2.6); Istio's is so with a subject too.
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId.text }], true),
    ];
    const isNamed = request.commonName === true && spiffeId.text.length <= MAX_COMMON_NAME;
    const subject = isNamed ? new x509.Name([{ CN: [spiffeId.text] }]) : undefined;
    const purposes = [x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth];
    return this.#sign(request, this.#lifeOfLeaf(request), purposes, extensions, subject);
  }

  /** Signs for a TLS server. Without clientAuth and a SPIFFE ID it is nobody's identity in the mesh. */
  async issueServer(request: ServerRequest): Promise<LeafCertificate> {
    this.#refuseIfExpired();
    const names = request.names.map((value): x509.JsonGeneralName =>
      isIP(value) === 0 ? { type: 'dns', value } : { type: 'ip', value },
    );
    const extensions = [new x509.SubjectAlternativeNameExtension(names, true)];
    return this.#sign(request, this.#lifeOfLeaf(request), [x509.ExtendedKeyUsage.serverAuth], extensions);
  }

  /** PKCS #8, for the folder of the root. The caller owns it. */
  async exportPrivateKey(): Promise<string> {
    return exportPrivateKey(this.#keys);
  }

  async #sign(
    request: { readonly publicKey: Uint8Array },
    life: { readonly notBefore: Date; readonly notAfter: Date },
    purposes: x509.ExtendedKeyUsageType[],
    extensions: x509.Extension[],
    subject?: x509.Name,
  ): Promise<LeafCertificate> {
    const serialNumber = randomSerial();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber,
      issuer: this.#certificate.subjectName,
      ...(subject === undefined ? {} : { subject }),
      ...life,
      signingAlgorithm: this.#signing,
      publicKey: new x509.PublicKey(new Uint8Array(request.publicKey)),
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
          true,
        ),
        new x509.ExtendedKeyUsageExtension(purposes),
        new x509.BasicConstraintsExtension(false, undefined, true),
        await this.#keyIdentifier(),
        ...extensions,
      ],
    });
    const certificatePem = pemOf(certificate);
    return {
      certificatePem,
      chainPem: certificatePem + this.#between,
      serial: serialNumber,
      notAfterMs: certificate.notAfter.getTime(),
    };
  }

  /** As the authority's own certificate names its key; a root of another tool may count it in another way. */
  async #keyIdentifier(): Promise<x509.AuthorityKeyIdentifierExtension> {
    const own = this.#certificate.getExtension(x509.SubjectKeyIdentifierExtension);
    if (own !== null) return new x509.AuthorityKeyIdentifierExtension(own.keyId);
    return x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey);
  }

  /** Makes the key as well: for the demo and development, where one process is both sides. */
  async issueWithKey(
    request: Omit<LeafRequest, 'publicKey'> & { readonly keyAlgorithm?: KeyAlgorithmName },
  ): Promise<KeyedLeaf> {
    const keys = await generateKeys(KEY_ALGORITHMS[request.keyAlgorithm ?? 'ecdsa-p256']);
    const publicKey = new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey));
    const leaf = await this.issue({ ...request, publicKey });
    return { ...leaf, privateKeyPem: await exportPrivateKey(keys) };
  }

  #ownIdentity(text: string): SpiffeId {
    const spiffeId = parseSpiffeId(text);
    const refuse = (problem: string): MeshError =>
      new MeshError('identity_invalid', `Cannot issue for ${JSON.stringify(text)}: ${problem}`);
    if (!(spiffeId instanceof SpiffeId)) throw refuse(spiffeId.problem);
    if (spiffeId.path === '') throw refuse('a workload has a path');
    if (spiffeId.trustDomain !== this.trustDomain) throw refuse(`the trust domain is "${this.trustDomain}"`);
    return spiffeId;
  }

  #lifeOfLeaf(request: Pick<LeafRequest, 'ttlMs' | 'notBefore' | 'notAfter'>): {
    notBefore: Date;
    notAfter: Date;
  } {
    const nowMs = Date.now();
    const notBefore = request.notBefore ?? new Date(nowMs - CLOCK_LAG_MS);
    const wantedMs = request.notAfter?.getTime() ?? nowMs + (request.ttlMs ?? DAY_MS);
    const notAfter = new Date(Math.min(wantedMs, this.notAfterMs));
    if (notAfter <= notBefore)
      throw new MeshError(
        'identity_invalid',
        `Cannot issue a certificate that ends (${notAfter.toISOString()}) before it begins (${notBefore.toISOString()})`,
      );
    return { notBefore, notAfter };
  }

  #refuseIfExpired(): void {
    if (this.notAfterMs > Date.now()) return;
    const since = this.#certificate.notAfter.toISOString();
    throw new MeshError('identity_expired', `Cannot sign: the authority's certificate expired at ${since}`);
  }
}

function lifeOfAuthority(
  options: Omit<AuthorityOptions, 'trustDomain'>,
  limitMs: number,
): { notBefore: Date; notAfter: Date } {
  const nowMs = Date.now();
  const wantedMs = options.notAfter?.getTime() ?? nowMs + ROOT_LIFE_MS;
  return {
    notBefore: options.notBefore ?? new Date(nowMs - CLOCK_LAG_MS),
    notAfter: new Date(Math.min(wantedMs, limitMs)),
  };
}

async function authorityExtensions(
  publicKey: webcrypto.CryptoKey,
  issuerKey: webcrypto.CryptoKey | null,
): Promise<x509.Extension[]> {
  const extensions: x509.Extension[] = [
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    new x509.BasicConstraintsExtension(true, undefined, true),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
  ];
  if (issuerKey !== null) extensions.push(await x509.AuthorityKeyIdentifierExtension.create(issuerKey));
  return extensions;
}

/** 16 random bytes; the first bit is cleared, for a serial is positive, the second set, so that none is short. */
function randomSerial(): string {
  const bytes = randomBytes(SERIAL_BYTES);
  bytes[0] = (bytes[0]! & 0x7f) | 0x40;
  return bytes.toString('hex');
}

function pemOf(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

function checkRoot(certificatePem: string, privateKeyPem: string): x509.X509Certificate {
  const ders = parseCertificates(certificatePem);
  if ('problem' in ders) throw unusable(`the certificate cannot be used: ${ders.problem}`);
  const [der] = ders;
  if (der === undefined || ders.length !== 1)
    throw unusable(`there are ${ders.length} certificates, wanted the one of a self-signed root`);
  let fields: CertificateFields;
  try {
    fields = readCertificate(der);
  } catch (thrown) {
    throw unusable(`the certificate cannot be read: ${messageOf(thrown)}`);
  }
  if (!fields.ca) throw unusable("the certificate is not a CA's (basicConstraints CA:TRUE is missing)");
  if (fields.keyUsage !== -1 && (fields.keyUsage & KEY_USAGE_CERT_SIGN) === 0)
    throw unusable('the certificate may not sign others (keyUsage lacks keyCertSign)');
  const certificate = new X509Certificate(der);
  const isSelfSigned = certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
  if (!isSelfSigned) throw unusable('the certificate is not self-signed');
  if (!certificate.checkPrivateKey(createPrivateKey(privateKeyPem)))
    throw unusable('the private key does not fit the certificate');
  if (fields.notAfterMs <= Date.now())
    throw new MeshError(
      'identity_expired',
      `the certificate expired at ${new Date(fields.notAfterMs).toISOString()}`,
    );
  return new x509.X509Certificate(new Uint8Array(der));
}

function unusable(problem: string): MeshError {
  return new MeshError('identity_invalid', problem);
}
