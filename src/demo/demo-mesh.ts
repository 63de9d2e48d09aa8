/**
 * What the checks are run on: a CA, an agent and a sidecar for each workload, their apps, one app without a sidecar,
 * and the documents that all of them share, in this one process.
 *
 * One owner of everything that is open: `close` ends it, in order, and removes the folder.
 */
import { createLoggers } from '../observe/loggers.ts';
import { claimAddresses, type ClaimedAddresses, FREE_HOST } from './demo-addresses.ts';
import { type DemoApp, startDemoApp } from './demo-app.ts';
import { type DemoAuthorizer, startDemoAuthorizer } from './demo-authorizer.ts';
import { type Credentials, exchange, type Exchange, type SecureClient } from './demo-client.ts';
import {
  type DemoMode,
  instancesYaml,
  peerAuthenticationYaml,
  type Place,
  posternYaml,
  SERVICES_YAML,
  sidecarsYaml,
} from './demo-documents.ts';
import { DemoFolder } from './demo-folder.ts';
import { DemoIdentity } from './demo-identity.ts';
import { createDemoIssuer, type DemoIssuer } from './demo-issuer.ts';
import {
  CLIENT_NAMES,
  type ClientName,
  LEGACY_APP,
  SERVER_HOST,
  SERVER_NAMES,
  type ServerName,
  WORKLOAD_NAMES,
  type WorkloadName,
} from './demo-names.ts';
import { DemoWorkload } from './demo-workload.ts';
import { LogCapture } from './log-capture.ts';
import { policiesYaml } from './policy-documents.ts';
import { withDeadline } from './with-deadline.ts';

const PEER_AUTHENTICATION = 'mesh/peer-authentication.yaml';
const POLICIES = 'mesh/policies.yaml';

type MeshParts = Pick<
  DemoMesh,
  | 'folder'
  | 'identity'
  | 'apps'
  | 'legacyApp'
  | 'workloads'
  | 'signal'
  | 'issuer'
  | 'strangeIssuer'
  | 'authorizer'
>;

/** How tests break the mesh. */
export interface DemoMeshOptions {
  readonly withoutAgent?: readonly WorkloadName[];
  /** Their agents ask another CA, with the same trust domain. */
  readonly ofOtherCa?: readonly WorkloadName[];
}

export class DemoMesh {
  readonly folder: DemoFolder;
  readonly identity: DemoIdentity;
  readonly apps: Readonly<Record<ServerName, DemoApp>>;
  /** Nobody stands in front of it. */
  readonly legacyApp: DemoApp;
  readonly workloads: Readonly<Record<WorkloadName, DemoWorkload>>;
  /** Whose tokens the policies trust, and one that they do not know. */
  readonly issuer: DemoIssuer;
  readonly strangeIssuer: DemoIssuer;
  /** What CUSTOM policies ask. */
  readonly authorizer: DemoAuthorizer;
  readonly signal: AbortSignal;
  readonly #open: AsyncDisposableStack;
  #mode: DemoMode = 'PERMISSIVE';
  #hasPolicies = false;

  private constructor(parts: MeshParts, open: AsyncDisposableStack) {
    this.folder = parts.folder;
    this.identity = parts.identity;
    this.apps = parts.apps;
    this.legacyApp = parts.legacyApp;
    this.workloads = parts.workloads;
    this.signal = parts.signal;
    this.issuer = parts.issuer;
    this.strangeIssuer = parts.strangeIssuer;
    this.authorizer = parts.authorizer;
    this.#open = open;
  }

