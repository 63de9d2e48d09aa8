/**
 * One workload foo/httpbin in a folder of its own: certificates, Istio documents, postern.yaml, and an app's port.
 *
 * The sidecar runs as a process (`proxy`) or in the test's own process (`inProcess`), which is faster.
 */
import path from 'node:path';
import type tls from 'node:tls';
import { createSidecar } from '../../src/index.ts';
import type { Filter, OpenPorts, RunningSidecar } from '../../src/index.ts';
import { connectRaw, type RawClient } from '../support/raw-client.ts';
import {
  startProxy,
  type LogLine,
  type PosternProcess,
  type ReadyLine,
  type SpawnOptions,
} from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { TestCa, type Issued } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';

export const HTTPBIN_ID = 'spiffe://cluster.local/ns/foo/sa/httpbin';
export const SLEEP_ID = 'spiffe://cluster.local/ns/foo/sa/sleep';

/** What Istio's clients offer before HTTP. */
export const MESH_ALPN: readonly string[] = ['istio-http/1.1', 'istio', 'http/1.1'];

export type Mode = 'STRICT' | 'PERMISSIVE' | 'DISABLE';

/** A PeerAuthentication of the workload's namespace. */
export function peerAuthentication(mode: Mode, namespace = 'foo'): string {
  return [
    'apiVersion: security.istio.io/v1',
    'kind: PeerAuthentication',
    `metadata: {name: default, namespace: ${namespace}}`,
    `spec: {mtls: {mode: ${mode}}}`,
    '---',
    '',
  ].join('\n');
}

/** A v1/Service of the app with one port. */
export function service(portName: string, targetPort: number, name = 'httpbin'): string {
  return [
    'apiVersion: v1',
    'kind: Service',
    `metadata: {name: ${name}, namespace: foo}`,
    'spec:',
    '  selector: {app: httpbin}',
    `  ports: [{name: ${portName}, port: 80, targetPort: ${targetPort}}]`,
    '---',
    '',
  ].join('\n');
}

/** A MeshConfig document of these lines of YAML. */
export function meshConfig(...lines: readonly string[]): string {
  return ['meshConfig:', ...lines.map((line) => `  ${line}`), '---', ''].join('\n');
}

export interface FlowMeshOptions {
  readonly appPort: number;
  /** Istio documents, in one file. */
  readonly documents: string;
  /** More lines of postern.yaml. */
  readonly settings?: string;
  readonly trustDomain?: string;
}

export class FlowMesh implements Disposable {
  readonly folder: TempFolder = new TempFolder();
  readonly ca: TestCa;
  /** The sidecar's own. */
  own: Issued;
  /** A member of the mesh, foo/sleep. */
  readonly sleep: Issued;
  readonly configFile: string;

  private constructor(options: FlowMeshOptions, ca: TestCa, own: Issued, sleep: Issued) {
    this.ca = ca;
    this.own = own;
    this.sleep = sleep;
    this.writeIdentity(own);
    this.folder.write('root.pem', ca.rootPem);
    this.documents(options.documents);
    this.configFile = this.folder.write(
      'postern.yaml',
      [
        'workload: {namespace: foo, serviceAccount: httpbin, labels: {app: httpbin}, name: httpbin-1}',
        'identity: {files: {certificateChain: chain.pem, privateKey: key.pem, trustBundle: root.pem}}',
        'config: [./mesh]',
        `intercept: {bind: 127.0.0.1, port: 0, direct: "127.0.0.1:${options.appPort}"}`,
        'admin: {port: 0}',
        'readiness: {bind: 127.0.0.1, port: 0}',
        'metrics: {bind: 127.0.0.1, port: 0}',
        options.settings ?? '',
        '',
      ].join('\n'),
    );
  }

  static async create(options: FlowMeshOptions): Promise<FlowMesh> {
    const domain = options.trustDomain ?? 'cluster.local';
    const ca = await TestCa.create(domain);
    const own = await ca.issue({ spiffeId: `spiffe://${domain}/ns/foo/sa/httpbin` });
    const sleep = await ca.issue({ spiffeId: `spiffe://${domain}/ns/foo/sa/sleep` });
    return new FlowMesh(options, ca, own, sleep);
  }

