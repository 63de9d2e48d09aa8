/** Postern's settings and its mesh's documents, in a peer's own folder. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { documentText } from '../policy/policy-documents.ts';
import type { PeerSetup } from './peer.ts';
import { writeSettings } from './template.ts';

/** `name`: of the templates. Returns the path of the settings. */
export function writePosternSettings(name: string, setup: PeerSetup): string {
  const { folder, policy } = setup;
  mkdirSync(join(folder, 'mesh'), { recursive: true });
  writeSettings(`${name}-mesh.yaml`, setup, join('mesh', 'mesh.yaml'));
  if (policy !== null) writeFileSync(join(folder, 'mesh', 'policy.yaml'), documentText(policy.documents));
  return writeSettings(`${name}.yaml`, setup);
}
