/**
 * Judges what a CA answered before anybody is given it: the key fits, the chain reaches the root that came with it,
 * and the identity is the workload's own. A token of somebody else would bring somebody else's certificate.
 */
import { MeshError } from '../core/errors.ts';
import { formatCertificate } from '../svid/pem.ts';
import { verifyOwnIdentity } from '../svid/own-identity.ts';
import { parseRoots } from '../svid/trust-bundles.ts';
import type { ServiceAccount } from './service-account.ts';
import type { WorkloadSecret } from './workload-secrets.ts';

/** The secret, with the CA's own roots and no others. Throws `ca_bad_answer`. */
export function checkAnswer(
  chain: readonly string[],
  keyPem: string,
  workload: ServiceAccount,
  nowMs: number,
): WorkloadSecret {
  const root = chain.at(-1);
  if (root === undefined || chain.length < 2)
    throw bad(`it has ${chain.length} elements, wanted the leaf first and the root last`);
  const whole = chain.map((pem) => `${pem.trimEnd()}\n`).join('');
  const answer = verifyOwnIdentity(whole, keyPem, root, nowMs);
  if (!answer.ok) throw bad(answer.reasons.join('; '));
  const { bundlePem, chainPem, facts } = answer.identity;
  const wanted = `/ns/${workload.namespace}/sa/${workload.serviceAccount}`;
  if (facts.spiffeId !== `spiffe://${facts.trustDomain}${wanted}`)
    throw bad(
      `the certificate is for "${facts.spiffeId}", the workload is "${workload.namespace}/${workload.serviceAccount}"; give the token of this workload`,
    );
  return {
    chainPem,
    keyPem: answer.identity.keyPem,
    rootsPem: mergeRoots([bundlePem]),
    serial: facts.serial,
    notAfterMs: facts.notAfterMs,
  };
}

/** Roots of several texts, each once, sorted by their PEM: the same set is always the same text. */
export function mergeRoots(texts: readonly string[]): string {
  const pems = new Set<string>();
  for (const text of texts) {
    const roots = parseRoots(text);
    if ('problem' in roots) throw bad(roots.problem);
    for (const root of roots) pems.add(formatCertificate(root.raw));
  }
  return [...pems].toSorted().join('');
}

function bad(detail: string): MeshError {
  return new MeshError('ca_bad_answer', `Cannot use the answer of the CA: ${detail}`);
}
