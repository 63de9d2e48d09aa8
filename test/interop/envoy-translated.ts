/**
 * A real Envoy that runs translations: one listener a snapshot and port.
 *
 * Each listener has a loopback address of its own and the workload's port, so that `destination_port` and
 * `destinationPort` are what policies say without a redirect, and many listeners can have the same port.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FetchedKeySet } from '../../src/core/jwt-plan.ts';
import type { Snapshot } from '../../src/mesh/plan.ts';
import type { InlineSecrets } from '../../src/translate/downstream-tls.ts';
import { translateInbound } from '../../src/translate/translate-inbound.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { ENVOY, EnvoyProcess } from './envoy-process.ts';

export interface TranslatedListener {
  /** Unique in its Envoy. */
  readonly name: string;
  readonly snapshot: Snapshot;
  /** The workload port whose chains it has; a port without a plan has those of all others. */
  readonly port: number;
  /** null: by SDS, from the cluster `sds-grpc`. */
  readonly secrets: InlineSecrets | null;
  readonly keySets?: readonly FetchedKeySet[];
}

export interface TranslatedEnvoyOptions {
  readonly listeners: readonly TranslatedListener[];
  /** Those that routes and providers name: `inbound|8080||`, `outbound|9000||ext.foo.svc.cluster.local`. */
  readonly clusters: readonly object[];
}

export interface TranslatedEnvoy extends AsyncDisposable {
  readonly process: EnvoyProcess;
  /** Where each listener is, by name. */
  readonly at: Readonly<Record<string, { readonly host: string; readonly port: number }>>;
}

export async function startTranslatedEnvoy(options: TranslatedEnvoyOptions): Promise<TranslatedEnvoy> {
  const process = await EnvoyProcess.start(translatedBootstrap(options));
  const at = Object.fromEntries(
    options.listeners.map(({ name, port }, index) => [name, { host: hostOf(index), port }]),
  );
  return { process, at, [Symbol.asyncDispose]: () => process[Symbol.asyncDispose]() };
}

/** The whole bootstrap, with the runtime settings of Istio's. */
export function translatedBootstrap({ clusters, listeners }: TranslatedEnvoyOptions): object {
  return {
    node: { id: 'sidecar~127.0.0.1~httpbin-1.foo~foo.svc.cluster.local', cluster: 'httpbin.foo' },
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: 0 } } },
    layeredRuntime: { layers: [{ name: 'istio', staticLayer: ISTIO_RUNTIME }] },
    staticResources: { listeners: listeners.map(listenerOf), clusters },
  };
}

/** What `envoy --mode validate` says against it; '' if nothing. */
export async function validateWithEnvoy(bootstrap: object): Promise<string> {
  using folder = new TempFolder();
  const file = folder.write('envoy.json', JSON.stringify(bootstrap));
  const child = spawn(ENVOY, ['--mode', 'validate', '-c', file, '-l', 'error'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: folder.path,
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (said += text));
  const [code] = (await once(child, 'close')) as [number | null];
  return code === 0 ? '' : said;
}

/** A cluster of one loopback port. */
export function staticCluster(name: string, port: number, protocol: 'http' | 'http2' = 'http'): object {
  const type = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return {
    name,
    connectTimeout: '5s',
    loadAssignment: {
      clusterName: name,
      endpoints: [
        {
          lbEndpoints: [
            { endpoint: { address: { socketAddress: { address: '127.0.0.1', portValue: port } } } },
          ],
        },
      ],
    },
    ...(protocol === 'http2'
      ? {
          typedExtensionProtocolOptions: {
            [type]: {
              '@type': `type.googleapis.com/${type}`,
              explicitHttpConfig: { http2ProtocolOptions: {} },
            },
          },
        }
      : {}),
  };
}

/** A fragment is cut from the path; by itself Envoy refuses the request. */
const ISTIO_RUNTIME = {
  'envoy.reloadable_features.http_reject_path_with_fragment': false,
  'overload.global_downstream_max_connections': '2147483647',
  're2.max_program_size.error_level': '32768',
};

function listenerOf(listener: TranslatedListener, index: number): object {
  const { keySets, name, port, secrets, snapshot } = listener;
  const { inbound } = translateInbound(snapshot, { keySets: keySets ?? [], inlineSecrets: secrets });
  const { filterChains, listenerFilters } = inbound[port] ?? inbound['0']!;
  const timeoutMs = snapshot.protocolDetectionTimeoutMs;
  return {
    name,
    address: { socketAddress: { address: hostOf(index), portValue: port } },
    enableReusePort: false,
    trafficDirection: 'INBOUND',
    continueOnListenerFiltersTimeout: true,
    listenerFiltersTimeout: `${timeoutMs / 1000}s`,
    listenerFilters,
    filterChains,
  };
}

/** Of this process only, for 4,000 listeners: others run their own Envoys at the same time. */
function hostOf(index: number): string {
  const [high, low] = [process.pid & 0x7f, (process.pid >> 7) & 0xf];
  return `127.${128 + high}.${low * 16 + Math.floor(index / 250)}.${(index % 250) + 1}`;
}
