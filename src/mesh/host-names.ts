/**
 * Names of services: what a v1 Service is called, what else a client may call it, and which pattern holds it.
 * The DNS suffix is `cluster.local` whatever the trust domain is (Istio's own default).
 */

const SERVICE_SUFFIX = '.svc.cluster.local';

/** `httpbin.foo.svc.cluster.local`. */
export function serviceHost(name: string, namespace: string): string {
  return `${name}.${namespace}${SERVICE_SUFFIX}`;
}

/** Shorter names of a Kubernetes host: `name.ns.svc`, `name.ns`, and `name` for clients of the same namespace. */
export function alternateNames(host: string, clientNamespace: string): readonly string[] {
  if (!host.endsWith(SERVICE_SUFFIX)) return [];
  const short = host.slice(0, -SERVICE_SUFFIX.length);
  const [name = '', namespace = '', ...more] = short.split('.');
  if (name === '' || name === '*' || namespace === '' || more.length > 0) return [];
  const names = [`${short}.svc`, short];
  if (namespace === clientNamespace) names.push(name);
  return names;
}

/** The host that a DestinationRule means: a name without dots is a Service of the rule's own namespace. */
export function expandRuleHost(host: string, namespace: string): string {
  return host.includes('.') || host.includes('*') ? host : serviceHost(host, namespace);
}

export function isWildcard(host: string): boolean {
  return host.startsWith('*');
}

/** Whether a pattern holds a host, or everything that a wildcard host stands for. */
export function holdsHost(pattern: string, host: string): boolean {
  return pattern === host || (isWildcard(pattern) && host.endsWith(pattern.slice(1)));
}
