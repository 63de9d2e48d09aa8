/**
 * A workload foo/sleep with an egress listener, in a folder of its own: what it calls and how is up to the documents.
 * Its sidecar runs in the test's process; `call` speaks for the app.
 */
import { request } from 'node:http';
import type { Filter } from '../../src/index.ts';
import { TempFolder } from '../support/temp-folder.ts';
import type { Issued } from '../support/test-ca.ts';
import { TestCa } from '../support/test-ca.ts';
import { InProcess } from './flow-mesh.ts';

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

/** A Sidecar that lets foo/sleep call everything by an egress listener on a free port. */
export const EGRESS_HTTP = `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: sleep, namespace: foo}
spec:
  workloadSelector: {labels: {app: sleep}}
  egress:
  - port: {number: 0, name: http, protocol: HTTP}
    bind: 127.0.0.1
    captureMode: NONE
    hosts: ["*/*"]
---
`;

/** Service httpbin.foo:8000 with its instances; `port` is theirs. */
export function httpbinService(
  instances: readonly { readonly port: number; readonly account?: string; readonly address?: string }[],
  portName = 'http',
): string {
  const service = `
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: ${portName}, port: 8000, targetPort: 8080}]}
---
`;
  const entries = instances.map(
    ({ account, address = '127.0.0.1', port }, index) => `
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: httpbin-${index}, namespace: foo}
spec:
  address: ${address}
  labels: {app: httpbin}
  ports: {${portName}: ${port}}
  ${account === undefined ? '' : `serviceAccount: ${account}`}
---
`,
  );
  return service + entries.join('');
}

export class FlowClient implements AsyncDisposable {
  readonly folder: TempFolder = new TempFolder();
  readonly #sidecar: InProcess;

  private constructor(sidecar: InProcess, folder: TempFolder) {
    this.#sidecar = sidecar;
    this.folder = folder;
  }

  static async start(
    ca: TestCa,
    documents: string,
    own?: Issued,
    settings = '',
    filters: readonly Filter[] = [],
  ): Promise<FlowClient> {
    const folder = new TempFolder();
    const issued = own ?? (await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/sleep' }));
    folder.write('chain.pem', issued.chainPem);
    folder.write('key.pem', issued.keyPem, 0o600);
    folder.write('root.pem', ca.rootPem);
    folder.write('mesh/documents.yaml', documents);
    const config = folder.write(
      'postern.yaml',
      [
        'workload: {namespace: foo, serviceAccount: sleep, labels: {app: sleep}}',
        'identity: {files: {certificateChain: chain.pem, privateKey: key.pem, trustBundle: root.pem}}',
        'config: [./mesh]',
        'intercept: {bind: 127.0.0.1, port: 0}',
        'admin: {port: 0}',
        'readiness: {bind: 127.0.0.1, port: 0}',
        'metrics: {bind: 127.0.0.1, port: 0}',
        settings,
        '',
      ].join('\n'),
    );
    return new FlowClient(await InProcess.start(config, filters, {}), folder);
  }

  get sidecar(): InProcess {
    return this.#sidecar;
  }

  /** The only egress listener's port. */
  get egress(): number {
    return Object.values(this.#sidecar.ports.egress ?? {})[0] ?? 0;
  }

  /** Replaces the documents and waits until they are in force or refused. */
  async setDocuments(text: string): Promise<void> {
    const from = this.#sidecar.logs.length;
    this.folder.write('mesh/documents.yaml', text);
    await Promise.race([
      this.#sidecar.waitForLog('reloaded', from),
      this.#sidecar.waitForLog('config_invalid', from),
    ]);
  }

  /** One request of the app, on a connection of its own. */
  call(
    host: string,
    path = '/',
    headers: Readonly<Record<string, string>> = {},
    port: number = this.egress,
  ): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const sent = request(
        { host: '127.0.0.1', port, path, headers: { host, ...headers }, agent: false },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => {
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: Buffer.concat(chunks).toString(),
            });
          });
        },
      );
      sent.on('error', reject);
      sent.setTimeout(5_000, () => sent.destroy(new Error('no answer in 5 s')));
      sent.end();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sidecar.close();
    this.folder.remove();
  }
}
