/**
 * The documents of the demo: a postern.yaml for each sidecar, and one set of Istio documents that all of them share,
 * as in a cluster.
 */
import type { SidecarPorts } from './demo-addresses.ts';
import { type ServerName, SERVER_NAMES, partsOf, type WorkloadName } from './demo-names.ts';

export type DemoMode = 'PERMISSIVE' | 'STRICT';

/** Where an app, or the sidecar before it, takes connections. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

/** Paths are relative to the folder that it lies in. */
export function posternYaml(name: WorkloadName, host: string, ports: SidecarPorts, socket: string): string {
  const { namespace, serviceAccount } = partsOf(name);
  return `workload: {namespace: ${namespace}, serviceAccount: ${serviceAccount}, name: ${serviceAccount}-1, labels: {app: ${serviceAccount}}}
identity: {sds: 'unix:${socket}'}
config: [mesh]
intercept: {bind: ${host}, port: ${ports.intercept}}
app: {host: ${host}}
admin: {bind: ${host}, port: ${ports.admin}}
readiness: {bind: ${host}, port: ${ports.readiness}}
metrics: {bind: ${host}, port: ${ports.metrics}}
`;
}

/** The name of the port says that its traffic is HTTP. `payments` is a service that somebody else answers for. */
export const SERVICES_YAML: string = ['foo/httpbin', 'bar/httpbin', 'legacy/httpbin', 'foo/payments']
  .map((name) => {
    const [namespace, app] = name.split('/');
    return `apiVersion: v1
kind: Service
metadata: {name: ${app}, namespace: ${namespace}}
spec:
  selector: {app: ${app}}
  ports: [{name: http, port: 8000, targetPort: 8080}]
`;
  })
  .join('---\n');

/** Nothing is redirected here: every sidecar has a listener of its own, for its app's calls or before its app. */
export function sidecarsYaml(
  hosts: Readonly<Record<WorkloadName, string>>,
  ports: SidecarPorts,
  appPorts: Readonly<Record<ServerName, number>>,
): string {
  const egress = (['foo/sleep', 'bar/sleep'] as const).map(
    (name) => `${sidecarHead(name)}
  egress:
  - port: {number: ${ports.egress}, name: http, protocol: HTTP}
    bind: ${hosts[name]}
    captureMode: NONE
    hosts: ["*/*"]
`,
  );
  const ingress = SERVER_NAMES.map(
    (name) => `${sidecarHead(name)}
  ingress:
  - port: {number: ${ports.ingress}, name: http, protocol: HTTP}
    bind: ${hosts[name]}
    captureMode: NONE
    defaultEndpoint: 0.0.0.0:${appPorts[name]}
`,
  );
  return [...egress, ...ingress].join('---\n');
}

function sidecarHead(name: WorkloadName): string {
  const { namespace, serviceAccount } = partsOf(name);
  return `apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: ${serviceAccount}, namespace: ${namespace}}
spec:
  workloadSelector: {labels: {app: ${serviceAccount}}}`;
}

/**
 * A service account tells callers that there is a sidecar, and who it must prove to be. foo/payments names the
 * place of foo/httpbin: who answers there has a good certificate, of another account.
 */
export function instancesYaml(
  servers: Readonly<Partial<Record<ServerName, Place>>>,
  legacyApp: Place,
): string {
  const { 'foo/httpbin': foo, 'bar/httpbin': bar } = servers;
  return [
    ...(foo === undefined ? [] : [instance('foo', 'httpbin', foo, 'httpbin')]),
    ...(bar === undefined ? [] : [instance('bar', 'httpbin', bar, 'httpbin')]),
    ...(foo === undefined ? [] : [instance('foo', 'payments', foo, 'payments')]),
    instance('legacy', 'httpbin', legacyApp, null),
  ].join('---\n');
}

function instance(namespace: string, app: string, place: Place, serviceAccount: string | null): string {
  return `apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: ${app}-1, namespace: ${namespace}}
spec:
  address: ${place.host}
  ports: {http: ${place.port}}
  labels: {app: ${app}}
${serviceAccount === null ? '' : `  serviceAccount: ${serviceAccount}\n`}`;
}

export function peerAuthenticationYaml(mode: DemoMode): string {
  return ['foo', 'bar']
    .map(
      (namespace) => `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: ${namespace}}
spec:
  mtls: {mode: ${mode}}
`,
    )
    .join('---\n');
}
