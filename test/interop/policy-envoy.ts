/**
 * Envoy's side of the comparison: one process with a listener for each policy set, each with an address of its own and
 * all with the workload's port, as policies see it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { TempFolder } from '../support/temp-folder.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { ENVOY } from './envoy-process.ts';
import { WORKLOAD_PORT } from './policy-alphabet.ts';
import { LOG_FORMAT, readLog, type LoggedCase } from './policy-postern.ts';

const START_MS = 60_000;
const TYPE = 'type.googleapis.com/envoy.extensions';

/** What `translate` says of the workload's port, in Envoy's own words. */
export interface InboundChains {
  readonly filterChains: readonly object[];
  readonly listenerFilters: readonly object[];
}

export interface EnvoyListener {
  readonly address: string;
  readonly chains: InboundChains;
}

export class PolicyEnvoy implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #folder: TempFolder;
  readonly #log: string;

  private constructor(child: ChildProcess, folder: TempFolder, log: string) {
    this.#child = child;
    this.#folder = folder;
    this.#log = log;
  }

  static async start(listeners: readonly EnvoyListener[], appHost: string): Promise<PolicyEnvoy> {
    const folder = new TempFolder();
    const log = folder.write('access.log', '');
    // In a file: an argument may have 128 KiB.
    const config = folder.write('envoy.json', JSON.stringify(bootstrap(listeners, appHost, log)));
    const child = spawn(
      ENVOY,
      [
        '-c',
        config,
        '--disable-hot-restart',
        '--concurrency',
        '1',
        '--file-flush-interval-msec',
        '50',
        '-l',
        'warning',
        '--component-log-level',
        'main:info',
      ],
      { stdio: ['ignore', 'ignore', 'pipe'], cwd: folder.path },
    );
    const envoy = new PolicyEnvoy(child, folder, log);
    const started = Promise.withResolvers<void>();
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-20_000);
      if (said.includes('starting main dispatch loop')) started.resolve();
    });
    child.on('error', started.reject);
    child.on('exit', () => started.reject(new Error(`Envoy ended: ${said.slice(-4_000)}`)));
    try {
      await withDeadline(started.promise, START_MS, 'Envoy', () => said.slice(-4_000));
    } catch (error) {
      await envoy[Symbol.asyncDispose]();
      throw error;
    }
    return envoy;
  }

  /** Ends it; then its access log is whole. */
  async stop(): Promise<ReadonlyMap<string, LoggedCase>> {
    await this.#end('SIGTERM');
    const lines = readLog(this.#log);
    this.#folder.remove();
    return lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('SIGKILL');
    this.#folder.remove();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }
}

function bootstrap(listeners: readonly EnvoyListener[], appHost: string, log: string): object {
  const clusters = new Set<string>();
  const made = listeners.map(({ address, chains }, at) => ({
    name: String(at),
    statPrefix: 'inbound',
    enableReusePort: false,
    address: { socketAddress: { address, portValue: WORKLOAD_PORT } },
    listenerFilters: chains.listenerFilters,
    filterChains: chains.filterChains.map((chain) => withAccessLog(chain, log, clusters)),
  }));
  return {
    node: { id: 'sidecar~127.0.0.1~httpbin-1.foo~foo.svc.cluster.local', cluster: 'httpbin.foo' },
    // As in Istio's bootstrap: the fragment is cut, by itself Envoy refuses the request.
    layeredRuntime: {
      layers: [
        {
          name: 'istio',
          staticLayer: {
            'envoy.reloadable_features.http_reject_path_with_fragment': false,
            'overload.global_downstream_max_connections': 100_000,
          },
        },
      ],
    },
    staticResources: {
      listeners: made,
      clusters: [...clusters].map((name) => ({
        name,
        connectTimeout: '5s',
        loadAssignment: {
          clusterName: name,
          endpoints: [
            {
              lbEndpoints: [
                { endpoint: { address: { socketAddress: { address: appHost, portValue: WORKLOAD_PORT } } } },
              ],
            },
          ],
        },
      })),
    },
  };
}

/** Which rule let through, what dry run and AUDIT said. */
const RBAC_NOTES = {
  http: '%DYNAMIC_METADATA(envoy.filters.http.rbac)%',
  network: '%DYNAMIC_METADATA(envoy.filters.network.rbac)%',
  common: '%DYNAMIC_METADATA(envoy.common)%',
};

const LOGGED = /http_connection_manager|tcp_proxy/;

/** Adds our access log to whatever writes one, and notes the clusters that are named. */
function withAccessLog(node: unknown, log: string, clusters: Set<string>): object {
  const copy = structuredClone(node) as object;
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null) return;
    const fields = value as Record<string, unknown>;
    if (typeof fields['cluster'] === 'string') clusters.add(fields['cluster']);
    if (typeof fields['@type'] === 'string' && LOGGED.test(fields['@type']))
      fields['accessLog'] = [accessLog(log)];
    for (const inner of Object.values(fields)) visit(inner);
  };
  visit(copy);
  return copy;
}

function accessLog(path: string): object {
  return {
    name: 'envoy.access_loggers.file',
    typedConfig: {
      '@type': `${TYPE}.access_loggers.file.v3.FileAccessLog`,
      path,
      logFormat: { jsonFormat: { ...LOG_FORMAT, ...RBAC_NOTES } },
    },
  };
}
