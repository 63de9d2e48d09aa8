/**
 * v1 Endpoints and discovery.k8s.io/v1 EndpointSlice: the addresses of a Service, ready ones only, TCP ports only.
 */
import { isIP } from 'node:net';
import type { FieldReader } from './field-reader.ts';
import { isDnsName, isSubdomain } from './istio-names.ts';
import type { ResourceOrigin, ServiceEndpoints } from './resources.ts';
import { shown } from './yaml-tree.ts';

type Subset = ServiceEndpoints['subsets'][number];
type Port = Subset['ports'][number];

const META_FIELDS = ['apiVersion', 'kind', 'metadata'];
const ENDPOINTS_FIELDS = [...META_FIELDS, 'subsets'];
const SUBSET_FIELDS = ['addresses', 'notReadyAddresses', 'ports'];
const ADDRESS_FIELDS = ['ip', 'hostname', 'nodeName', 'targetRef'];
const SLICE_FIELDS = [...META_FIELDS, 'addressType', 'endpoints', 'ports'];
const SLICE_ENDPOINT_FIELDS = [
  'addresses',
  'conditions',
  'deprecatedTopology',
  'hints',
  'hostname',
  'nodeName',
  'targetRef',
  'zone',
];
const CONDITION_FIELDS = ['ready', 'serving', 'terminating'];
const PORT_FIELDS = ['name', 'port', 'protocol', 'appProtocol'];
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const;
const SERVICE_LABEL = 'kubernetes.io/service-name';

/** They are those of the Service of the same name. */
export function readEndpoints(document: FieldReader, origin: ResourceOrigin): ServiceEndpoints {
  document.refuseUnknown(ENDPOINTS_FIELDS, 'Endpoints');
  const subsets = document.objects('subsets').map((reader): Subset => {
    reader.refuseUnknown(SUBSET_FIELDS, 'a subset of Endpoints');
    const addresses = reader.objects('addresses').flatMap((address) => {
      address.refuseUnknown(ADDRESS_FIELDS, 'an address of Endpoints');
      return readIp(address);
    });
    return { addresses, ports: readPorts(reader) };
  });
  return { ...origin, kind: 'Endpoints', serviceName: origin.name, subsets };
}

/** Null, with a warning, when it says no Service: then it has no effect. */
export function readEndpointSlice(document: FieldReader, origin: ResourceOrigin): ServiceEndpoints | null {
  document.refuseUnknown(SLICE_FIELDS, 'EndpointSlice');
  const addressType = document.oneOf('addressType', ['IPv4', 'IPv6', 'FQDN']);
  if (!document.has('addressType')) {
    document.report('addressType', 'missing_field', 'addressType is missing', 'write addressType: IPv4');
  }
  const addresses = document.objects('endpoints').flatMap((reader) => readSliceEndpoint(reader, addressType));
  const ports = readPorts(document);
  const serviceName = origin.labels[SERVICE_LABEL] ?? '';
  if (isSubdomain(serviceName)) {
    return { ...origin, kind: 'EndpointSlice', serviceName, subsets: [{ addresses, ports }] };
  }
  const message = `the slice has no effect: it is of no Service`;
  document.report('metadata', 'ignored_field', message, `add the label ${SERVICE_LABEL}`, 'warning');
  return null;
}

function readIp(address: FieldReader): string[] {
  const ip = address.text('ip');
  if (ip === null) {
    if (!address.has('ip')) address.report('ip', 'missing_field', 'the address has no ip', 'add ip');
    return [];
  }
  if (isIP(ip) !== 0) return [ip];
  address.reportValue('ip', 'bad_value', `"${shown(ip)}" is not an IP address`, 'write one like 10.0.0.2');
  return [];
}

function readSliceEndpoint(reader: FieldReader, type: 'IPv4' | 'IPv6' | 'FQDN' | null): string[] {
  reader.refuseUnknown(SLICE_ENDPOINT_FIELDS, 'an endpoint of EndpointSlice');
  const conditions = reader.object('conditions');
  conditions?.refuseUnknown(CONDITION_FIELDS, 'conditions');
  // Kubernetes: who says nothing of readiness is to be taken as ready.
  const isReady = conditions?.boolean('ready') ?? true;
  const addresses = reader.texts('addresses');
  const good: string[] = [];
  for (const [index, address] of addresses.entries()) {
    const node = reader.list('addresses')?.[index];
    if (node === undefined || type === null) continue;
    const fits = type === 'FQDN' ? isDnsName(address) : isIP(address) === (type === 'IPv4' ? 4 : 6);
    if (fits) good.push(address);
    else {
      const path = `${reader.pathOf('addresses')}[${index}]`;
      const message = `"${shown(address)}" is no address of addressType ${type}`;
      reader.reportAt(node, path, 'bad_value', message, 'correct the address, or addressType');
    }
  }
  return isReady ? good : [];
}

function readPorts(holder: FieldReader): Port[] {
  const ports: Port[] = [];
  for (const reader of holder.objects('ports')) {
    reader.refuseUnknown(PORT_FIELDS, 'a port');
    const name = reader.text('name') ?? '';
    const port = reader.integer('port', 1, 65_535);
    const protocol = reader.oneOf('protocol', PROTOCOLS) ?? 'TCP';
    if (!reader.has('port')) reader.report('port', 'missing_field', 'the port has no number', 'add port');
    if (port !== null && protocol === 'TCP') ports.push({ name, port });
  }
  return ports;
}
