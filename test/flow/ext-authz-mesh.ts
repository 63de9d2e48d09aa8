/** The documents of a CUSTOM policy for foo/httpbin: everything but `/open` is asked of a provider on loopback. */
import { meshConfig, peerAuthentication, service } from './flow-mesh.ts';

export interface AskedProvider {
  readonly kind: 'grpc' | 'http';
  /** Where it listens. */
  readonly port: number;
  readonly name?: string;
  /** More fields of the extension provider, YAML flow style: `failOpen: true, timeout: 1s`. */
  readonly fields?: string;
  /** `spec` of a DestinationRule for it, in YAML's flow style; '' : there is none. */
  readonly destinationRule?: string;
  /** Service account of its workload; '' : it has no sidecar. */
  readonly serviceAccount?: string;
}

/** An extension provider and the service that it is. */
function providerDocuments({
  destinationRule = '',
  kind,
  name = 'authz',
  port,
  serviceAccount = '',
}: AskedProvider): string {
  const protocol = kind === 'grpc' ? 'GRPC' : 'HTTP';
  const entry = [
    'apiVersion: networking.istio.io/v1',
    'kind: ServiceEntry',
    `metadata: {name: ${name}, namespace: foo}`,
    'spec:',
    `  hosts: [${name}.test]`,
    `  ports: [{number: 9000, name: ${kind}, protocol: ${protocol}}]`,
    '  location: MESH_INTERNAL',
    '  resolution: STATIC',
    '  endpoints:',
    `  - address: 127.0.0.1`,
    `    ports: {${kind}: ${port}}`,
    ...(serviceAccount === '' ? [] : [`    serviceAccount: ${serviceAccount}`]),
    '---',
    '',
  ];
  const rule = [
    'apiVersion: networking.istio.io/v1',
    'kind: DestinationRule',
    `metadata: {name: ${name}, namespace: foo}`,
    `spec: {host: ${name}.test, ${destinationRule}}`,
    '---',
    '',
  ];
  return [...entry, ...(destinationRule === '' ? [] : rule)].join('\n');
}

/** A policy that asks this provider; `rules` in YAML's flow style. */
export function customPolicy(provider: string, rules: string, name = `ask-${provider}`): string {
  return [
    'apiVersion: security.istio.io/v1',
    'kind: AuthorizationPolicy',
    `metadata: {name: ${name}, namespace: foo}`,
    'spec:',
    '  selector: {matchLabels: {app: httpbin}}',
    '  action: CUSTOM',
    `  provider: {name: ${provider}}`,
    `  rules: ${rules}`,
    '---',
    '',
  ].join('\n');
}

export const NOT_OPEN = '[{to: [{operation: {notPaths: ["/open"]}}]}]';

export function askingDocuments(
  appPort: number,
  providers: readonly AskedProvider[],
  policies: string,
  portName = 'http',
): string {
  const extensions = providers.map(({ fields = '', kind, name = 'authz' }) => {
    const type = kind === 'grpc' ? 'envoyExtAuthzGrpc' : 'envoyExtAuthzHttp';
    const more = fields === '' ? '' : `, ${fields}`;
    return `- {name: ${name}, ${type}: {service: ${name}.test, port: 9000${more}}}`;
  });
  return [
    meshConfig('extensionProviders:', ...extensions),
    peerAuthentication('PERMISSIVE'),
    service(portName, appPort),
    ...providers.map(providerDocuments),
    policies,
  ].join('');
}
