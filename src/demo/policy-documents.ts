/** The policies that the demo puts before bar/httpbin, as Istio takes them. */
import type { Place } from './demo-documents.ts';
import { ISSUER } from './demo-issuer.ts';

const SELECTOR = 'selector: {matchLabels: {app: httpbin}}';

/** `jwks`: the issuer's public keys. `authorizer`: who CUSTOM policies ask. */
export function policiesYaml(jwks: string, authorizer: Place): string {
  return [
    `meshConfig:
  extensionProviders:
  - name: demo-authz
    envoyExtAuthzHttp:
      service: authz.demo.internal
      port: ${authorizer.port}
      timeout: 2s
      includeRequestHeadersInCheck: [x-ext-authz]
      headersToUpstreamOnAllow: [x-ext-authz-check-result]
`,
    `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: authz, namespace: bar}
spec:
  hosts: [authz.demo.internal]
  ports: [{number: ${authorizer.port}, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: ${authorizer.host}}]
`,
    `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: bar}
spec:
  ${SELECTOR}
  jwtRules: [{issuer: ${ISSUER}, jwks: '${jwks}', forwardOriginalToken: true}]
`,
    policy('require-jwt', 'DENY', `[{from: [{source: {notRequestPrincipals: ["*"]}}], ${to('/private*')}}]`),
    policy('no-admin', 'DENY', `[{${to('/admin*')}}]`),
    policy(
      'allow-sleep',
      'ALLOW',
      '[{from: [{source: {principals: [cluster.local/ns/foo/sa/sleep]}}], to: [{operation: {methods: [GET], paths: [/get*, /private*, /partner*, /old*, /admin*]}}]}]',
    ),
    policy('allow-same-namespace', 'ALLOW', '[{from: [{source: {namespaces: [bar]}}]}]'),
    policy('ask', 'CUSTOM', `[{${to('/partner*')}}]`, '\n  provider: {name: demo-authz}'),
    policy('retire-old', 'DENY', `[{${to('/old*')}}]`, '', ', annotations: {istio.io/dry-run: "true"}'),
  ].join('---\n');
}

function to(path: string): string {
  return `to: [{operation: {paths: ["${path}"]}}]`;
}

function policy(name: string, action: string, rules: string, more = '', metadata = ''): string {
  return `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: bar${metadata}}
spec:
  ${SELECTOR}
  action: ${action}${more}
  rules: ${rules}
`;
}