  /** `signal` ends the start and the connections of clients. On failure nothing is left. */
  static async start(signal: AbortSignal, options: DemoMeshOptions = {}): Promise<DemoMesh> {
    await using open = new AsyncDisposableStack();
    const folder = open.adopt(new DemoFolder(), (one) => one.remove());
    const loggers = open.adopt(createLoggers({ write: new LogCapture(signal).write }), (one) => one.close());
    const log = loggers.get('identity');
    // One after the other: what is opened has its owner before anything else can fail.
    const claimed = await claimAddresses();
    for (const app of Object.values(claimed.apps)) open.defer(() => app.close());
    const legacyApp = open.adopt(await startDemoApp(LEGACY_APP, FREE_HOST, 0), (app) => app.close());
    const authorizer = open.adopt(await startDemoAuthorizer(), (one) => one.close());
    const issuer = await createDemoIssuer();
    const strangeIssuer = await createDemoIssuer();
    const { ofOtherCa = [], withoutAgent = [] } = options;
    const identity = open.adopt(await DemoIdentity.start({ ofOtherCa, log }), (one) => one.close());
    signal.throwIfAborted();
    const { hosts, ports, apps } = claimed;
    folder.write('mesh/services.yaml', SERVICES_YAML);
    const appPorts = { 'foo/httpbin': apps['foo/httpbin'].port, 'bar/httpbin': apps['bar/httpbin'].port };
    folder.write('mesh/sidecars.yaml', sidecarsYaml(hosts, ports, appPorts));
    folder.write(PEER_AUTHENTICATION, peerAuthenticationYaml('PERMISSIVE'));
    const enrol = async (name: WorkloadName): Promise<DemoWorkload> => {
      const file = name.replace('/', '-');
      const socket = folder.join(`${file}.sock`);
      const agent = withoutAgent.includes(name) ? null : await identity.startAgent(name, socket);
      if (agent !== null) open.defer(() => agent.close());
      const config = folder.write(`${file}.yaml`, posternYaml(name, hosts[name], ports, socket));
      return new DemoWorkload({ name, host: hosts[name], agent, config }, signal);
    };
    const workloads = {
      'foo/sleep': await enrol('foo/sleep'),
      'foo/httpbin': await enrol('foo/httpbin'),
      'bar/sleep': await enrol('bar/sleep'),
      'bar/httpbin': await enrol('bar/httpbin'),
    };
    const all = Object.values(workloads);
    open.defer(async () => {
      await Promise.all(all.map((workload) => workload.close()));
    });
    await startSidecars(workloads, claimed, (servers) =>
      folder.write('mesh/instances.yaml', instancesYaml(servers, legacyApp)),
    );
    const parts = { folder, identity, apps, legacyApp, workloads, signal, issuer, strangeIssuer, authorizer };
    const mesh = new DemoMesh(parts, open.move());
    mesh.noteKeys();
    return mesh;
  }

  /** The sidecar that most checks are about. */
  get server(): DemoWorkload {
    return this.workloads['foo/httpbin'];
  }

  get mode(): DemoMode {
    return this.#mode;
  }

  get peerAuthenticationFile(): string {
    return this.folder.join(PEER_AUTHENTICATION);
  }

  /** A client with this certificate, or with none. */
  client(credentials: Credentials | null): SecureClient {
    return { rootPem: this.identity.rootPem, credentials };
  }

  /** A client with the certificate that foo/sleep has now, without its sidecar: for bytes that no sidecar sends. */
  sleepItself(): SecureClient {
    return this.client(this.workloads['foo/sleep'].secret);
  }

  /** Remembers the key that each agent has now. */
  noteKeys(): void {
    for (const { agent, name } of Object.values(this.workloads)) {
      const secret = agent?.secret() ?? null;
      if (secret !== null) this.identity.note(name, secret);
    }
  }

