/**
 * v1 Service: where it is reached, and which ports of a workload have a name and what protocol that name says.
 */
import { isIP } from 'node:net';
import type { FieldReader } from './field-reader.ts';
import { isDnsName } from './istio-names.ts';
import { readExportAnnotation } from './read-export-to.ts';
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
const TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
/** IANA service names, as Kubernetes takes them for container ports. */
const PORT_NAME = /^(?=.*[a-z])[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/i;

export function readService(document: FieldReader, origin: ResourceOrigin): Service {
  const spec = document.object('spec');
  spec?.refuseUnknown(SPEC_FIELDS, 'Service');
  const selector = spec?.textMap('selector') ?? null;
  const type = spec?.oneOf('type', TYPES) ?? 'ClusterIP';
  const { clusterIps, headless } = spec === null ? { clusterIps: [], headless: false } : readClusterIps(spec);
  // An ExternalName has no endpoints of its own, whatever its selector says.
  const isExternal = type === 'ExternalName';
  const selects = !isExternal && selector !== null && Object.keys(selector).length > 0;
  return {
    ...origin,
    kind: 'Service',
    selector: selects ? selector : null,
    ports: spec === null ? [] : readPorts(spec),
    clusterIps,
    headless: headless && !isExternal,
    externalName: spec !== null && isExternal ? readExternalName(spec) : '',
    exportTo: readExportAnnotation(document, origin),
  };
}

function readClusterIps(spec: FieldReader): { clusterIps: string[]; headless: boolean } {
  const one = spec.text('clusterIP') ?? '';
  const several = spec.texts('clusterIPs');
  const written = several.length > 0 ? several : [one].filter((ip) => ip !== '');
  if (written.includes('None')) {
    if (written.length === 1) return { clusterIps: [], headless: true };
    spec.report(
      'clusterIPs',
      'conflict',
      '"None" stands beside addresses',
      'keep "None" alone, or remove it',
    );
  }
  for (const ip of written) {
    if (isIP(ip) !== 0 || ip === 'None') continue;
    const field = several.length > 0 ? 'clusterIPs' : 'clusterIP';
    spec.reportValue(
      field,
      'bad_value',
      `"${shown(ip)}" is not an IP address`,
      'write one like 10.0.0.2, or None',
    );
  }
  return { clusterIps: written.filter((ip) => isIP(ip) !== 0), headless: false };
}

function readExternalName(spec: FieldReader): string {
  const name = (spec.text('externalName') ?? '').toLowerCase();
  if (isDnsName(name)) return name;
  if (name === '')
    spec.report('externalName', 'missing_field', 'the Service has no externalName', 'add externalName');
  else {
    const message = `"${shown(name)}" is not a DNS name`;
    spec.reportValue('externalName', 'bad_value', message, 'write a name like example.com');
  }
  return '';
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
