/**
 * Sidecar `egress[].hosts`: `namespace/dnsName`, the services that a workload may reach.
 */
import type { FieldReader } from './field-reader.ts';
import { isDnsPattern, isLabel } from './istio-names.ts';
import type { SidecarEgress } from './resources.ts';
import { shown } from './yaml-tree.ts';

type EgressHost = SidecarEgress['hosts'][number];

const FIX = 'write it as foo/reviews.foo.svc.cluster.local, ./* or */*';

/** What is wrong is noted; without a host a listener reaches nothing, and that is an error. */
export function readEgressHosts(listener: FieldReader): EgressHost[] {
  const texts = listener.texts('hosts');
  if (listener.hasNoItems('hosts')) {
    const message = 'the egress listener has no hosts';
    listener.report('hosts', 'missing_field', message, 'add hosts: ["./*"]');
  }
  const hosts: EgressHost[] = [];
  for (const [index, text] of texts.entries()) {
    const node = listener.list('hosts')?.[index];
    if (node === undefined) continue;
    const path = `${listener.pathOf('hosts')}[${index}]`;
    const parsed = parseEgressHost(text);
    if (typeof parsed === 'string') listener.reportAt(node, path, 'bad_value', parsed, FIX);
    else hosts.push(parsed);
  }
  return hosts;
}

/** The host, or what is wrong with it. */
function parseEgressHost(text: string): EgressHost | string {
  const slash = text.indexOf('/');
  const namespace = text.slice(0, Math.max(0, slash));
  const host = text.slice(slash + 1).toLowerCase();
  if (slash === -1) return `"${shown(text)}" has no namespace`;
  if (!['*', '.', '~'].includes(namespace) && !isLabel(namespace))
    return `"${shown(namespace)}" is not a namespace`;
  if (host === '*') return { namespace, host };
  if (namespace === '~') return `"${shown(text)}" hides every service, and names one`;
  if (!host.includes('.')) return `"${shown(host)}" is a short name, which nothing is matched by`;
  return isDnsPattern(host) ? { namespace, host } : `"${shown(host)}" is not a host`;
}
