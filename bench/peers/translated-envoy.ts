/**
 * Envoy with a sidecar's policies: Postern's own settings and documents are loaded as Postern would, and what Istio's
 * control plane would send Envoy for them becomes the listener of one bootstrap.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadPosternConfig } from '../../src/config/postern-config.ts';
import { formatFinding, loadMesh } from '../../src/load-mesh.ts';
import type { Snapshot } from '../../src/mesh/plan.ts';
import type { EnvoyMessage } from '../../src/translate/envoy-message.ts';
import { translateInbound } from '../../src/translate/translate-inbound.ts';
import type { PeerSetup } from './peer.ts';
import { writePosternSettings } from './postern-settings.ts';

const HTTP_OPTIONS = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';

/** Istio's bootstrap has them. */
const ISTIO_RUNTIME = {
  'envoy.reloadable_features.http_reject_path_with_fragment': false,
  'overload.global_downstream_max_connections': '2147483647',
  're2.max_program_size.error_level': '32768',
};

/** Returns the path of the bootstrap. */
export function writeTranslation(setup: PeerSetup): string {
  const path = join(setup.folder, 'envoy.json');
  writeFileSync(path, JSON.stringify(bootstrap(setup, loadSnapshot(setup))), { mode: 0o600 });
  return path;
}

function loadSnapshot(setup: PeerSetup): Snapshot {
  const file = writePosternSettings('postern', setup);
  const { config, problems } = loadPosternConfig({ file, environment: {}, workingDirectory: setup.folder });
  const loaded = config === null ? null : loadMesh(config, 1);
  const snapshot = loaded?.snapshot ?? null;
  if (snapshot !== null) return snapshot;
  const first = [...problems, ...(loaded?.findings ?? [])].find(({ severity }) => severity === 'error');
  throw new Error(`Cannot translate: ${first === undefined ? 'no snapshot' : formatFinding(first)}`);
}

function bootstrap(setup: PeerSetup, snapshot: Snapshot): object {
  const { certificate, key } = setup.servers.server;
  const inlineSecrets = {
    certificateChain: readFileSync(certificate, 'utf8'),
    privateKey: readFileSync(key, 'utf8'),
    trustBundle: readFileSync(setup.certificates.roots, 'utf8'),
  };
  const translated = translateInbound(snapshot, { keySets: [], inlineSecrets }).inbound[setup.appPort];
  const app = snapshot.inbound.ports[setup.appPort];
  if (translated === undefined || app === undefined)
    throw new Error(`Cannot translate: port ${setup.appPort} has no chains`);
  return {
    node: { id: 'sidecar~127.0.0.1~httpbin-1.foo~foo.svc.cluster.local', cluster: 'httpbin.foo' },
    admin: { address: address(setup.adminPort) },
    layeredRuntime: { layers: [{ name: 'istio', staticLayer: ISTIO_RUNTIME }] },
    staticResources: {
      listeners: [
        {
          name: 'inbound',
          address: address(setup.port),
          enableReusePort: false,
          trafficDirection: 'INBOUND',
          listenerFilters: translated.listenerFilters,
          filterChains: translated.filterChains.map(atAnyPort),
        },
      ],
      clusters: [cluster(app.cluster, setup.appPort, false), ...providerClusters(snapshot)],
    },
  };
}

/** Nothing is redirected here: the listener's port is not the app's. */
function atAnyPort(chain: EnvoyMessage): EnvoyMessage {
  const { destinationPort: _, ...filterChainMatch } = chain['filterChainMatch'] as Record<string, unknown>;
  return { ...chain, filterChainMatch };
}

function providerClusters({ authorization, outbound }: Snapshot): object[] {
  return Object.values(authorization.providers).map((provider) => {
    const endpoint = outbound.clusters[provider.cluster]?.endpoints[0];
    if (endpoint === undefined) throw new Error(`Cannot translate: ${provider.cluster} has no endpoint`);
    return cluster(provider.cluster, endpoint.port, provider.kind === 'grpc');
  });
}

function cluster(name: string, port: number, isHttp2: boolean): object {
  const explicitHttpConfig = { http2ProtocolOptions: {} };
  const options = { '@type': `type.googleapis.com/${HTTP_OPTIONS}`, explicitHttpConfig };
  return {
    name,
    connectTimeout: '5s',
    loadAssignment: {
      clusterName: name,
      endpoints: [{ lbEndpoints: [{ endpoint: { address: address(port) } }] }],
    },
    ...(isHttp2 ? { typedExtensionProtocolOptions: { [HTTP_OPTIONS]: options } } : {}),
  };
}

function address(portValue: number): object {
  return { socketAddress: { address: '127.0.0.1', portValue } };
}
