/**
 * One policy set of the comparison: Istio documents as plain objects, and what the harness must know beside them.
 */
import { stringify } from 'yaml';
import type { TrustDomains } from './policy-alphabet.ts';
import { WORKLOAD_PORT } from './policy-alphabet.ts';

/** `from[].source`, `to[].operation`: field → values. */
export type Fields = Readonly<Record<string, readonly string[]>>;

export interface Condition {
  readonly key: string;
  readonly values?: readonly string[];
  readonly notValues?: readonly string[];
}

export interface Rule {
  readonly from?: readonly { readonly source: Fields }[];
  readonly to?: readonly { readonly operation: Fields }[];
  readonly when?: readonly Condition[];
}

export type Action = 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';

/** Providers of ext_authz: the app itself, which refuses what is below `/refuse`. */
export const PROVIDERS = { permit: 'allow', refuse: 'deny' } as const;

/** Stands in documents for wherever the app is. */
export const APP_HOST = '127.77.0.1';

export interface Policy {
  readonly namespace: string;
  readonly name: string;
  readonly action: Action;
  /** CUSTOM only: one of `PROVIDERS`. */
  readonly provider?: keyof typeof PROVIDERS;
  readonly dryRun: boolean;
  readonly selector: Readonly<Record<string, string>> | null;
  /** undefined: `spec` has none. */
  readonly rules: readonly Rule[] | undefined;
}

/** A JWTRule as in the API; `jwks` is filled in by the harness from `keys`. */
export interface TokenRule {
  readonly issuer: string;
  readonly audiences?: readonly string[];
  readonly fromHeaders?: readonly { readonly name: string; readonly prefix?: string }[];
  readonly fromParams?: readonly string[];
  readonly fromCookies?: readonly string[];
  readonly outputPayloadToHeader?: string;
  readonly outputClaimToHeaders?: readonly { readonly header: string; readonly claim: string }[];
  readonly forwardOriginalToken?: boolean;
  readonly spaceDelimitedClaims?: readonly string[];
}

export type Mode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';
export type PortKind = 'http' | 'tcp' | 'auto';

export interface PolicySet {
  readonly name: string;
  readonly trust: TrustDomains;
  readonly normalization: 'DEFAULT' | 'NONE' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';
  readonly mode: Mode;
  readonly port: PortKind;
  readonly policies: readonly Policy[];
  readonly tokenRules: readonly TokenRule[];
  /** Paths that requests have besides those that are drawn for the rules. */
  readonly targets?: readonly string[];
  /** The same for Host. */
  readonly hosts?: readonly string[];
  /** SPIFFE IDs without their scheme: who calls, instead of those that are drawn. */
  readonly callers?: readonly string[];
  /** And lists of header fields. */
  readonly headers?: readonly (readonly (readonly [string, string])[])[];
}

/** Namespace, account and labels of the workload that all sets are for. */
export const WORKLOAD = {
  namespace: 'foo',
  serviceAccount: 'httpbin',
  name: 'httpbin-1',
  labels: { app: 'httpbin', version: 'v1' },
} as const;

/** All documents as one YAML text; `jwks`: the key set of every token rule. */
export function documentsOf(set: PolicySet, jwks: string): string {
  return documentObjects(set, jwks)
    .map((document) => JSON.stringify(document))
    .join('\n---\n');
}

/** The same for people. */
export function yamlOf(set: PolicySet): string {
  return documentObjects(set, '<keys>')
    .map((document) => stringify(document, { flowCollectionPadding: false }))
    .join('---\n');
}

function documentObjects(set: PolicySet, jwks: string): object[] {
  return [
    {
      meshConfig: {
        trustDomain: set.trust.own,
        trustDomainAliases: set.trust.aliases,
        pathNormalization: { normalization: set.normalization },
        ...(isCustom(set) && { extensionProviders: EXTENSIONS }),
      },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthentication',
      metadata: { name: 'default', namespace: WORKLOAD.namespace },
      spec: { mtls: { mode: set.mode } },
    },
    ...(set.port === 'auto' ? [] : [service(set.port)]),
    ...(isCustom(set) ? AUTHORIZER : []),
    ...set.policies.map(authorizationPolicy),
    ...(set.tokenRules.length === 0 ? [] : [requestAuthentication(set.tokenRules, jwks)]),
  ];
}

const isCustom = ({ policies }: PolicySet): boolean => policies.some(({ action }) => action === 'CUSTOM');

const EXTENSIONS = Object.keys(PROVIDERS).map((name) => ({
  name,
  envoyExtAuthzHttp: {
    service: 'authorizer.foo.svc.cluster.local',
    port: 9000,
    ...(name === 'refuse' && { pathPrefix: '/refuse' }),
  },
}));

const AUTHORIZER: readonly object[] = [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'authorizer', namespace: WORKLOAD.namespace },
    spec: {
      selector: { app: 'authorizer' },
      ports: [{ name: 'http', port: 9000, targetPort: WORKLOAD_PORT }],
    },
  },
  {
    apiVersion: 'networking.istio.io/v1',
    kind: 'WorkloadEntry',
    metadata: { name: 'authorizer', namespace: WORKLOAD.namespace },
    spec: { address: APP_HOST, labels: { app: 'authorizer' }, ports: { http: WORKLOAD_PORT } },
  },
];

function service(name: PortKind): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'httpbin', namespace: WORKLOAD.namespace },
    spec: { selector: { app: 'httpbin' }, ports: [{ name, port: 80, targetPort: WORKLOAD_PORT }] },
  };
}

function authorizationPolicy(policy: Policy): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'AuthorizationPolicy',
    metadata: {
      name: policy.name,
      namespace: policy.namespace,
      ...(policy.dryRun ? { annotations: { 'istio.io/dry-run': 'true' } } : {}),
    },
    spec: {
      ...(policy.selector === null ? {} : { selector: { matchLabels: policy.selector } }),
      ...(policy.action === 'ALLOW' ? {} : { action: policy.action }),
      ...(policy.provider === undefined ? {} : { provider: { name: policy.provider } }),
      ...(policy.rules === undefined ? {} : { rules: policy.rules }),
    },
  };
}

function requestAuthentication(rules: readonly TokenRule[], jwks: string): object {
  return {
    apiVersion: 'security.istio.io/v1',
    kind: 'RequestAuthentication',
    metadata: { name: 'jwt', namespace: WORKLOAD.namespace },
    spec: { jwtRules: rules.map((rule) => ({ ...rule, jwks })) },
  };
}
