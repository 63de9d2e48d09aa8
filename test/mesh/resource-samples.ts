/** Resources as config makes them, with everything that a test does not speak of filled in. */
import type {
  ClientTls,
  DestinationRule,
  MeshConfig,
  PeerAuthentication,
  PeerMtlsMode,
  Position,
  ResourceOrigin,
  Resources,
  Service,
  ServiceEndpoints,
  ServiceEntry,
  ServiceEntryPort,
  ServicePort,
  Sidecar,
  SidecarEgress,
  SidecarIngress,
  SidecarPort,
  WorkloadEntry,
  WorkloadSpec,
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
  } & Partial<Pick<Service, 'clusterIps' | 'headless' | 'externalName' | 'exportTo'>>,
): Service {
  return {
    ...origin({ ...given, name: given.name ?? 'httpbin' }),
    kind: 'Service',
    selector: given.selector === undefined ? { app: 'httpbin' } : given.selector,
    ports: given.ports.map(servicePort),
    clusterIps: given.clusterIps ?? [],
    headless: given.headless ?? false,
    externalName: given.externalName ?? '',
    exportTo: given.exportTo ?? [],
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

/** An instance of a workload; `app` is its label. */
export function workloadEntry(
  given: Placed & Partial<WorkloadSpec> & { readonly app?: string; readonly tlsMode?: string },
): WorkloadEntry {
  return {
    ...origin({ ...given, name: given.name ?? 'httpbin-1' }),
    kind: 'WorkloadEntry',
    spec: workloadSpec(given),
  };
}

export function workloadSpec(
  given: Partial<WorkloadSpec> & { readonly app?: string; readonly tlsMode?: string },
): WorkloadSpec {
  return {
    address: given.address ?? '10.0.0.2',
    ports: given.ports ?? {},
    labels: {
      app: given.app ?? 'httpbin',
      ...(given.tlsMode === undefined ? {} : { 'security.istio.io/tlsMode': given.tlsMode }),
      ...given.labels,
    },
    serviceAccount: given.serviceAccount ?? '',
    weight: given.weight ?? 0,
  };
}

export function serviceEntry(
  given: Placed &
    Partial<Omit<ServiceEntry, 'kind' | 'ports' | keyof ResourceOrigin>> & {
      readonly ports: readonly Partial<ServiceEntryPort>[];
    },
): ServiceEntry {
  return {
    ...origin({ ...given, name: given.name ?? 'api' }),
    kind: 'ServiceEntry',
    hosts: given.hosts ?? ['api.example.com'],
    addresses: given.addresses ?? [],
    ports: given.ports.map((port) => ({
      number: port.number ?? 80,
      name: port.name ?? '',
      protocol: port.protocol ?? null,
      targetPort: port.targetPort ?? port.number ?? 80,
      position: POSITION,
    })),
    location: given.location ?? 'MESH_EXTERNAL',
    resolution: given.resolution ?? 'STATIC',
    endpoints: given.endpoints ?? [],
    workloadSelector: given.workloadSelector ?? null,
    exportTo: given.exportTo ?? [],
    subjectAltNames: given.subjectAltNames ?? [],
  };
}

export function serviceEndpoints(
  given: Placed & Pick<ServiceEndpoints, 'subsets'> & { readonly serviceName?: string },
): ServiceEndpoints {
  return {
    ...origin({ ...given, name: given.name ?? 'httpbin' }),
    kind: 'Endpoints',
    serviceName: given.serviceName ?? 'httpbin',
    subsets: given.subsets,
  };
}

/** `tls` is of the whole policy, `ports` of single ports: null states a policy without tls. */
export function destinationRule(
  given: Placed &
    Partial<Pick<DestinationRule, 'host' | 'exportTo' | 'workloadSelector'>> & {
      readonly tls?: Partial<ClientTls> | null;
      readonly ports?: Readonly<Record<number, Partial<ClientTls> | null>>;
    },
): DestinationRule {
  const states = given.tls !== undefined || given.ports !== undefined;
  return {
    ...origin({ ...given, name: given.name ?? 'httpbin' }),
    kind: 'DestinationRule',
    host: given.host ?? 'httpbin.foo.svc.cluster.local',
    trafficPolicy: !states
      ? null
      : {
          tls: clientTls(given.tls ?? null),
          ports: new Map(
            Object.entries(given.ports ?? {}).map(([port, tls]) => [Number(port), { tls: clientTls(tls) }]),
          ),
        },
    exportTo: given.exportTo ?? [],
    workloadSelector: given.workloadSelector ?? null,
  };
}

function clientTls(given: Partial<ClientTls> | null): ClientTls | null {
  if (given === null) return null;
  return {
    mode: 'DISABLE',
    clientCertificate: '',
    privateKey: '',
    caCertificates: '',
    subjectAltNames: null,
    sni: '',
    insecureSkipVerify: false,
    position: POSITION,
    ...given,
  };
}

export function sidecar(
  given: Placed &
    Partial<Pick<Sidecar, 'workloadSelector' | 'outboundTrafficPolicy'>> & {
      readonly ingress?: readonly Partial<
        Omit<SidecarIngress, 'port'> & { readonly port: Partial<SidecarPort> }
      >[];
      /** `hosts` as written: `ns/host`. */
      readonly egress?: readonly (Partial<Omit<SidecarEgress, 'port' | 'hosts'>> & {
        readonly port?: Partial<SidecarPort>;
        readonly hosts?: readonly string[];
      })[];
    },
): Sidecar {
  return {
    ...origin(given),
    kind: 'Sidecar',
    workloadSelector: given.workloadSelector ?? null,
    outboundTrafficPolicy: given.outboundTrafficPolicy ?? null,
    ingress: (given.ingress ?? []).map((ingress) => ({
      port: sidecarPort(ingress.port ?? {}),
      bind: ingress.bind ?? '',
      captureMode: ingress.captureMode ?? 'DEFAULT',
      defaultEndpoint: ingress.defaultEndpoint ?? null,
      position: POSITION,
    })),
    egress:
      given.egress?.map((egress) => ({
        port: egress.port === undefined ? null : sidecarPort(egress.port),
        bind: egress.bind ?? '',
        captureMode: egress.captureMode ?? 'DEFAULT',
        hosts: (egress.hosts ?? ['*/*']).map((text) => {
          const [namespace = '', host = ''] = text.split('/');
          return { namespace, host };
        }),
        position: POSITION,
      })) ?? null,
  };
}

function sidecarPort(given: Partial<SidecarPort>): SidecarPort {
  return { number: given.number ?? 0, name: given.name ?? '', protocol: given.protocol ?? null };
}

export function resources(
  given: Partial<Omit<Resources, 'meshConfig'>> & { readonly meshConfig?: Partial<MeshConfig> },
): Resources {
  return {
    peerAuthentications: given.peerAuthentications ?? [],
    authorizationPolicies: given.authorizationPolicies ?? [],
    requestAuthentications: given.requestAuthentications ?? [],
    services: given.services ?? [],
    serviceEntries: given.serviceEntries ?? [],
    workloadEntries: given.workloadEntries ?? [],
    serviceEndpoints: given.serviceEndpoints ?? [],
    destinationRules: given.destinationRules ?? [],
    sidecars: given.sidecars ?? [],
    meshConfig: {
      trustDomain: 'cluster.local',
      trustDomainAliases: [],
      rootNamespace: 'istio-system',
      protocolDetectionTimeoutMs: 0,
      pathNormalization: 'DEFAULT',
      accessLogFile: '',
      accessLogEncoding: 'TEXT',
      accessLogFormat: '',
      outboundTrafficPolicy: 'ALLOW_ANY',
      enableAutoMtls: true,
      extAuthzProviders: [],
      position: null,
      positionOf: () => null,
      ...given.meshConfig,
    },
  };
}
