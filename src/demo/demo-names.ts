/** Who is in the demo's mesh: two namespaces with Istio's sample workloads, and a namespace without sidecars. */

export const TRUST_DOMAIN = 'cluster.local';

/** `namespace/service account`; the app label and the name of the WorkloadEntry are the account's. */
export const WORKLOAD_NAMES = ['foo/sleep', 'foo/httpbin', 'bar/sleep', 'bar/httpbin'] as const;
export type WorkloadName = (typeof WORKLOAD_NAMES)[number];

/** Apps that are called; the others call. */
export const SERVER_NAMES = ['foo/httpbin', 'bar/httpbin'] as const;
export type ServerName = (typeof SERVER_NAMES)[number];
export const CLIENT_NAMES = ['foo/sleep', 'bar/sleep'] as const;
export type ClientName = (typeof CLIENT_NAMES)[number];

/** An app that nobody stands in front of. */
export const LEGACY_APP = 'legacy/httpbin';

export function isServer(name: WorkloadName): name is ServerName {
  return SERVER_NAMES.some((server) => server === name);
}

export function partsOf(name: WorkloadName): { readonly namespace: string; readonly serviceAccount: string } {
  const [namespace = '', serviceAccount = ''] = name.split('/');
  return { namespace, serviceAccount };
}

export function spiffeIdOf(name: WorkloadName): string {
  const { namespace, serviceAccount } = partsOf(name);
  return `spiffe://${TRUST_DOMAIN}/ns/${namespace}/sa/${serviceAccount}`;
}

/** What raw clients look for at foo/httpbin's sidecar, and what they say in Host and ClientHello. */
export const SERVER_ID: string = spiffeIdOf('foo/httpbin');
export const CLIENT_ID: string = spiffeIdOf('foo/sleep');
export const SERVER_HOST = 'httpbin.foo.svc.cluster.local';