  /** Replaces the documents. */
  documents(text: string): void {
    this.folder.write('mesh/documents.yaml', text);
  }

  /** Replaces certificate and key, each file in one step. */
  writeIdentity(own: Issued): void {
    this.own = own;
    this.folder.write('chain.pem', own.chainPem);
    this.folder.write('key.pem', own.keyPem, 0o600);
  }

  /** Starts `postern proxy` and waits for its ready line. */
  proxy(
    args: readonly string[] = [],
    options: SpawnOptions = {},
  ): Promise<{ readonly proxy: PosternProcess; readonly ready: ReadyLine }> {
    return startProxy(this.configFile, args, options);
  }

  /** Starts a sidecar in this process. */
  inProcess(
    filters: readonly Filter[] = [],
    settings: Readonly<Record<string, string>> = {},
    configFile: string = this.configFile,
  ): Promise<InProcess> {
    return InProcess.start(configFile, filters, settings);
  }

  /** TLS options of a client; null: without a certificate. */
  clientTls(alpn: readonly string[], identity: Issued | null = this.sleep): tls.ConnectionOptions {
    return {
      ca: this.ca.rootPem,
      checkServerIdentity: () => undefined,
      ...(alpn.length === 0 ? {} : { ALPNProtocols: [...alpn] }),
      ...(identity === null ? {} : { cert: identity.chainPem, key: identity.keyPem }),
    };
  }

  /** An mTLS connection of foo/sleep. */
  connect(
    port: number,
    alpn: readonly string[] = MESH_ALPN,
    identity: Issued | null = this.sleep,
  ): Promise<RawClient> {
    return connectRaw({ port, tls: this.clientTls(alpn, identity) });
  }

  /** The path of a file in the mesh's folder. */
  path(name: string): string {
    return path.join(this.folder.path, name);
  }

  [Symbol.dispose](): void {
    this.folder.remove();
  }
}

/** A sidecar in this process and the log lines that it wrote. */
export class InProcess implements AsyncDisposable {
  readonly logs: LogLine[] = [];
  readonly #sidecar: RunningSidecar;
  #wake = Promise.withResolvers<void>();

  private constructor(sidecar: RunningSidecar) {
    this.#sidecar = sidecar;
  }

  static async start(
    config: string,
    filters: readonly Filter[],
    settings: Readonly<Record<string, string>>,
  ): Promise<InProcess> {
    const early: LogLine[] = [];
    let take = (line: LogLine): void => {
      early.push(line);
    };
    const sidecar = await createSidecar({
      config,
      filters,
      settings,
      writeLog: (line) => {
        take(JSON.parse(line) as LogLine);
      },
    });
    const running = new InProcess(sidecar);
    take = (line) => {
      running.logs.push(line);
      running.#wake.resolve();
      running.#wake = Promise.withResolvers<void>();
    };
    for (const line of early) take(line);
    return running;
  }

  get ports(): OpenPorts {
    return this.#sidecar.ports;
  }

  get port(): number {
    return this.#sidecar.ports.intercept;
  }

  /** Log lines of one code. */
  logsOf(code: string): readonly LogLine[] {
    return this.logs.filter((line) => line['code'] === code);
  }

  /** The first log line of a code, from entry `from` on. */
  waitForLog(code: string, from = 0): Promise<LogLine> {
    const loop = async (): Promise<LogLine> => {
      for (;;) {
        const found = this.logs.slice(from).find((line) => line['code'] === code);
        if (found !== undefined) return found;
        await this.#wake.promise;
      }
    };
    return withDeadline(loop(), 5_000, `a log line "${code}"`, () => JSON.stringify(this.logs.slice(-10)));
  }

  reload(): void {
    this.#sidecar.reload();
  }

  drain(): Promise<void> {
    return this.#sidecar.drain();
  }

  close(): Promise<void> {
    return this.#sidecar.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#sidecar.close();
  }
}

/** A GET of a path, keep-alive. */
export function get(target = '/', ...fields: readonly string[]): string {
  return [`GET ${target} HTTP/1.1`, 'host: httpbin.foo', ...fields, '', ''].join('\r\n');
}
