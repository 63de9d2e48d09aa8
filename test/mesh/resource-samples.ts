/** Resources as config makes them, with everything that a test does not speak of filled in. */
import type {
  MeshConfig,
  PeerAuthentication,
  PeerMtlsMode,
  Position,
  ResourceOrigin,
  Resources,
  Service,
  ServicePort,
} from '../../src/config/resources.ts';
import type { WorkloadIdentity } from '../../src/mesh/plan.ts';

export const HTTPBIN: WorkloadIdentity = {
  namespace: 'foo',
  serviceAccount: 'httpbin',
  name: 'httpbin-1',
  labels: { app: 'httpbin', version: 'v1' },
};

const POSITION: Position = { file: 'mesh.yaml', line: 1, column: 1 };

type Placed = Partial<Pick<ResourceOrigin, 'name' | 'namespace' | 'namespaceGiven'>>;

function origin(placed: Placed): Omit<ResourceOrigin, 'kind'> {
  return {
    apiVersion: 'v1',
    name: placed.name ?? 'default',
    namespace: placed.namespace ?? 'foo',
    namespaceGiven: placed.namespaceGiven ?? true,
    createdAtMs: null,
    labels: {},
    annotations: {},
    position: POSITION,
    positionOf: () => POSITION,
  };
}

export function peerAuthentication(
  given: Placed & {
    readonly app?: string;
    readonly mode?: PeerMtlsMode;
    readonly ports?: Readonly<Record<number, PeerMtlsMode>>;
  },
): PeerAuthentication {
  return {
    ...origin(given),
    kind: 'PeerAuthentication',
    matchLabels: given.app === undefined ? null : { app: given.app },
    mode: given.mode ?? null,
    portModes: new Map(Object.entries(given.ports ?? {}).map(([port, mode]) => [Number(port), mode])),
  };
}

export function service(
  given: Placed & {
    readonly selector?: Readonly<Record<string, string>> | null;
    readonly ports: readonly Partial<ServicePort>[];
  },
): Service {
  return {
    ...origin({ ...given, name: given.name ?? 'httpbin' }),
    kind: 'Service',
    selector: given.selector === undefined ? { app: 'httpbin' } : given.selector,
    ports: given.ports.map(servicePort),
  };
}

export function servicePort(given: Partial<ServicePort>): ServicePort {
  const port = given.port ?? 8000;
  return {
    name: given.name ?? '',
    port,
    targetPort: given.targetPort ?? port,
    protocol: given.protocol ?? 'TCP',
    appProtocol: given.appProtocol ?? null,
    position: POSITION,
  };
}

export function resources(
  given: Partial<Omit<Resources, 'meshConfig'>> & { readonly meshConfig?: Partial<MeshConfig> },
): Resources {
  return {
    peerAuthentications: given.peerAuthentications ?? [],
    services: given.services ?? [],
    meshConfig: {
      trustDomain: 'cluster.local',
      trustDomainAliases: [],
      rootNamespace: 'istio-system',
      protocolDetectionTimeoutMs: 0,
      pathNormalization: 'DEFAULT',
      accessLogFile: '',
      accessLogEncoding: 'TEXT',
      accessLogFormat: '',
      position: null,
      positionOf: () => null,
      ...given.meshConfig,
    },
  };
}
