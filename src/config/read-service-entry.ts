/**
 * ServiceEntry: a service that is told by hand, with its hosts, ports and where its instances are.
 */
import { isIP } from 'node:net';
import type { FieldReader } from './field-reader.ts';
import { HOST_FIX, isCidr, isDnsPattern, isLabel } from './istio-names.ts';
import { readExportTo } from './read-export-to.ts';
import { readProtocol } from './read-protocol.ts';
import { readLabelSelector } from './read-selector.ts';
import { readWorkloadSpec } from './read-workload-entry.ts';
import type { ResourceOrigin, ServiceEntry, ServiceEntryPort } from './resources.ts';
import { shown } from './yaml-tree.ts';

const LOCATIONS = ['MESH_EXTERNAL', 'MESH_INTERNAL'] as const;
const RESOLUTIONS = ['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN'] as const;
/** Host or SNI tells which of several hosts is meant. */
const TOLD_BY_NAME: ReadonlySet<string | null> = new Set([
  'HTTP',
  'HTTP2',
  'GRPC',
  'GRPC-WEB',
  'HTTPS',
  'TLS',
]);

/** Fields are already known to be the API's; what their values break is noted. */
export function readServiceEntry(document: FieldReader, origin: ResourceOrigin): ServiceEntry | null {
  const spec = document.object('spec');
  if (spec === null) {
    if (!document.has('spec'))
      document.report('spec', 'missing_field', 'the entry has no hosts', 'add spec.hosts');
    return null;
  }
  const entry: ServiceEntry = {
    ...origin,
    kind: 'ServiceEntry',
    hosts: readHosts(spec),
    addresses: readAddresses(spec),
    ports: readPorts(spec),
    location: spec.oneOf('location', LOCATIONS) ?? 'MESH_EXTERNAL',
    resolution: spec.oneOf('resolution', RESOLUTIONS) ?? 'NONE',
    endpoints: spec.objects('endpoints').flatMap((reader) => readWorkloadSpec(reader) ?? []),
    workloadSelector: readLabelSelector(spec, 'no workload is an instance of the service'),
    exportTo: readExportTo(spec, origin, { mayHide: true }),
    subjectAltNames: readSubjectAltNames(spec),
  };
  checkTogether(spec, entry);
  return entry;
}

function readHosts(spec: FieldReader): string[] {
  const hosts = spec.texts('hosts');
  if (spec.hasNoItems('hosts')) {
    spec.report('hosts', 'missing_field', 'the entry has no host', 'add hosts: [reviews.example.com]');
  }
  const good: string[] = [];
  for (const [index, host] of hosts.entries()) {
    const node = spec.list('hosts')?.[index];
    const path = `${spec.pathOf('hosts')}[${index}]`;
    if (node === undefined) continue;
    const lowered = host.toLowerCase();
    if (host === '*') {
      spec.reportAt(node, path, 'bad_value', '"*" would be every host', HOST_FIX);
    } else if (!isDnsPattern(host)) {
      spec.reportAt(node, path, 'bad_value', `"${shown(host)}" is not a host`, HOST_FIX);
    } else if (good.includes(lowered)) {
      spec.reportAt(node, path, 'conflict', `"${shown(host)}" is listed twice`, 'keep one of them');
    } else good.push(lowered);
  }
  return good;
}

function readAddresses(spec: FieldReader): string[] {
  const addresses = spec.texts('addresses');
  for (const [index, address] of addresses.entries()) {
    const node = spec.list('addresses')?.[index];
    if (node === undefined || isIP(address) !== 0 || isCidr(address)) continue;
    const message = `"${shown(address)}" is neither an IP address nor a CIDR block`;
    const path = `${spec.pathOf('addresses')}[${index}]`;
    spec.reportAt(node, path, 'bad_value', message, 'write it as 10.0.0.2 or 10.0.0.0/8');
  }
  return addresses;
}

function readPorts(spec: FieldReader): ServiceEntryPort[] {
  const ports: ServiceEntryPort[] = [];
  const names = new Set<string>();
  const numbers = new Set<number>();
  for (const reader of spec.objects('ports')) {
    const number = reader.integer('number', 1, 65_535);
    const name = reader.text('name') ?? '';
    const protocol = readProtocol(reader);
    const targetPort = readTargetPort(reader);
    if (!reader.has('number'))
      reader.report('number', 'missing_field', 'the port has no number', 'add number');
    if (!reader.has('name') || reader.text('name') === '')
      reader.report('name', 'missing_field', 'the port has no name', 'add name, like "http"');
    else if (name !== '' && !isLabel(name)) {
      const message = `"${shown(name)}" is not the name of a port`;
      reader.reportValue('name', 'bad_value', message, 'use a-z, 0-9 and "-"');
    } else if (names.has(name)) {
      const message = `the port name "${shown(name)}" stands twice`;
      reader.reportValue('name', 'conflict', message, 'give each its own name');
    }
    names.add(name);
    if (number === null) continue;
    if (numbers.has(number))
      reader.reportValue('number', 'conflict', `port ${number} stands twice`, 'keep one of them');
    numbers.add(number);
    if (protocol === 'UDP') {
      const message = `port ${number} has no effect: UDP is not carried`;
      reader.reportValue('protocol', 'ignored_field', message, 'remove the port, or leave it', 'warning');
      continue;
    }
    ports.push({ number, name, protocol, targetPort: targetPort ?? number, position: reader.position });
  }
  return ports;
}

