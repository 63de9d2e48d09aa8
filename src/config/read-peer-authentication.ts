/**
 * PeerAuthentication: mTLS mode of a mesh, a namespace or a workload, and of single ports.
 */
import type { FieldReader } from './field-reader.ts';
import { readSelector } from './read-selector.ts';
import type { PeerAuthentication, PeerMtlsMode, ResourceOrigin } from './resources.ts';
import { shown } from './yaml-tree.ts';

const MODES = ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'] as const;

/** Fields are already known to be the API's; what their values break is noted. */
export function readPeerAuthentication(document: FieldReader, origin: ResourceOrigin): PeerAuthentication {
  const spec = document.object('spec');
  const matchLabels = spec === null ? null : readSelector(spec);
  const mtls = spec?.object('mtls') ?? null;
  return {
    ...origin,
    kind: 'PeerAuthentication',
    matchLabels,
    mode: mtls === null ? null : readMode(mtls),
    portModes: spec === null ? new Map() : readPortModes(spec, matchLabels),
  };
}

function readMode(mtls: FieldReader): PeerMtlsMode {
  return mtls.oneOf('mode', MODES) ?? 'UNSET';
}

function readPortModes(
  spec: FieldReader,
  matchLabels: Readonly<Record<string, string>> | null,
): ReadonlyMap<number, PeerMtlsMode> {
  const modes = new Map<number, PeerMtlsMode>();
  const ports = spec.object('portLevelMtls');
  if (ports === null) return modes;
  if (ports.names().length === 0) {
    spec.report('portLevelMtls', 'bad_value', 'portLevelMtls has no port', 'add a port or remove it');
  }
  if (matchLabels === null) {
    const fix = 'add selector.matchLabels, or use mtls for all ports';
    spec.report('portLevelMtls', 'conflict', 'portLevelMtls needs a selector with labels', fix);
  }
  for (const key of ports.names()) {
    const port = /^[1-9]\d{0,4}$/.test(key) ? Number(key) : 0;
    if (port === 0 || port > 65_535) {
      ports.report(
        key,
        'out_of_range',
        `"${shown(key)}" is not a port`,
        'write a workload port from 1 to 65535',
      );
      continue;
    }
    const mtls = ports.object(key);
    modes.set(port, mtls === null ? 'UNSET' : readMode(mtls));
  }
  return modes;
}
