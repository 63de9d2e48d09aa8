/** Certificate requests that ask for whatever a test wants, signed by their own key or not. */
// Has to be loaded before the library.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

export interface CsrWishes {
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly subject?: x509.JsonName;
  readonly extensions?: readonly x509.Extension[];
  readonly algorithm?:
    | webcrypto.EcKeyGenParams
    | webcrypto.RsaHashedKeyGenParams
    | { readonly name: 'Ed25519' };
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' };

export async function makeCsr(wishes: CsrWishes = {}): Promise<{ pem: string; der: Buffer }> {
  const algorithm = wishes.algorithm ?? P256;
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const names: x509.JsonGeneralName[] = [
    ...(wishes.uris ?? []).map((value) => ({ type: 'url' as const, value })),
    ...(wishes.dnsNames ?? []).map((value) => ({ type: 'dns' as const, value })),
  ];
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name([...(wishes.subject ?? [{ O: [''] }])]),
    keys,
    signingAlgorithm: { hash: 'SHA-256', ...algorithm },
    extensions: [
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names, true)]),
      ...(wishes.extensions ?? []),
    ],
  });
  return { pem: request.toString('pem'), der: Buffer.from(request.rawData) };
}

/** Everything that a certificate of a workload must never have. */
export const CA_WISHES: readonly x509.Extension[] = [
  new x509.BasicConstraintsExtension(true, 3, true),
  new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
  new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.codeSigning, '2.5.29.37.0']),
];

export function pemOf(der: Uint8Array, label = 'CERTIFICATE REQUEST'): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replaceAll(/.{64}(?=.)/g, '$&\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}
