/** The documents of the demo: a postern.yaml, and the Istio documents that its sidecar runs unchanged. */
import type { SidecarPorts } from './demo-addresses.ts';
import type { DemoApp } from './demo-app.ts';

export const TRUST_DOMAIN = 'cluster.local';
export const NAMESPACE = 'foo';
export const SERVER_ID: string = `spiffe://${TRUST_DOMAIN}/ns/${NAMESPACE}/sa/httpbin`;
export const CLIENT_ID: string = `spiffe://${TRUST_DOMAIN}/ns/${NAMESPACE}/sa/sleep`;
/** What a client of the mesh says in its ClientHello. */
export const SERVER_NAME: string = `httpbin.${NAMESPACE}.svc.cluster.local`;

export type DemoMode = 'PERMISSIVE' | 'STRICT';

/** Paths are relative to the folder that it lies in. */
export function posternYaml(app: DemoApp, ports: SidecarPorts): string {
  return `workload: {namespace: ${NAMESPACE}, serviceAccount: httpbin, name: httpbin-1, labels: {app: httpbin}}
identity:
  files:
    certificateChain: identity/cert-chain.pem
    privateKey: identity/key.pem
    trustBundle: root-cert.pem
config: [mesh]
intercept: {bind: ${app.host}, port: ${ports.intercept}, direct: '${app.host}:${app.port}'}
app: {host: ${app.host}}
admin: {bind: ${app.host}, port: ${ports.admin}}
readiness: {bind: ${app.host}, port: ${ports.readiness}}
metrics: {bind: ${app.host}, port: ${ports.metrics}}
`;
}

/** The name of the port says that its traffic is HTTP. */
export function serviceYaml(app: DemoApp): string {
  return `apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: ${NAMESPACE}}
spec:
  selector: {app: httpbin}
  ports: [{name: http, port: 8000, targetPort: ${app.port}}]
`;
}

export function peerAuthenticationYaml(mode: DemoMode): string {
  return `apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: ${NAMESPACE}}
spec:
  mtls: {mode: ${mode}}
`;
}
