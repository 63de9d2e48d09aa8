/**
 * Which Services belong to this workload, and what they say of its ports.
 *
 * A port's protocol comes from appProtocol, else from the prefix of its name, by Istio's rules; a name that
 * says nothing leaves the protocol to be detected (`auto`).
 */
import type { Service, ServicePort } from '../config/resources.ts';
import { matchLabels } from './match-labels.ts';
import type { PortProtocol, WorkloadIdentity } from './plan.ts';
import { nameOf, type PlanWarning, planWarning } from './plan-warning.ts';

/** What a Service says of one workload port. */
export interface NamedPort {
  readonly protocol: PortProtocol;
  /** `Service foo/httpbin port http`. */
  readonly protocolFrom: string;
  readonly service: { readonly namespace: string; readonly name: string };
}

export interface ServicePorts {
  /** By workload (target) port. */
  readonly ports: ReadonlyMap<number, NamedPort>;
  readonly warnings: readonly PlanWarning[];
}

const PROTOCOL_OF_NAME: ReadonlyMap<string, PortProtocol> = new Map<string, PortProtocol>([
  ['http', 'http'],
  ['http_proxy', 'http'],
  ['http2', 'http2'],
  ['grpc', 'http2'],
  ['grpc-web', 'http2'],
  ['tcp', 'tcp'],
  ['tls', 'tcp'],
  ['https', 'tcp'],
  ['mongo', 'tcp'],
  ['mysql', 'tcp'],
  ['redis', 'tcp'],
]);

/** Names that Kubernetes itself has for appProtocol. */
const PROTOCOL_OF_KUBERNETES_NAME: ReadonlyMap<string, PortProtocol> = new Map<string, PortProtocol>([
  ['kubernetes.io/h2c', 'http2'],
  ['kubernetes.io/ws', 'http'],
  ['kubernetes.io/wss', 'tcp'],
]);

/** SMTP, DNS, MySQL, MongoDB: the server may speak first there, so detection would wait for ever. */
const SERVER_FIRST_PORTS: ReadonlySet<number> = new Set([25, 53, 3306, 27_017]);

/** `services` oldest first: of two ports that lead to one workload port the first counts. */
export function servicePorts(services: readonly Service[], workload: WorkloadIdentity): ServicePorts {
  const ports = new Map<number, NamedPort>();
  const warnings: PlanWarning[] = [];
  for (const service of services) {
    if (!selects(service, workload)) continue;
    if (service.namespace !== workload.namespace) {
      if (!service.namespaceGiven) warnings.push(namespaceWarning(service, workload));
      continue;
    }
    warnings.push(...serviceWarnings(service));
    for (const [index, port] of service.ports.entries()) {
      if (port.protocol !== 'TCP' || typeof port.targetPort === 'string') continue;
      const named = {
        protocol: protocolOfPort(port),
        protocolFrom: portName(service, port),
        service: { namespace: service.namespace, name: service.name },
      };
      const first = ports.get(port.targetPort);
      if (first === undefined) {
        ports.set(port.targetPort, named);
      } else if (first.protocol !== named.protocol) {
        warnings.push(conflictWarning(service, index, port.targetPort, first, named));
      }
    }
  }
  return { ports, warnings };
}

/** What this version cannot do with a Service, whatever the workload. */
export function serviceWarnings(service: Service): PlanWarning[] {
  const warnings: PlanWarning[] = [];
  for (const [index, port] of service.ports.entries()) {
    if (port.protocol !== 'TCP') continue;
    const path = `spec.ports[${index}]`;
    if (typeof port.targetPort === 'string') {
      warnings.push(
        planWarning(
          'unresolved_target_port',
          service,
          `${path}.targetPort`,
          `${portName(service, port)} leads to the container port named "${port.targetPort}", whose number no ` +
            'document says: the workload port counts as one that no Service names',
          'write the number of the container port',
        ),
      );
    }
    if (protocolOfPort(port) === 'http2') {
      warnings.push(
        planWarning(
          'http2_not_supported',
          service,
          port.appProtocol === null ? `${path}.name` : `${path}.appProtocol`,
          `${portName(service, port)} is declared "${port.appProtocol ?? port.name}" and this version speaks ` +
            'HTTP/1.1 only: connections to it are refused',
          'declare it http if clients speak HTTP/1.1, or tcp to carry it without HTTP rules',
        ),
      );
    }
  }
  return warnings;
}

/** What the name or appProtocol of a TCP port says of its traffic. */
export function protocolOfPort(port: ServicePort): PortProtocol {
  if (port.appProtocol !== null) {
    const protocol = PROTOCOL_OF_KUBERNETES_NAME.get(port.appProtocol);
    if (protocol !== undefined) return protocol;
  }
  return PROTOCOL_OF_NAME.get(prefixOf(port)) ?? (SERVER_FIRST_PORTS.has(port.port) ? 'tcp' : 'auto');
}

/** Whether clients bring their own TLS to it, so that its service is told by SNI. */
export function isTlsPort(port: ServicePort): boolean {
  const prefix = prefixOf(port);
  return prefix === 'tls' || prefix === 'https';
}

function prefixOf(port: ServicePort): string {
  const name = (port.appProtocol ?? port.name).toLowerCase();
  return name.startsWith('grpc-web') ? 'grpc-web' : name.split('-', 1)[0]!;
}

/** Whether the selector of a Service matches these labels; an empty one matches nothing. */
export function selects(
  service: Service,
  workload: { readonly labels: Readonly<Record<string, string>> },
): boolean {
  const { selector } = service;
  return selector !== null && Object.keys(selector).length > 0 && matchLabels(selector, workload.labels);
}

function portName(service: Service, port: ServicePort): string {
  return `${nameOf(service)} port ${port.name === '' ? port.port : port.name}`;
}

function namespaceWarning(service: Service, workload: WorkloadIdentity): PlanWarning {
  return planWarning(
    'selects_nothing',
    service,
    'metadata',
    `${nameOf(service)} does not name ports of workload ${workload.namespace}/${workload.name}: it has no ` +
      `metadata.namespace and is therefore in "${service.namespace}"`,
    `add namespace: ${workload.namespace} under metadata`,
  );
}

/** Ports that agree are left alone: a Service for each version beside one for all is everyday practice. */
function conflictWarning(
  service: Service,
  index: number,
  targetPort: number,
  first: NamedPort,
  named: NamedPort,
): PlanWarning {
  return planWarning(
    'port_conflict',
    service,
    `spec.ports[${index}]`,
    `${named.protocolFrom} leads to workload port ${targetPort}, which counts as "${first.protocol}" by the older ` +
      `${first.protocolFrom}: "${named.protocol}" has no effect`,
    'give both ports the same protocol, or another targetPort to one of them',
  );
}
