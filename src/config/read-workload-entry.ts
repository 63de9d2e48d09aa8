/**
 * WorkloadEntry, and the same fields as an entry of ServiceEntry.endpoints: one instance of a service.
 */
import { isIP } from 'node:net';
import type { FieldReader } from './field-reader.ts';
import { applyFieldUses } from './field-use.ts';
import { isDnsName, isLabel, isSubdomain } from './istio-names.ts';
import { WORKLOAD_USES } from './networking-field-uses.ts';
import type { ResourceOrigin, WorkloadEntry, WorkloadSpec } from './resources.ts';
import { shown } from './yaml-tree.ts';

const MAX_WEIGHT = 4_294_967_295;

/** Fields are already known to be the API's; null when it has no address that can be used. */
export function readWorkloadEntry(document: FieldReader, origin: ResourceOrigin): WorkloadEntry | null {
  const spec = document.object('spec');
  if (spec === null) {
    if (!document.has('spec'))
      document.report('spec', 'missing_field', 'the entry has no address', 'add spec.address');
    return null;
  }
  const workload = readWorkloadSpec(spec);
  return workload === null ? null : { ...origin, kind: 'WorkloadEntry', spec: workload };
}

export function readWorkloadSpec(reader: FieldReader): WorkloadSpec | null {
  applyFieldUses(reader, WORKLOAD_USES);
  const spec = {
    address: readAddress(reader),
    ports: readPorts(reader),
    labels: reader.textMap('labels') ?? {},
    serviceAccount: readServiceAccount(reader),
    weight: reader.integer('weight', 0, MAX_WEIGHT) ?? 0,
  };
  return spec.address === null ? null : { ...spec, address: spec.address };
}

function readAddress(reader: FieldReader): string | null {
  const address = reader.text('address') ?? '';
  if (address === '') {
    if (!reader.has('address') || reader.text('address') === '')
      reader.report('address', 'missing_field', 'the endpoint has no address', 'add address');
    return null;
  }
  if (address.startsWith('unix:')) {
    const message = 'this version cannot connect to Unix sockets yet';
    reader.reportValue('address', 'not_usable_yet', message, 'write an IP address, or a name of one');
    return null;
  }
  if (isIP(address) !== 0) return address;
  // Digits and dots alone are an address; a wrong one is not a name.
  if (isDnsName(address) && !/^[\d.]+$/.test(address)) return address.toLowerCase();
  const message = `"${shown(address)}" is neither an IP address nor a DNS name`;
  reader.reportValue('address', 'bad_value', message, 'write an address like 10.0.0.2');
  return null;
}

function readPorts(reader: FieldReader): Record<string, number> {
  const ports = reader.object('ports');
  const pairs: [string, number][] = [];
  for (const name of ports?.names() ?? []) {
    if (!isLabel(name)) {
      const message = `"${shown(name)}" is not the name of a port`;
      ports?.report(name, 'bad_value', message, 'write the name of a port of the service');
      continue;
    }
    if (ports?.has(name) === false) {
      ports.report(name, 'missing_field', `the port "${name}" has no number`, 'write one');
    }
    const port = ports?.integer(name, 1, 65_535) ?? null;
    if (port !== null) pairs.push([name, port]);
  }
  return Object.fromEntries(pairs);
}

/** It becomes part of a SPIFFE ID: anything but a name could say another identity. */
function readServiceAccount(reader: FieldReader): string {
  const account = reader.text('serviceAccount') ?? '';
  if (account === '' || isSubdomain(account)) return account;
  const message = `"${shown(account)}" is not a service account`;
  reader.reportValue('serviceAccount', 'bad_value', message, 'use a-z, 0-9, "-" and "."');
  return '';
}
