/**
 * The foo pair as users run it, each part a process of its own: `postern ca`, an agent and a sidecar for foo/sleep and
 * foo/httpbin, and the app. Parts start, die and start again in any order: every port that another part must know is
 * fixed, on a loopback address that this mesh alone uses, where no connection of the kernel's choosing takes it.
 */
import { randomInt } from 'node:crypto';
import { createTokenKey, signToken } from '../../src/identity/token-sign.ts';
import { startEchoApp, type EchoApp } from '../support/echo-app.ts';
import { spawnPostern, type PosternProcess, type ReadyLine } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

export type WorkloadName = 'sleep' | 'httpbin';
export type Part = 'ca' | `agent-${WorkloadName}` | `proxy-${WorkloadName}`;

const WORKLOADS: readonly WorkloadName[] = ['sleep', 'httpbin'];
const PARTS: readonly Part[] = ['ca', 'agent-sleep', 'agent-httpbin', 'proxy-httpbin', 'proxy-sleep'];

const EGRESS_PORT = 8_000;
const INGRESS_PORT = 8_080;
const CA_PORT = 15_012;
/** Deadline of every wait for a log line. */
const WAIT_MS = 30_000;

/**
 * `certificate` of an agent that renews about once a second what is valid for twenty: a part that is away for less
 * than that costs nobody anything.
 */
export const SHORT_LIVED = '{ttl: 20s, renewAt: 0.03, jitter: 0.005}';

export interface ProcessMeshOptions {
  /** `certificate` of agent.yaml, in YAML. */
  readonly certificate?: string;
  /** More lines of both postern.yaml. */
  readonly settings?: string;
  /** What runs one of the sidecars, instead of `node src/main.ts`. */
  readonly command?: { readonly part: Part; readonly line: readonly [string, ...string[]] };
  /** Where httpbin's app listens; absent: an echo app that belongs to the mesh. */
  readonly appPort?: number;
}

export class ProcessMesh implements AsyncDisposable {
  readonly folder: TempFolder = new TempFolder();
  /** Address of every listener that others know. */
  readonly host = `127.${randomInt(64, 255)}.${randomInt(256)}.${randomInt(1, 255)}`;
  /** Where the app of foo/sleep sends its requests. */
  readonly egressPort: number = EGRESS_PORT;
  readonly #command: ProcessMeshOptions['command'];
  readonly #app: EchoApp | null;
  readonly #running = new Map<Part, PosternProcess>();

  private constructor(app: EchoApp | null, options: ProcessMeshOptions) {
    this.#app = app;
    this.#command = options.command;
    const { folder, host } = this;
    folder.write('mesh/documents.yaml', documents(host, options.appPort ?? app?.port ?? 0));
    folder.write('ca.yaml', caYaml(host));
    for (const workload of WORKLOADS) {
      folder.write(`agent-${workload}.yaml`, agentYaml(workload, host, options.certificate ?? '{ttl: 24h}'));
      folder.write(`proxy-${workload}.yaml`, proxyYaml(workload, options.settings ?? ''));
    }
  }

  /** Writes every file and starts the app; nothing else runs. */
  static async create(options: ProcessMeshOptions = {}): Promise<ProcessMesh> {
    const app = options.appPort === undefined ? await startEchoApp() : null;
    const mesh = new ProcessMesh(app, options);
    const { privateKeyPem, publicKeyPem } = await createTokenKey();
    mesh.folder.write('token.key.pub', publicKeyPem);
    for (const serviceAccount of WORKLOADS) {
      const request = { namespace: 'foo', serviceAccount, privateKeyPem, ttlMs: 3_600_000 };
      mesh.folder.write(`token-${serviceAccount}`, await signToken(request), 0o600);
    }
    return mesh;
  }

