/** The workload of a `FlowMesh` with its identity over SDS, from a server that the test starts and stops. */
import { readFileSync } from 'node:fs';
import { createSdsServer, type SdsServer } from '../../src/identity/sds-server.ts';
import { SILENT_LOG } from '../../src/observe/log.ts';
import { secretOf, TestProvider } from '../identity/sds-fixture.ts';
import type { Issued } from '../support/test-ca.ts';
import { FlowMesh, HTTPBIN_ID, service } from './flow-mesh.ts';

/** A workload whose identity comes over SDS, and the socket that it comes from. */
export class SdsMesh implements AsyncDisposable {
  readonly mesh: FlowMesh;
  readonly configFile: string;
  readonly socket: string;
  readonly provider: TestProvider;
  #server: SdsServer | null = null;

  private constructor(mesh: FlowMesh) {
    this.mesh = mesh;
    this.socket = mesh.path('agent.sock');
    this.provider = new TestProvider(secretOf(mesh.ca, mesh.own));
    const text = readFileSync(mesh.configFile, 'utf8');
    const sds = 'identity: {sds: "unix:./agent.sock"}';
    this.configFile = mesh.folder.write('sds.yaml', text.replace(/^identity: .*$/m, sds));
    // What is not there cannot be read by mistake.
    for (const file of ['chain.pem', 'key.pem', 'root.pem']) mesh.folder.write(file, '');
  }

  static async create(appPort: number, documents: string, settings = ''): Promise<SdsMesh> {
    const all = documents + service('http', appPort);
    return new SdsMesh(await FlowMesh.create({ appPort, documents: all, settings }));
  }

  async startServer(): Promise<void> {
    this.#server = await createSdsServer({
      path: this.socket,
      mode: 0o600,
      uids: [],
      provider: this.provider,
      log: SILENT_LOG,
    });
  }

  async stopServer(): Promise<void> {
    await this.#server?.close();
    this.#server = null;
  }

  /** Another certificate of the same workload. */
  issue(notAfter?: Date): Promise<Issued> {
    return this.mesh.ca.issue({ spiffeId: HTTPBIN_ID, ...(notAfter === undefined ? {} : { notAfter }) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopServer();
    this.mesh.folder.remove();
  }
}
