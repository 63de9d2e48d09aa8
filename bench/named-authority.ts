/**
 * A CA whose leafs have a DNS name beside the SPIFFE ID, which a CA of the mesh does not give. nginx compares a
 * server's certificate with a DNS name or does not verify it at all.
 */
// Has to be loaded before the library, whose container needs it, and exports nothing.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';

const DAY_MS = 86_400_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface NamedAuthority {
  readonly rootPem: string;
  issue(uri: string, dnsName: string): Promise<{ readonly chainPem: string; readonly privateKeyPem: string }>;
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function life(): { readonly notBefore: Date; readonly notAfter: Date; readonly serialNumber: string } {
  return {
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
    // A first byte that is neither zero nor negative.
    serialNumber: `40${randomBytes(15).toString('hex')}`,
  };
}

export async function createNamedAuthority(): Promise<NamedAuthority> {
  const keys = await generateKeys();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    ...life(),
    name: 'CN=bench names',
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      new x509.BasicConstraintsExtension(true, undefined, true),
    ],
  });
  return {
    rootPem: `${root.toString('pem')}\n`,
    async issue(uri, dnsName) {
      const own = await generateKeys();
      const leaf = await x509.X509CertificateGenerator.create({
        ...life(),
        issuer: root.subjectName,
        signingAlgorithm: ALGORITHM,
        publicKey: own.publicKey,
        signingKey: keys.privateKey,
        extensions: [
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([
            x509.ExtendedKeyUsage.serverAuth,
            x509.ExtendedKeyUsage.clientAuth,
          ]),
          new x509.SubjectAlternativeNameExtension(
            [
              { type: 'url', value: uri },
              { type: 'dns', value: dnsName },
            ],
            true,
          ),
        ],
      });
      const key = await webcrypto.subtle.exportKey('pkcs8', own.privateKey);
      return {
        chainPem: `${leaf.toString('pem')}\n`,
        privateKeyPem: `${x509.PemConverter.encode(key, 'PRIVATE KEY')}\n`,
      };
    },
  };
}
