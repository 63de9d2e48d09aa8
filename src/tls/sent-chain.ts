/**
 * The certificates that we send: as configured, and never the leaf alone if its issuer is known.
 *
 * Given a leaf alone, OpenSSL builds and verifies the chain to its root anew in every handshake and then sends
 * that root all the same: a fifth of the handshake's CPU time. Given the issuer, it sends what it was given.
 */
import { X509Certificate } from 'node:crypto';

/** `rootsPem`: one certificate a string. Throws if the chain holds no readable certificate. */
export function sentChain(chainPem: string, rootsPem: readonly string[]): string {
  const isLeafAlone = chainPem.indexOf(BEGIN) === chainPem.lastIndexOf(BEGIN);
  if (!isLeafAlone) return chainPem;
  const leaf = new X509Certificate(chainPem);
  const issuer = rootsPem.find((pem) => {
    const root = new X509Certificate(pem);
    return leaf.checkIssued(root) && leaf.verify(root.publicKey);
  });
  return issuer === undefined ? chainPem : `${chainPem.trimEnd()}\n${issuer}`;
}

const BEGIN = '-----BEGIN CERTIFICATE-----';