  /** Rewrites the PeerAuthentications and waits until the servers' sidecars have taken them. */
  async setMode(mode: DemoMode): Promise<void> {
    if (this.#mode === mode) return;
    const servers = SERVER_NAMES.map((name) => this.workloads[name]).filter(({ isReady }) => isReady);
    const before = await Promise.all(servers.map((server) => this.generation(server)));
    this.folder.write(PEER_AUTHENTICATION, peerAuthenticationYaml(mode));
    await Promise.all(servers.map((server, at) => reloaded(server, before[at] ?? 0, mode)));
    this.#mode = mode;
  }

  /** Puts the policies before bar/httpbin and waits until its sidecar has taken them. */
  async setPolicies(): Promise<void> {
    if (this.#hasPolicies) return;
    const server = this.workloads['bar/httpbin'];
    const before = await this.generation(server);
    this.folder.write(POLICIES, policiesYaml(this.issuer.jwks, this.authorizer));
    await reloaded(server, before, 'the policies');
    this.#hasPolicies = true;
  }

  /** The generation of the configuration in force, as the admin server tells it. */
  async generation(workload: DemoWorkload): Promise<number> {
    const { answer } = await this.get(workload, 'admin', '/ready?format=json');
    const text = /"generation": *([0-9]+)/.exec(answer?.body ?? '')?.[1];
    if (text === undefined) throw new Error('/ready tells no generation');
    return Number(text);
  }

  /** A call of a client's app, by its sidecar, to the service that Host names; on a connection of its own. */
  call(
    from: ClientName,
    host: string,
    path = '/',
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Exchange> {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return this.#exchange(this.workloads[from].egress, null, getRequest(path, host, lines.join('')));
  }

  /** Sends bytes to foo/httpbin's sidecar as they are. */
  send(secure: SecureClient | null, bytes: string): Promise<Exchange> {
    return this.#exchange(this.server.ingress, secure, bytes);
  }

  /** Asks one of a sidecar's own servers. */
  get(
    { host, ports }: DemoWorkload,
    server: 'admin' | 'readiness' | 'metrics',
    path: string,
  ): Promise<Exchange> {
    const place = { host, port: ports[server] };
    return this.#exchange(place, null, getRequest(path, `${place.host}:${place.port}`));
  }

  async close(): Promise<void> {
    try {
      await withDeadline(this.#open.disposeAsync(), 'end of the mesh');
    } finally {
      this.folder.remove();
    }
  }

  #exchange(place: Place, secure: SecureClient | null, bytes: string): Promise<Exchange> {
    return exchange(place, secure, bytes, this.signal);
  }
}

/**
 * All at once where the servers' ports are known. Free ports are known when the servers have started: then their
 * instances are written, and the clients start last.
 */
async function startSidecars(
  workloads: Readonly<Record<WorkloadName, DemoWorkload>>,
  { hosts, ports }: ClaimedAddresses,
  writeInstances: (servers: Partial<Record<ServerName, Place>>) => void,
): Promise<void> {
  const start = async (names: readonly WorkloadName[]): Promise<void> => {
    const settled = await Promise.allSettled(names.map((name) => workloads[name].start()));
    for (const one of settled) if (one.status === 'rejected') throw one.reason;
  };
  const servers: Partial<Record<ServerName, Place>> = {};
  if (ports.ingress !== 0) {
    for (const name of SERVER_NAMES) servers[name] = { host: hosts[name], port: ports.ingress };
    writeInstances(servers);
    await start(WORKLOAD_NAMES);
    return;
  }
  await start(SERVER_NAMES);
  const ready = SERVER_NAMES.map((name) => workloads[name]).filter(({ isReady }) => isReady);
  for (const name of SERVER_NAMES) if (workloads[name].isReady) servers[name] = workloads[name].ingress;
  writeInstances(servers);
  // Otherwise the first change of a check could be taken for this one.
  await Promise.all(ready.map((server) => reloaded(server, 1, 'the instances')));
  await start(CLIENT_NAMES);
}

/** Waits until the sidecar has taken the documents that were written after `generation`. */
async function reloaded({ logs, name }: DemoWorkload, generation: number, what: string): Promise<void> {
  const answer = await logs.waitFor(
    `"reloaded" of ${name} after generation ${generation}`,
    (line) =>
      line.code === 'config_invalid' ||
      (line.code === 'reloaded' && Number(line.field('generation')) > generation),
  );
  if (answer.code !== 'reloaded')
    throw new Error(`the sidecar of ${name} refuses ${what}: ${answer.message}`);
}

/** A whole GET request for one connection. `extra` are header lines, each with its CR LF. */
export function getRequest(path: string, host: string = SERVER_HOST, extra = ''): string {
  return `GET ${path} HTTP/1.1\r\nhost: ${host}\r\n${extra}connection: close\r\n\r\n`;
}
