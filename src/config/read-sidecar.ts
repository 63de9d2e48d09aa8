/**
 * Sidecar: listeners of a workload's own, and what its outbound connections may reach.
 *
 * Port 0 is ours, Istio wants a number: it picks a free port, and only a listener of its own can have it.
 */
import { isIP } from 'node:net';
import type { FieldReader } from './field-reader.ts';
import { applyFieldUses } from './field-use.ts';
import { isLabel } from './istio-names.ts';
import { OUTBOUND_TRAFFIC_POLICY_USES, SIDECAR_INGRESS_USES, SIDECAR_USES } from './networking-field-uses.ts';
import { readEgressHosts } from './read-egress-hosts.ts';
import { readOutboundMode } from './read-mesh-config.ts';
import { readProtocol } from './read-protocol.ts';
import { readLabelSelector } from './read-selector.ts';
import type {
  IstioProtocol,
  ResourceOrigin,
  Sidecar,
  SidecarEgress,
  SidecarIngress,
  SidecarPort,
} from './resources.ts';
import { shown } from './yaml-tree.ts';

const CAPTURE_MODES = ['DEFAULT', 'IPTABLES', 'NONE'] as const;
const APP_HOSTS: ReadonlySet<string> = new Set(['', '127.0.0.1', '0.0.0.0', '::1', '::', 'localhost']);

/** Fields are already known to be the API's; what their values break is noted. */
export function readSidecar(document: FieldReader, origin: ResourceOrigin): Sidecar {
  const spec = document.object('spec');
  if (spec === null || !spec.names().some((name) => name !== 'workloadSelector' && spec.has(name))) {
    if (spec !== null || !document.has('spec')) {
      const fix = 'add ingress, egress or outboundTrafficPolicy';
      document.report('spec', 'missing_field', 'the Sidecar says nothing', fix);
    }
  }
  if (spec !== null) {
    applyFieldUses(spec, SIDECAR_USES);
    const policy = spec.object('outboundTrafficPolicy');
    if (policy !== null) applyFieldUses(policy, OUTBOUND_TRAFFIC_POLICY_USES);
  }
  return {
    ...origin,
    kind: 'Sidecar',
    workloadSelector:
      spec === null ? null : readLabelSelector(spec, 'the Sidecar is for the whole namespace'),
    ingress: spec === null ? [] : readIngress(spec),
    egress: spec === null ? null : readEgress(spec),
    outboundTrafficPolicy: spec === null ? null : readOutboundMode(spec),
  };
}

function readIngress(spec: FieldReader): SidecarIngress[] {
  const listeners: SidecarIngress[] = [];
  const taken = new Set<number>();
  for (const reader of spec.objects('ingress')) {
    applyFieldUses(reader, SIDECAR_INGRESS_USES);
    const bind = readBind(reader);
    const captureMode = reader.oneOf('captureMode', CAPTURE_MODES) ?? 'DEFAULT';
    const defaultEndpoint = readDefaultEndpoint(reader);
    const port = readPort(reader, []);
    if (port === null) {
      if (!reader.has('port'))
        reader.report('port', 'missing_field', 'the listener has no port', 'add port: {number: 8080}');
      continue;
    }
    checkPort(reader, port, captureMode, taken);
    if (port.number === 0 && !reader.has('defaultEndpoint')) {
      const message = 'port 0 does not say which port of the app is meant';
      reader.report('defaultEndpoint', 'missing_field', message, 'add defaultEndpoint: 127.0.0.1:8080');
    }
    listeners.push({ port, bind, captureMode, defaultEndpoint, position: reader.position });
  }
  return listeners;
}

/** Null: nothing is said, or an empty list, which the API cannot tell from nothing. */
function readEgress(spec: FieldReader): SidecarEgress[] | null {
  const readers = spec.objects('egress');
  if (readers.length === 0) return null;
  const taken = new Set<number>();
  return readers.map((reader, index): SidecarEgress => {
    const port = reader.has('port') ? readPort(reader, ['HTTP_PROXY']) : null;
    const captureMode = reader.oneOf('captureMode', CAPTURE_MODES) ?? 'DEFAULT';
    if (port !== null) checkPort(reader, port, captureMode, taken);
    if (!reader.has('port') && index < readers.length - 1) {
      const message = 'the entry without port is for every other port, and others follow';
      reader.report('hosts', 'conflict', message, 'move it to the end, or add port');
    }
    return {
      port,
      bind: readBind(reader),
      captureMode,
      hosts: readEgressHosts(reader),
      position: reader.position,
    };
  });
}

