/** The names of Kubernetes that an identity of Istio is made of. */

/** Who asks for a certificate: proved by a token, or named by a configuration. */
export interface ServiceAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

const SUBJECT_PREFIX = 'system:serviceaccount:';
const LABEL = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;
const MAX_NAME = 253;

/** A DNS label (RFC 1123), as names of namespaces are. */
export function isNamespaceName(text: string): boolean {
  return LABEL.test(text);
}

/** DNS labels with dots between, as names of service accounts are. */
export function isServiceAccountName(text: string): boolean {
  return text.length <= MAX_NAME && text.split('.').every((label) => LABEL.test(label));
}

/** The `sub` of a service account's token. */
export function subjectOf(account: ServiceAccount): string {
  return `${SUBJECT_PREFIX}${account.namespace}:${account.serviceAccount}`;
}

/** `system:serviceaccount:NS:SA` with names that Kubernetes would take; null for any other text. */
export function parseSubject(subject: string): ServiceAccount | null {
  if (!subject.startsWith(SUBJECT_PREFIX)) return null;
  const [namespace = '', serviceAccount = '', ...more] = subject.slice(SUBJECT_PREFIX.length).split(':');
  if (more.length > 0 || !isNamespaceName(namespace) || !isServiceAccountName(serviceAccount)) return null;
  return { namespace, serviceAccount };
}
