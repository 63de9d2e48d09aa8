/**
 * foo/httpbin behind a sidecar with AuthorizationPolicies, and an app that keeps every byte that reached it: what a
 * policy let through is what the app has seen, whatever the client was told.
 */
import type { Filter } from '../../src/index.ts';
import type { HttpResponse } from '../support/http-response-reader.ts';
import { connectRaw, type RawClient } from '../support/raw-client.ts';
import {
  startRecordingUpstream,
  type RecordedRequest,
  type RecordingUpstream,
  type RecordingUpstreamOptions,
} from '../support/recording-upstream.ts';
import type { Issued } from '../support/test-ca.ts';
import { FlowMesh, type InProcess, MESH_ALPN, service } from './flow-mesh.ts';

/** An AuthorizationPolicy; `spec` is YAML in one line: `{action: DENY, rules: […]}`. */
export function policy(
  name: string,
  spec: string,
  options: { readonly namespace?: string; readonly dryRun?: boolean } = {},
): string {
  const annotations = options.dryRun === true ? ', annotations: {"istio.io/dry-run": "true"}' : '';
  return [
    'apiVersion: security.istio.io/v1',
    'kind: AuthorizationPolicy',
    `metadata: {name: ${name}, namespace: ${options.namespace ?? 'foo'}${annotations}}`,
    `spec: ${spec}`,
    '---',
    '',
  ].join('\n');
}

/** `rules` of one operation field: `to('paths', '/admin', '/admin/*')`. */
export function to(field: string, ...values: readonly string[]): string {
  return `[{to: [{operation: {${field}: ${JSON.stringify(values)}}}]}]`;
}

/** `rules` of one source field. */
export function from(field: string, ...values: readonly string[]): string {
  return `[{from: [{source: {${field}: ${JSON.stringify(values)}}}]}]`;
}

/** `rules` of one condition. */
export function when(key: string, ...values: readonly string[]): string {
  return `[{when: [{key: "${key}", values: ${JSON.stringify(values)}}]}]`;
}

/** MeshConfig with the HTTP provider `opa`, and its service at a port of loopback. */
export function httpProvider(port: number, more = ''): string {
  return [
    'meshConfig:',
    '  extensionProviders:',
    `  - {name: opa, envoyExtAuthzHttp: {service: opa.foo.svc.cluster.local, port: 9000${more}}}`,
    '---',
    'apiVersion: networking.istio.io/v1',
    'kind: ServiceEntry',
    'metadata: {name: opa, namespace: foo}',
    'spec:',
    '  hosts: [opa.foo.svc.cluster.local]',
    '  ports: [{number: 9000, name: http, protocol: HTTP}]',
    '  resolution: STATIC',
    `  endpoints: [{address: 127.0.0.1, ports: {http: ${port}}}]`,
    '---',
    '',
  ].join('\n');
}

export interface PolicyMeshOptions {
  /** AuthorizationPolicies and MeshConfig; the Service is added. */
  readonly documents: string;
  /** Port name of the Service. Default `http`. */
  readonly port?: string;
  readonly settings?: string;
  readonly filters?: readonly Filter[];
  readonly app?: RecordingUpstreamOptions;
}

export interface Answer {
  readonly status: number;
  readonly response: HttpResponse;
  /** What reached the app of this request, and of whatever an attacker hid in it. */
  readonly reached: readonly RecordedRequest[];
  /** The targets of `reached`. */
  readonly targets: readonly string[];
}

export class PolicyMesh implements AsyncDisposable {
  readonly app: RecordingUpstream;
  readonly mesh: FlowMesh;
  readonly sidecar: InProcess;
  readonly #portName: string;
  #documents: string;

  private constructor(
    app: RecordingUpstream,
    mesh: FlowMesh,
    sidecar: InProcess,
    portName: string,
    documents: string,
  ) {
    this.app = app;
    this.mesh = mesh;
    this.sidecar = sidecar;
    this.#portName = portName;
    this.#documents = documents;
  }

  static async start(options: PolicyMeshOptions): Promise<PolicyMesh> {
    const app = await startRecordingUpstream(options.app);
    const portName = options.port ?? 'http';
    const mesh = await FlowMesh.create({
      appPort: app.port,
      documents: service(portName, app.port) + options.documents,
      ...(options.settings === undefined ? {} : { settings: options.settings }),
    });
    try {
      return new PolicyMesh(
        app,
        mesh,
        await mesh.inProcess(options.filters ?? []),
        portName,
        options.documents,
      );
    } catch (error) {
      mesh[Symbol.dispose]();
      await app.close();
      throw error;
    }
  }

  /** A connection of foo/sleep, of somebody else, or (null) in plaintext. */
  connect(
    identity: Issued | null = this.mesh.sleep,
    alpn: readonly string[] = MESH_ALPN,
  ): Promise<RawClient> {
    return identity === null
      ? connectRaw({ port: this.sidecar.port })
      : this.mesh.connect(this.sidecar.port, alpn, identity);
  }

  /** One request on a connection of its own. `head` is whole, with its empty line. */
  async ask(head: string, identity: Issued | null = this.mesh.sleep): Promise<Answer> {
    using client = await this.connect(identity);
    return await this.askOn(client, head);
  }

  async askOn(client: RawClient, head: string): Promise<Answer> {
    const before = this.app.requests.length;
    const response = await client.request(head, head.slice(0, head.indexOf(' ')));
    const reached = this.app.requests.slice(before);
    return { status: response.status, response, reached, targets: reached.map(({ target }) => target) };
  }

  /** Replaces the documents and waits until they are in force. */
  async change(documents: string): Promise<void> {
    // Files with the same text are no change.
    if (documents === this.#documents) return;
    this.#documents = documents;
    const at = this.sidecar.logs.length;
    this.mesh.documents(service(this.#portName, this.app.port) + documents);
    await this.sidecar.waitForLog('reloaded', at);
  }

  /** The value of a counter in `/stats`. */
  async stat(name: string): Promise<number> {
    const body = await this.admin('GET', '/stats');
    const line = body.split('\n').find((one) => one.startsWith(`${name}: `));
    return line === undefined ? Number.NaN : Number(line.slice(name.length + 2));
  }

  async admin(method: 'GET' | 'POST', target: string): Promise<string> {
    using client = await connectRaw({ port: this.sidecar.ports.admin });
    const length = method === 'POST' ? 'content-length: 0\r\n' : '';
    const { body } = await client.request(`${method} ${target} HTTP/1.1\r\nhost: localhost\r\n${length}\r\n`);
    return body.toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sidecar.close();
    this.mesh[Symbol.dispose]();
    await this.app.close();
  }
}
