/**
 * AuthorizationPolicy as it reaches the data half: what was written, checked, for one workload. Plain and
 * structured-cloneable; `policy` compiles it. Names are those of Istio's API.
 */

/** Values of one field are alternatives; an empty list is a field that is not stated. */
export interface PolicySource {
  readonly principals: readonly string[];
  readonly notPrincipals: readonly string[];
  readonly requestPrincipals: readonly string[];
  readonly notRequestPrincipals: readonly string[];
  readonly namespaces: readonly string[];
  readonly notNamespaces: readonly string[];
  readonly serviceAccounts: readonly string[];
  readonly notServiceAccounts: readonly string[];
  readonly trustDomains: readonly string[];
  readonly notTrustDomains: readonly string[];
  readonly ipBlocks: readonly string[];
  readonly notIpBlocks: readonly string[];
  readonly remoteIpBlocks: readonly string[];
  readonly notRemoteIpBlocks: readonly string[];
}

export interface PolicyOperation {
  readonly hosts: readonly string[];
  readonly notHosts: readonly string[];
  readonly ports: readonly string[];
  readonly notPorts: readonly string[];
  readonly methods: readonly string[];
  readonly notMethods: readonly string[];
  readonly paths: readonly string[];
  readonly notPaths: readonly string[];
}

/** States nothing. */
export const ANY_SOURCE: PolicySource = {
  principals: [],
  notPrincipals: [],
  requestPrincipals: [],
  notRequestPrincipals: [],
  namespaces: [],
  notNamespaces: [],
  serviceAccounts: [],
  notServiceAccounts: [],
  trustDomains: [],
  notTrustDomains: [],
  ipBlocks: [],
  notIpBlocks: [],
  remoteIpBlocks: [],
  notRemoteIpBlocks: [],
};
/** States nothing. */
export const ANY_OPERATION: PolicyOperation = {
  hosts: [],
  notHosts: [],
  ports: [],
  notPorts: [],
  methods: [],
  notMethods: [],
  paths: [],
  notPaths: [],
};

export interface PolicyCondition {
  readonly key: string;
  readonly values: readonly string[];
  readonly notValues: readonly string[];
}

/** Sources are alternatives, so are operations; conditions must all hold. All three empty: matches everything. */
export interface PolicyRule {
  readonly from: readonly PolicySource[];
  readonly to: readonly PolicyOperation[];
  readonly when: readonly PolicyCondition[];
}

export type PolicyAction = 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';

/** Where a policy stands: the root namespace, the workload's namespace, or with a selector that the workload meets. */
export type PolicyScope = 'mesh' | 'namespace' | 'workload';

/** One policy that applies to this workload. */
export interface PlannedPolicy {
  readonly namespace: string;
  readonly name: string;
  readonly scope: PolicyScope;
  readonly action: PolicyAction;
  /** CUSTOM only, else ''. */
  readonly provider: string;
  /** CUSTOM only: why the provider cannot be asked; '' if it can. Then what matches is denied. */
  readonly providerProblem: string;
  readonly dryRun: boolean;
  /** Empty: it matches nothing. */
  readonly rules: readonly PolicyRule[];
}

export interface AuthorizationPlan {
  /** Oldest first; the order changes no decision. */
  readonly policies: readonly PlannedPolicy[];
  /** Of MeshConfig.extensionProviders those that a policy above names and that can be asked, by name. */
  readonly providers: Readonly<Record<string, ExtAuthzProvider>>;
}

export const NO_AUTHORIZATION: AuthorizationPlan = { policies: [], providers: {} };

/** MeshConfig.extensionProviders[].envoyExtAuthzHttp or envoyExtAuthzGrpc; absent fields have Istio's default. */
export interface ExtAuthzProvider {
  readonly kind: 'http' | 'grpc';
  readonly name: string;
  /** Envoy's cluster name of the provider's service, in `Snapshot.outbound.clusters`. */
  readonly cluster: string;
  /** The provider's host name, as the service is called: `opa.opa-system.svc.cluster.local`. */
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  readonly failOpen: boolean;
  readonly statusOnError: number;
  /** null: the body is not sent. */
  readonly body: {
    readonly maxRequestBytes: number;
    readonly allowPartialMessage: boolean;
    readonly packAsBytes: boolean;
  } | null;
  /** The following are of `http` only; '' or empty otherwise. Header lists: `exact`, `pre*`, `*suf`, lower case. */
  readonly pathPrefix: string;
  readonly includeRequestHeadersInCheck: readonly string[];
  /** Name, value, name, value …, names in lower case. */
  readonly includeAdditionalHeadersInCheck: readonly string[];
  readonly headersToUpstreamOnAllow: readonly string[];
  readonly headersToDownstreamOnDeny: readonly string[];
  readonly headersToDownstreamOnAllow: readonly string[];
}
