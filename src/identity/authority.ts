/**
 * A certificate authority for one trust domain: it signs workload certificates as Istio's does.
 *
 * The leaf's profile is istiod's; what a request may name is its identity, its key and its time, nothing else.
 * Loaded only by `ca`, `demo` and the development certificates: the library behind it is far too heavy for a sidecar.
 */
// Has to be loaded before the library, whose container needs it, and exports nothing.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { MeshError } from '../core/errors.ts';
import { parseSpiffeId, parseTrustDomain, SpiffeId, type TrustDomain } from '../svid/spiffe-id.ts';

export type KeyAlgorithmName = 'ecdsa-p256' | 'ecdsa-p384' | 'rsa-2048';

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

type SigningAlgorithm = EcKeyGenParams | RsaHashedKeyGenParams;
type EcKeyGenParams = webcrypto.EcKeyGenParams & { hash: string };
type RsaHashedKeyGenParams = webcrypto.RsaHashedKeyGenParams & { hash: string };

const KEY_ALGORITHMS: Readonly<Record<KeyAlgorithmName, SigningAlgorithm>> = {
  'ecdsa-p256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'ecdsa-p384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'rsa-2048': {
    name: 'RSASSA-PKCS1-v1_5',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
    hash: 'SHA-256',
  },
};

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
    const { notBefore, notAfter } = this.#lifeOfLeaf(request);
    const serialNumber = randomSerial();
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber,
      issuer: this.#certificate.subjectName,
      notBefore,
      notAfter,
      signingAlgorithm: this.#signing,
      publicKey: new x509.PublicKey(new Uint8Array(request.publicKey)),
      signingKey: this.#keys.privateKey,
      extensions: [
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
          true,
        ),
        new x509.ExtendedKeyUsageExtension([
          x509.ExtendedKeyUsage.serverAuth,
          x509.ExtendedKeyUsage.clientAuth,
        ]),
        new x509.BasicConstraintsExtension(false, undefined, true),
        await x509.AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
        // Critical, because there is no subject (RFC 5280 §4.1.2.6).
        new x509.SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId.text }], true),
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

  /** Makes the key as well: for the demo and development, where one process is both sides. */
  async issueWithKey(
    request: Omit<LeafRequest, 'publicKey'> & { readonly keyAlgorithm?: KeyAlgorithmName },
  ): Promise<KeyedLeaf> {
    const keys = await generateKeys(KEY_ALGORITHMS[request.keyAlgorithm ?? 'ecdsa-p256']);
    const publicKey = new Uint8Array(await webcrypto.subtle.exportKey('spki', keys.publicKey));
    const leaf = await this.issue({ ...request, publicKey });
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    return { ...leaf, privateKeyPem: `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n` };
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

  #lifeOfLeaf(request: LeafRequest): { notBefore: Date; notAfter: Date } {
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

async function generateKeys(algorithm: SigningAlgorithm): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
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