function readPort(listener: FieldReader, further: readonly IstioProtocol[]): SidecarPort | null {
  const reader = listener.object('port');
  if (reader === null) return null;
  if (reader.has('targetPort') && reader.integer('targetPort', 0, 65_535) !== 0) {
    const fix = 'remove it; the port of the app stands in defaultEndpoint';
    reader.report('targetPort', 'bad_value', 'targetPort has no effect on a Sidecar', fix);
  }
  const name = reader.text('name') ?? '';
  if (name !== '' && !isLabel(name)) {
    const message = `"${shown(name)}" is not the name of a port`;
    reader.reportValue('name', 'bad_value', message, 'use a-z, 0-9 and "-"');
  }
  if (!reader.has('number'))
    reader.report('number', 'missing_field', 'the port has no number', 'add number; 0 picks a free port');
  const number = reader.integer('number', 0, 65_535);
  const protocol = readProtocol(reader, further);
  if (protocol === 'UDP') {
    reader.reportValue('protocol', 'bad_value', 'UDP is not carried', 'write TCP, or remove the listener');
    return null;
  }
  return number === null ? null : { number, name, protocol };
}

function checkPort(
  reader: FieldReader,
  port: SidecarPort,
  captureMode: SidecarIngress['captureMode'],
  taken: Set<number>,
): void {
  const at = reader.object('port') ?? reader;
  if (port.number === 0) {
    if (captureMode !== 'IPTABLES') return;
    const message = 'nobody is redirected to port 0';
    at.reportValue('number', 'conflict', message, 'write a port, or captureMode: NONE');
    return;
  }
  if (taken.has(port.number)) {
    at.reportValue('number', 'conflict', `port ${port.number} stands twice`, 'give each its own port');
  }
  taken.add(port.number);
}

function readBind(reader: FieldReader): string {
  const bind = reader.text('bind') ?? '';
  if (bind === '' || isIP(bind) !== 0) return bind;
  if (bind.startsWith('unix:')) {
    const message = 'this version cannot listen on Unix sockets yet';
    reader.reportValue('bind', 'not_usable_yet', message, 'write an IP address and a port');
  } else {
    const message = `"${shown(bind)}" is not an IP address`;
    reader.reportValue('bind', 'bad_value', message, 'write an address like 127.0.0.1');
  }
  return '';
}

/** `127.0.0.1:8080`, `[::1]:8080`, `:8080`. */
function readDefaultEndpoint(reader: FieldReader): SidecarIngress['defaultEndpoint'] {
  const text = reader.text('defaultEndpoint') ?? '';
  if (text === '') return null;
  if (text.startsWith('unix:')) {
    const message = 'this version cannot connect to Unix sockets yet';
    reader.reportValue('defaultEndpoint', 'not_usable_yet', message, 'write 127.0.0.1:PORT');
    return null;
  }
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain ?? '';
  const port = Number(digits);
  const isGood = digits !== undefined && APP_HOSTS.has(host) && (bracketed === undefined || isIP(host) === 6);
  if (!isGood) {
    const message = `"${shown(text)}" is not an address of this host with a port`;
    const fix = 'write 127.0.0.1:PORT, 0.0.0.0:PORT, [::1]:PORT or localhost:PORT';
    reader.reportValue('defaultEndpoint', 'bad_value', message, fix);
    return null;
  }
  if (port < 1 || port > 65_535) {
    const message = `"${shown(text)}" has no port from 1 to 65535`;
    reader.reportValue('defaultEndpoint', 'out_of_range', message, 'write the port of the app');
    return null;
  }
  return { host: host === '' ? '127.0.0.1' : host, port };
}
