/**
 * `protocol` of a port of ServiceEntry and Sidecar, in the spelling of Istio's own table.
 */
import type { FieldReader } from './field-reader.ts';
import { nearestName } from './nearest-name.ts';
import type { IstioProtocol } from './resources.ts';
import { shown } from './yaml-tree.ts';

const PROTOCOLS: readonly IstioProtocol[] = [
  'HTTP',
  'HTTPS',
  'GRPC',
  'GRPC-WEB',
  'HTTP2',
  'MONGO',
  'MYSQL',
  'REDIS',
  'TCP',
  'TLS',
];

/** `UDP` is given back as such: Istio takes it, and no listener carries it. Null: not stated, or wrong. */
export function readProtocol(
  port: FieldReader,
  further: readonly IstioProtocol[] = [],
): IstioProtocol | 'UDP' | null {
  const text = port.text('protocol') ?? '';
  if (text === '') return null;
  const wanted = text.toUpperCase();
  if (wanted === 'UDP') return 'UDP';
  const known = [...PROTOCOLS, ...further];
  const found = known.find((protocol) => protocol === wanted);
  if (found !== undefined) return found;
  const nearest = nearestName(text, known);
  const fix = nearest === null ? `write one of ${known.join(', ')}` : `did you mean "${nearest}"?`;
  port.reportValue('protocol', 'bad_value', `"${shown(text)}" is no protocol that can be carried`, fix);
  return null;
}