  /** Everything runs and is ready. */
  static async start(options: ProcessMeshOptions = {}): Promise<ProcessMesh> {
    const mesh = await ProcessMesh.create(options);
    try {
      // An agent reads the file of the root when it starts.
      await mesh.spawn('ca').ready();
      for (const part of PARTS) if (part !== 'ca') mesh.spawn(part);
      await Promise.all(PARTS.map((part) => mesh.process(part).ready()));
      return mesh;
    } catch (error) {
      await mesh[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Starts a part that does not run. */
  spawn(part: Part): PosternProcess {
    const [command = ''] = part.split('-');
    const process = spawnPostern([command, '--config', this.folder.join(`${part}.yaml`)], {
      cwd: this.folder.path,
      timeoutMs: WAIT_MS,
      ...(this.#command?.part === part ? { command: this.#command.line } : {}),
    });
    this.#running.set(part, process);
    return process;
  }

  process(part: Part): PosternProcess {
    const running = this.#running.get(part);
    if (running === undefined) throw new Error(`${part} was not started`);
    return running;
  }

  /** SIGKILL: nothing is cleaned up. */
  async kill(part: Part): Promise<void> {
    await this.process(part).stop('SIGKILL');
    this.#running.delete(part);
  }

  /** The part starts and says that it is ready, in its ready line and to whoever asks; answers how long that took. */
  async becomesReady(part: Part): Promise<number> {
    const from = performance.now();
    const running = this.spawn(part);
    await running.ready();
    const url = await this.readyUrl(part);
    const { status } = await fetch(url, { headers: { connection: 'close' } });
    if (status !== 200) throw new Error(`${part} said that it was ready and answered ${status} at ${url}`);
    return performance.now() - from;
  }

  /** Where a part says whether it is ready; it must be. */
  async readyUrl(part: Part): Promise<string> {
    const { ports } = await this.process(part).ready();
    return part === 'ca'
      ? `http://127.0.0.1:${ports.admin}/ready`
      : `http://127.0.0.1:${ports.readiness}/healthz/ready`;
  }

  /** Whether it answers 200 there now. */
  async isReady(part: Part): Promise<boolean> {
    const response = await fetch(await this.readyUrl(part), { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.status === 200;
  }

  async ports(part: Part): Promise<ReadyLine['ports']> {
    return (await this.process(part).ready()).ports;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#running.values()].map((one) => one[Symbol.asyncDispose]()));
    await this.#app?.close();
    this.folder.remove();
  }
}

function caYaml(host: string): string {
  return `
listen: {bind: ${host}, port: ${CA_PORT}}
root: {selfSigned: {folder: ./ca}}
tokens:
- development: {publicKey: ./token.key.pub}
admin: {port: 0}
`;
}

function agentYaml(workload: WorkloadName, host: string, certificate: string): string {
  return `
workload: {namespace: foo, serviceAccount: ${workload}}
socket: {path: ./run/${workload}.sock}
ca: {address: '${host}:${CA_PORT}', root: ./ca/root-cert.pem}
token: {file: ./token-${workload}}
certificate: ${certificate}
readiness: {port: 0}
`;
}

function proxyYaml(workload: WorkloadName, settings: string): string {
  return `
workload: {namespace: foo, serviceAccount: ${workload}, name: ${workload}-1, labels: {app: ${workload}}}
identity: {sds: 'unix:./run/${workload}.sock'}
config: [./mesh]
intercept: {bind: 127.0.0.1, port: 0}
admin: {port: 0}
readiness: {bind: 127.0.0.1, port: 0}
metrics: {bind: 127.0.0.1, port: 0}
${settings}
`;
}

/** STRICT; sleep calls by an egress listener, httpbin is called by an ingress listener. */
function documents(host: string, appPort: number): string {
  return `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: foo}
spec: {mtls: {mode: STRICT}}
---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: http, port: ${EGRESS_PORT}, targetPort: ${INGRESS_PORT}}]}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: httpbin-1, namespace: foo}
spec: {address: ${host}, labels: {app: httpbin}, serviceAccount: httpbin}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: sleep, namespace: foo}
spec:
  workloadSelector: {labels: {app: sleep}}
  egress:
  - port: {number: ${EGRESS_PORT}, name: http, protocol: HTTP}
    bind: ${host}
    captureMode: NONE
    hosts: ['./*']
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: httpbin, namespace: foo}
spec:
  workloadSelector: {labels: {app: httpbin}}
  ingress:
  - port: {number: ${INGRESS_PORT}, name: http, protocol: HTTP}
    bind: ${host}
    captureMode: NONE
    defaultEndpoint: 127.0.0.1:${appPort}
`;
}
