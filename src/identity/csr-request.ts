/**
 * Makes a workload's key and the certificate request for it, as Istio's agent does: subject O="", one critical URI SAN.
 *
 * The key is in memory only, in what is given back.
 */
// Has to be loaded before the library, whose container needs it, and exports nothing.
// oxlint-disable-next-line import/no-unassigned-import
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import { exportPrivateKey, generateKeys, KEY_ALGORITHMS, type KeyAlgorithmName } from './authority-keys.ts';

export interface CsrWithKey {
  readonly csrPem: string;
  /** PKCS #8. The caller owns it; nothing here keeps it. */
  readonly keyPem: string;
}

/** A new key every time: no two certificates share one. */
export async function createCsr(spiffeId: string, keyAlgorithm: KeyAlgorithmName): Promise<CsrWithKey> {
  const signing = KEY_ALGORITHMS[keyAlgorithm];
  const keys = await generateKeys(signing);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name([{ O: [''] }]),
    keys,
    signingAlgorithm: signing,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: spiffeId }], true)],
  });
  return { csrPem: `${request.toString('pem')}\n`, keyPem: await exportPrivateKey(keys) };
}
