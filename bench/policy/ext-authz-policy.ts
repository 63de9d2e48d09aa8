/** A CUSTOM policy that asks a provider about every request; the same provider for all peers. */
import type { Certificates } from '../certificates.ts';
import { CHECKED_FIELD, DENIED_BODY, DENY_FIELD } from '../load/provider-answers.ts';
import { policyCase } from './enforced-policy.ts';
import type { EnforcedPolicy } from './enforced-policy.ts';
import { authorizationPolicy } from './policy-documents.ts';

export const PROVIDER_KINDS = ['grpc', 'http'] as const;
export type ProviderKind = (typeof PROVIDER_KINDS)[number];

const HOST = 'authz.foo.svc.cluster.local';
const PORT = 9000;

/** `port`: where the provider listens on loopback. */
export function extAuthzPolicy(certificates: Certificates, kind: ProviderKind, port: number): EnforcedPolicy {
  const denied = { fields: `${DENY_FIELD}: yes\r\n`, status: 403, body: DENIED_BODY };
  return {
    documents: [
      { meshConfig: { extensionProviders: [{ name: 'authz', ...extension(kind) }] } },
      service(kind, port),
      authorizationPolicy('ask', { action: 'CUSTOM', provider: { name: 'authz' }, rules: [{}] }),
    ],
    requestFields: [],
    cases: [
      policyCase(certificates, {
        what: 'what the provider adds for the app',
        path: '/headers',
        status: 200,
        body: `${CHECKED_FIELD.name}: ${CHECKED_FIELD.value}\r\n`,
      }),
      policyCase(certificates, { what: 'a request that the provider denies', ...denied }),
      policyCase(certificates, { what: 'the same at another path', path: '/elsewhere', ...denied }),
    ],
  };
}

function extension(kind: ProviderKind): object {
  const usual = { service: HOST, port: PORT, timeout: '5s', failOpen: false };
  if (kind === 'grpc') return { envoyExtAuthzGrpc: usual };
  return {
    envoyExtAuthzHttp: {
      ...usual,
      includeRequestHeadersInCheck: [DENY_FIELD],
      headersToUpstreamOnAllow: [CHECKED_FIELD.name],
    },
  };
}

function service(kind: ProviderKind, port: number): object {
  const protocol = kind === 'grpc' ? 'GRPC' : 'HTTP';
  return {
    apiVersion: 'networking.istio.io/v1',
    kind: 'ServiceEntry',
    metadata: { name: 'authz', namespace: 'foo' },
    spec: {
      hosts: [HOST],
      ports: [{ number: PORT, name: kind, protocol }],
      resolution: 'STATIC',
      endpoints: [{ address: '127.0.0.1', ports: { [kind]: port } }],
    },
  };
}
