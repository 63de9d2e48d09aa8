/**
 * DestinationRule: how clients speak TLS to a service (ClientTLSSettings). The rest of a traffic policy has no effect here.
 */
import type { FieldReader } from './field-reader.ts';
import { applyFieldUses } from './field-use.ts';
import { HOST_FIX, isDnsPattern } from './istio-names.ts';
import { DESTINATION_RULE_USES, TRAFFIC_POLICY_USES } from './networking-field-uses.ts';
import { readClientTls } from './read-client-tls.ts';
import { readExportTo } from './read-export-to.ts';
import { readSelector } from './read-selector.ts';
import type { ClientTls, DestinationRule, ResourceOrigin, TrafficPolicy } from './resources.ts';
import { shown } from './yaml-tree.ts';

/** Fields are already known to be the API's; what their values break is noted. */
export function readDestinationRule(document: FieldReader, origin: ResourceOrigin): DestinationRule | null {
  const spec = document.object('spec');
  if (spec === null) {
    if (!document.has('spec'))
      document.report('spec', 'missing_field', 'the rule has no host', 'add spec.host');
    return null;
  }
  applyFieldUses(spec, DESTINATION_RULE_USES);
  const host = readHost(spec);
  const workloadSelector = readSelector(spec, 'workloadSelector');
  if (workloadSelector === null && spec.has('workloadSelector')) {
    const message = 'workloadSelector has no labels: the rule is for all clients';
    spec.report('workloadSelector', 'empty', message, 'add matchLabels, or remove it', 'warning');
  }
  const exportTo = readExportTo(spec, origin, { mayHide: false });
  if (spec.has('workloadSelector') && exportTo.some((one) => one !== '.' && one !== origin.namespace)) {
    const message = 'a rule with workloadSelector is for its own namespace only';
    spec.report('exportTo', 'conflict', message, 'write ["."] or remove it');
  }
  const policy = spec.object('trafficPolicy');
  const trafficPolicy = policy === null ? null : readTrafficPolicy(policy, workloadSelector !== null);
  return host === null
    ? null
    : { ...origin, kind: 'DestinationRule', host, trafficPolicy, exportTo, workloadSelector };
}

function readHost(spec: FieldReader): string | null {
  const host = spec.text('host') ?? '';
  if (host === '') {
    if (!spec.has('host') || spec.text('host') === '')
      spec.report('host', 'missing_field', 'the rule has no host', 'add host');
    return null;
  }
  if (host === '*' || isDnsPattern(host)) return host.toLowerCase();
  spec.reportValue('host', 'bad_value', `"${shown(host)}" is not a host`, HOST_FIX);
  return null;
}

function readTrafficPolicy(policy: FieldReader, selects: boolean): TrafficPolicy {
  refuseEmpty(policy);
  applyFieldUses(policy, TRAFFIC_POLICY_USES);
  const ports = new Map<number, { readonly tls: ClientTls | null }>();
  for (const entry of policy.objects('portLevelSettings')) {
    applyFieldUses(entry, TRAFFIC_POLICY_USES);
    const number = entry.object('port')?.integer('number', 1, 65_535) ?? null;
    if (entry.object('port')?.has('number') !== true) {
      if (!entry.has('port') || entry.object('port') !== null)
        entry.report('port', 'missing_field', 'the entry has no port', 'add port: {number: 80}');
    } else if (number !== null && ports.has(number)) {
      entry.report('port', 'conflict', `port ${number} stands twice`, 'keep one of them');
    }
    const tls = readTls(entry, selects);
    if (number !== null && !ports.has(number)) ports.set(number, { tls });
  }
  return { tls: readTls(policy, selects), ports };
}

function readTls(policy: FieldReader, selects: boolean): ClientTls | null {
  const tls = policy.object('tls');
  return tls === null ? null : readClientTls(tls, selects);
}

function refuseEmpty(policy: FieldReader): void {
  if (policy.names().some((name) => policy.has(name))) return;
  policy.problems.add(
    'error',
    'missing_field',
    policy.position,
    policy.path,
    'the traffic policy says nothing',
    'add tls, or remove it',
  );
}
