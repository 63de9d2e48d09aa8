/**
 * v1 Service: which ports of a workload have a name, and what protocol that name says.
 */
import type { FieldReader } from './field-reader.ts';
import type { ResourceOrigin, Service, ServicePort } from './resources.ts';
import { shown } from './yaml-tree.ts';

const SPEC_FIELDS = new Set(
  (
    'selector ports type clusterIP clusterIPs externalIPs externalName externalTrafficPolicy healthCheckNodePort ' +
    'internalTrafficPolicy ipFamilies ipFamilyPolicy ipFamily loadBalancerClass loadBalancerIP ' +
    'loadBalancerSourceRanges publishNotReadyAddresses sessionAffinity sessionAffinityConfig topologyKeys ' +
    'trafficDistribution allocateLoadBalancerNodePorts'
  ).split(' '),
);
const PORT_FIELDS = new Set(['name', 'port', 'targetPort', 'protocol', 'appProtocol', 'nodePort']);
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
/** IANA service names, as Kubernetes takes them for container ports. */
const PORT_NAME = /^(?=.*[a-z])[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/i;

export function readService(document: FieldReader, origin: ResourceOrigin): Service {
  const spec = document.object('spec');
  spec?.refuseUnknown(SPEC_FIELDS, 'Service');
  const selector = spec?.textMap('selector') ?? null;
  // An ExternalName has no endpoints of its own, whatever its selector says.
  const selects =
    spec?.text('type') !== 'ExternalName' && selector !== null && Object.keys(selector).length > 0;
  return {
    ...origin,
    kind: 'Service',
    selector: selects ? selector : null,
    ports: spec === null ? [] : readPorts(spec),
    clusterIps: [],
    headless: false,
    externalName: '',
    exportTo: [],
  };
}

function readPorts(spec: FieldReader): ServicePort[] {
  const ports: ServicePort[] = [];
  const names = new Set<string>();
  const numbers = new Set<string>();
  const readers = spec.objects('ports');
  for (const reader of readers) {
    reader.refuseUnknown(PORT_FIELDS, 'a Service port');
    const port = reader.integer('port', 1, 65_535);
    if (!reader.has('port')) reader.report('port', 'missing_field', 'the port has no number', 'add port');
    const name = reader.text('name') ?? '';
    if (name === '' && readers.length > 1) {
      reader.report('name', 'missing_field', 'each of several ports needs a name', 'add name, like "http"');
    }
    if (name !== '' && names.has(name)) {
      reader.reportValue(
        'name',
        'conflict',
        `the port name "${shown(name)}" stands twice`,
        'give each its own name',
      );
    }
    names.add(name);
    const protocol = reader.oneOf('protocol', PROTOCOLS) ?? 'TCP';
    if (port === null) continue;
    if (numbers.has(`${port}/${protocol}`)) {
      reader.reportValue('port', 'conflict', `port ${port} stands twice`, 'keep one of them');
    }
    numbers.add(`${port}/${protocol}`);
    ports.push({
      name,
      port,
      targetPort: readTargetPort(reader) ?? port,
      protocol,
      appProtocol: reader.text('appProtocol'),
      position: reader.position,
    });
  }
  return ports;
}

function readTargetPort(reader: FieldReader): number | string | null {
  const node = reader.node('targetPort');
  if (node?.kind !== 'scalar' || typeof node.value !== 'string')
    return reader.integer('targetPort', 1, 65_535);
  // Kubernetes takes text as the name of a container port, never as a number.
  if (PORT_NAME.test(node.value)) return node.value;
  const message = `"${shown(node.value)}" is neither a port nor the name of one`;
  reader.reportValue('targetPort', 'bad_value', message, 'write a number without quotes, or a port name');
  return null;
}