/** 0 is what Istio's API takes for "not stated". */
function readTargetPort(reader: FieldReader): number | null {
  const port = reader.integer('targetPort', 0, 65_535);
  return port === 0 ? null : port;
}

function readSubjectAltNames(spec: FieldReader): string[] {
  const names = spec.texts('subjectAltNames');
  for (const [index, name] of names.entries()) {
    const node = spec.list('subjectAltNames')?.[index];
    if (name !== '' || node === undefined) continue;
    const path = `${spec.pathOf('subjectAltNames')}[${index}]`;
    spec.reportAt(node, path, 'bad_value', 'a subject alternative name is empty', 'remove it');
  }
  return names;
}

/** Settings that are right alone and wrong together. */
function checkTogether(spec: FieldReader, entry: ServiceEntry): void {
  const { resolution, hosts, ports } = entry;
  const endpoints = spec.objects('endpoints');
  if (endpoints.length > 0 && spec.has('workloadSelector')) {
    const message = 'the entry has endpoints and a workloadSelector';
    spec.report('endpoints', 'conflict', message, 'keep one of them');
  }
  switch (resolution) {
    case 'NONE':
      if (endpoints.length > 0) {
        const message = 'resolution NONE connects to the address that the client asks for, not to endpoints';
        spec.report('endpoints', 'conflict', message, 'write resolution: STATIC or DNS, or remove endpoints');
      }
      break;
    case 'STATIC':
      if (endpoints.length === 0 && !spec.has('workloadSelector')) {
        const fix = 'add endpoints, or workloadSelector';
        spec.report('resolution', 'missing_field', 'resolution STATIC has no endpoint to connect to', fix);
      }
      break;
    case 'DNS':
    case 'DNS_ROUND_ROBIN':
      if (resolution === 'DNS_ROUND_ROBIN' && endpoints.length > 1) {
        const message = 'resolution DNS_ROUND_ROBIN takes one endpoint';
        spec.report('endpoints', 'conflict', message, 'keep one, or write resolution: DNS');
      }
      if (endpoints.length === 0 && !spec.has('workloadSelector')) checkResolvable(spec, hosts);
      if (entry.addresses.some((address) => address.includes('/'))) {
        const message = `CIDR blocks do not go with resolution ${resolution}`;
        spec.report('addresses', 'conflict', message, 'write resolution: NONE or STATIC');
      }
      break;
    default:
      resolution satisfies never;
  }
  checkEndpoints(spec, endpoints, entry.resolution);
  if (
    resolution !== 'NONE' &&
    hosts.length > 1 &&
    ports.some(({ protocol }) => !TOLD_BY_NAME.has(protocol))
  ) {
    const message = 'several hosts cannot be told apart on a port that is neither HTTP nor TLS';
    spec.report('hosts', 'conflict', message, 'write an entry for each host');
  }
}

function checkResolvable(spec: FieldReader, hosts: readonly string[]): void {
  const wildcard = hosts.find((host) => host.startsWith('*'));
  if (wildcard === undefined) return;
  const message = `"${shown(wildcard)}" is no name that DNS could resolve`;
  spec.report('hosts', 'conflict', message, 'add endpoints, or write resolution: NONE');
}

function checkEndpoints(
  spec: FieldReader,
  readers: readonly FieldReader[],
  resolution: ServiceEntry['resolution'],
): void {
  const names = new Set(spec.objects('ports').map((port) => port.text('name') ?? ''));
  for (const reader of readers) {
    const address = reader.node('address');
    const text = address?.kind === 'scalar' && typeof address.value === 'string' ? address.value : '';
    if (resolution === 'STATIC' && text !== '' && isIP(text) === 0 && !text.startsWith('unix:')) {
      const message = `"${shown(text)}" is not an IP address, which resolution STATIC asks for`;
      reader.reportValue('address', 'bad_value', message, 'write an IP address, or resolution: DNS');
    }
    for (const name of reader.object('ports')?.names() ?? []) {
      if (names.has(name)) continue;
      const message = `the entry has no port named "${shown(name)}"`;
      const fix = names.size === 0 ? 'add ports to the entry' : `write one of ${[...names].join(', ')}`;
      reader.object('ports')?.report(name, 'bad_value', message, fix);
    }
  }
}
