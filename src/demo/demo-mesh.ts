/**
 * What the checks are run on: an app, its sidecar in this process, their certificates, documents and logs.
 *
 * One owner of everything that is open: `close` ends it and removes the folder.
 */
import { detach } from '../core/detach.ts';
import { createSidecar } from '../index.ts';
import type { RunningSidecar } from '../index.ts';
import { claimAddresses } from './demo-addresses.ts';
import type { SidecarPorts } from './demo-addresses.ts';
import type { DemoApp } from './demo-app.ts';
import { DemoCertificates } from './demo-certificates.ts';
import type { Credentials } from './demo-certificates.ts';
import { exchange } from './demo-client.ts';
import type { Exchange, SecureClient } from './demo-client.ts';
import { peerAuthenticationYaml, posternYaml, SERVER_NAME, serviceYaml } from './demo-documents.ts';
import type { DemoMode } from './demo-documents.ts';
import { DemoFolder } from './demo-folder.ts';
import { LogCapture } from './log-capture.ts';
import { withDeadline } from './with-deadline.ts';

const PEER_AUTHENTICATION = 'mesh/peer-authentication.yaml';

export class DemoMesh {
  readonly folder: DemoFolder;
  readonly certificates: DemoCertificates;
  readonly app: DemoApp;
  readonly logs: LogCapture;
  readonly ports: SidecarPorts;
  readonly #sidecar: RunningSidecar;
  readonly #signal: AbortSignal;
  #mode: DemoMode = 'PERMISSIVE';

  private constructor(
    parts: Pick<DemoMesh, 'folder' | 'certificates' | 'app' | 'logs'>,
    sidecar: RunningSidecar,
    signal: AbortSignal,
  ) {
    this.folder = parts.folder;
    this.certificates = parts.certificates;
    this.app = parts.app;
    this.logs = parts.logs;
    this.ports = sidecar.ports;
    this.#sidecar = sidecar;
    this.#signal = signal;
  }

  /** `signal` ends the connections of clients. On failure nothing is left. */
  static async start(signal: AbortSignal): Promise<DemoMesh> {
    const folder = new DemoFolder();
    let app: DemoApp | null = null;
    try {
      const certificates = await DemoCertificates.create(folder);
      const claimed = await claimAddresses();
      ({ app } = claimed);
      folder.write('mesh/service.yaml', serviceYaml(app));
      folder.write(PEER_AUTHENTICATION, peerAuthenticationYaml('PERMISSIVE'));
      const config = folder.write('postern.yaml', posternYaml(app, claimed.ports));
      const logs = new LogCapture(signal);
      const starting = createSidecar({ config, writeLog: logs.write });
      try {
        const sidecar = await withDeadline(starting, 'ready sidecar', { signal });
        return new DemoMesh({ folder, certificates, app, logs }, sidecar, signal);
      } catch (thrown) {
        // One that starts after all has nobody any more.
        detach(
          starting.then((late) => late.close()),
          () => {},
        );
        throw thrown;
      }
    } catch (thrown) {
      await app?.close();
      folder.remove();
      throw thrown;
    }
  }

  /** The address that every listener is on. */
  get host(): string {
    return this.app.host;
  }

  get mode(): DemoMode {
    return this.#mode;
  }

  get peerAuthenticationFile(): string {
    return this.folder.join(PEER_AUTHENTICATION);
  }

  get signal(): AbortSignal {
    return this.#signal;
  }

  /** A client with this certificate, or with none. */
  client(credentials: Credentials | null): SecureClient {
    return { rootPem: this.certificates.rootPem, credentials };
  }

  /** Rewrites the PeerAuthentication and waits until the sidecar has taken it. */
  async setMode(mode: DemoMode): Promise<void> {
    if (this.#mode === mode) return;
    const before = await this.generation();
    this.folder.write(PEER_AUTHENTICATION, peerAuthenticationYaml(mode));
    const answer = await this.logs.waitFor(
      `"reloaded" after generation ${before}`,
      (line) =>
        line.code === 'config_invalid' ||
        (line.code === 'reloaded' && Number(line.field('generation')) > before),
    );
    if (answer.code !== 'reloaded') throw new Error(`the sidecar refuses ${mode}: ${answer.message}`);
    this.#mode = mode;
  }

  /** The generation of the configuration in force, as the admin server tells it. */
  async generation(): Promise<number> {
    const { answer } = await this.get('admin', '/ready?format=json');
    const text = /"generation": *([0-9]+)/.exec(answer?.body ?? '')?.[1];
    if (text === undefined) throw new Error('/ready tells no generation');
    return Number(text);
  }

  /** Sends bytes to the sidecar as they are. */
  send(secure: SecureClient | null, bytes: string): Promise<Exchange> {
    return exchange({ host: this.host, port: this.ports.intercept }, secure, bytes, this.#signal);
  }

  /** Asks one of the sidecar's own servers. */
  get(server: 'admin' | 'readiness' | 'metrics', path: string): Promise<Exchange> {
    const address = { host: this.host, port: this.ports[server] };
    return exchange(address, null, getRequest(path, `${address.host}:${address.port}`), this.#signal);
  }

  async close(): Promise<void> {
    try {
      await withDeadline(Promise.allSettled([this.#sidecar.close(), this.app.close()]), 'end of the sidecar');
    } finally {
      this.folder.remove();
    }
  }
}

/** A whole GET request for one connection. `extra` are header lines, each with its CR LF. */
export function getRequest(path: string, host: string = SERVER_NAME, extra = ''): string {
  return `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${extra}connection: close\r\n\r\n`;
}
