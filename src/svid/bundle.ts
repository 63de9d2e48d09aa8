/**
 * The root certificates of one trust domain (SPIFFE Trust Domain and Bundle §4).
 *
 * Bundles are kept by trust domain and never thrown together, except for what the handshake's library is given.
 */
import { X509Certificate } from 'node:crypto';
import { MeshError } from '../core/errors.ts';
import { readCertificate } from './certificate.ts';
import { formatCertificate, parseCertificates, type PemProblem } from './pem.ts';
import { formatSubject } from './subject-name.ts';

export interface Bundle {
  /** Each root once, in the order of the text. */
  readonly roots: readonly X509Certificate[];
  /** The same as PEM, one root a string. */
  readonly pems: readonly string[];
  /** The same as names on one line, for messages: `CN=root,O=cluster.local`. */
  readonly subjects: readonly string[];
}

/** Throws `identity_invalid` with the reason, if any certificate of the text cannot be a root. */
export function parseBundle(pem: string): Bundle {
  const bundle = tryParseBundle(pem);
  if ('problem' in bundle)
    throw new MeshError('identity_invalid', `Cannot use the trust bundle: ${bundle.problem}`);
  return bundle;
}

export function tryParseBundle(pem: string): Bundle | PemProblem {
  const ders = parseCertificates(pem);
  if ('problem' in ders) return ders;
  const roots = new Map<string, X509Certificate>();
  const subjects: string[] = [];
  for (const [i, der] of ders.entries()) {
    try {
      const root = new X509Certificate(der);
      const { subjectAt, subjectEnd } = readCertificate(der);
      if (!root.ca)
        return { problem: `certificate ${i + 1} is not a CA's; a bundle holds root certificates` };
      if (roots.has(root.fingerprint256)) continue;
      roots.set(root.fingerprint256, root);
      subjects.push(formatSubject(der, subjectAt, subjectEnd));
    } catch {
      return { problem: `certificate ${i + 1} cannot be read` };
    }
  }
  const unique = [...roots.values()];
  return { roots: unique, pems: unique.map((root) => formatCertificate(root.raw)), subjects };
}
