/**
 * `rules` of AuthorizationPolicy: sources, operations and conditions, each value checked where it stands.
 */
import { ANY_OPERATION, ANY_SOURCE } from '../core/authorization-plan.ts';
import type {
  PolicyAction,
  PolicyCondition,
  PolicyOperation,
  PolicyRule,
  PolicySource,
} from '../core/authorization-plan.ts';
import type { FieldReader } from './field-reader.ts';
import { pathFault } from './path-template.ts';
import { parseConditionKey } from './policy-conditions.ts';
import {
  ipBlockFault,
  portFault,
  principalFault,
  readValues,
  serviceAccountFault,
  textFault,
  trustDomainFault,
} from './policy-values.ts';
import type { ValueCheck } from './policy-values.ts';
import { shown } from './yaml-tree.ts';

/** One entry a field, in the order in which faults are told. */
type Checks<K extends string> = readonly (readonly [K, ValueCheck])[];

const MAX_RULES = 512;
const MAX_SERVICE_ACCOUNTS = 16;

const SOURCE_CHECKS: Checks<keyof PolicySource> = [
  ['principals', principalFault],
  ['notPrincipals', principalFault],
  ['requestPrincipals', textFault],
  ['notRequestPrincipals', textFault],
  ['namespaces', textFault],
  ['notNamespaces', textFault],
  ['serviceAccounts', serviceAccountFault],
  ['notServiceAccounts', serviceAccountFault],
  ['trustDomains', trustDomainFault],
  ['notTrustDomains', trustDomainFault],
  ['ipBlocks', ipBlockFault],
  ['notIpBlocks', ipBlockFault],
  ['remoteIpBlocks', ipBlockFault],
  ['notRemoteIpBlocks', ipBlockFault],
];
const OPERATION_CHECKS: Checks<keyof PolicyOperation> = [
  ['hosts', textFault],
  ['notHosts', textFault],
  ['ports', portFault],
  ['notPorts', portFault],
  ['methods', textFault],
  ['notMethods', textFault],
  ['paths', pathFault],
  ['notPaths', pathFault],
];
/** What CUSTOM cannot use: the rules are evaluated before tokens are, and Istio keeps identities out as well. */
const AUTHENTICATED = new Set<string>([
  'principals',
  'notPrincipals',
  'requestPrincipals',
  'notRequestPrincipals',
  'namespaces',
  'notNamespaces',
  'serviceAccounts',
  'notServiceAccounts',
  'trustDomains',
  'notTrustDomains',
]);
const HTTP_ONLY = new Set<string>([
  'requestPrincipals',
  'notRequestPrincipals',
  'hosts',
  'notHosts',
  'methods',
  'notMethods',
  'paths',
  'notPaths',
]);

export function readPolicyRules(spec: FieldReader, action: PolicyAction): PolicyRule[] {
  if ((action === 'DENY' || action === 'CUSTOM') && spec.hasNoItems('rules')) {
    const message = `action ${action} without rules never applies`;
    spec.report('rules', 'missing_field', message, 'add rules; [{}] is one that matches everything');
  }
  const rules = spec.objects('rules');
  if (rules.length > MAX_RULES) {
    const message = `rules has ${rules.length} entries, more than ${MAX_RULES}`;
    spec.report('rules', 'out_of_range', message, 'split the policy');
  }
  return rules.map((rule) => readRule(rule, action));
}

function readRule(rule: FieldReader, action: PolicyAction): PolicyRule {
  const from = readParts(rule, 'from', 'source', ANY_SOURCE, SOURCE_CHECKS);
  const to = readParts(rule, 'to', 'operation', ANY_OPERATION, OPERATION_CHECKS);
  for (const source of from) checkSource(source.reader, source.part, action);
  const when = rule.objects('when').map((condition) => readCondition(condition, action));
  const read = { from: from.map(({ part }) => part), to: to.map(({ part }) => part), when };
  if (action === 'DENY' && isHttpOnly(read)) {
    const message = 'a DENY rule with HTTP attributes only denies all traffic to TCP ports of its workloads';
    rule.reportSelf('denies_tcp', message, 'add to.operation.ports to name the ports it is for', 'warning');
  }
  return read;
}

type Lists<K extends string> = Record<K, readonly string[]>;

interface ReadPart<K extends string> {
  readonly reader: FieldReader;
  readonly part: Lists<K>;
}

/** `from` or `to`: a list of mappings with one field, `source` or `operation`, that states something. */
function readParts<K extends string>(
  rule: FieldReader,
  field: 'from' | 'to',
  inner: 'source' | 'operation',
  nothing: Lists<K>,
  checks: Checks<K>,
): ReadPart<K>[] {
  if (rule.list(field)?.length === 0) {
    rule.report(field, 'empty', `${field} is an empty list`, `add an entry with ${inner}, or remove it`);
  }
  const parts: ReadPart<K>[] = [];
  for (const item of rule.objects(field)) {
    const reader = item.object(inner);
    if (reader === null) {
      if (!item.has(inner)) {
        const fix = `add ${inner}, or remove ${field} to match everything`;
        item.reportSelf('missing_field', `the entry has no ${inner}`, fix);
      }
      continue;
    }
    const part = { ...nothing };
    for (const [name, check] of checks) part[name] = readValues(reader, name, check);
    if (checks.every(([name]) => reader.hasNoItems(name))) {
      const fix = `write a field, or remove ${field} to match everything`;
      item.report(inner, 'empty', `${inner} states nothing`, fix);
    } else warnOfEmptyLists(reader, checks);
    parts.push({ reader, part });
  }
  return parts;
}

function warnOfEmptyLists(reader: FieldReader, checks: Checks<string>): void {
  for (const [name] of checks) {
    if (reader.has(name) && reader.hasNoItems(name)) {
      const message = `${name} is an empty list and states nothing`;
      reader.report(name, 'empty', message, 'add values, or remove it', 'warning');
    }
  }
}

function checkSource(reader: FieldReader, source: PolicySource, action: PolicyAction): void {
  for (const name of ['serviceAccounts', 'notServiceAccounts'] as const) {
    const count = source[name].length;
    if (count > MAX_SERVICE_ACCOUNTS) {
      const message = `${name} has ${count} entries, more than ${MAX_SERVICE_ACCOUNTS}`;
      reader.report(name, 'out_of_range', message, 'split the source');
    }
    const other = (['principals', 'notPrincipals', 'namespaces', 'notNamespaces'] as const).find(
      (field) => source[field].length > 0,
    );
    if (count > 0 && other !== undefined) {
      const message = `${name} cannot stand beside ${other} in one source`;
      reader.report(name, 'conflict', message, 'write two sources, or principals only');
    }
  }
  if (action !== 'CUSTOM') return;
  for (const name of AUTHENTICATED) {
    if (!reader.hasNoItems(name)) {
      const message = `action CUSTOM cannot use ${name}`;
      reader.report(name, 'conflict', message, 'remove it; ALLOW and DENY policies can use it');
    }
  }
}

function readCondition(condition: FieldReader, action: PolicyAction): PolicyCondition {
  const key = condition.text('key') ?? '';
  const parsed = parseConditionKey(key);
  if ('fault' in parsed) {
    const { code, message, fix } = parsed.fault;
    // A key of another type is told already.
    if (key !== '' || !condition.has('key') || condition.node('key')?.kind === 'scalar') {
      condition.reportValue('key', code, message, fix);
    }
  } else if (action === 'CUSTOM' && parsed.authenticated) {
    const message = `action CUSTOM cannot use the key "${shown(key)}"`;
    condition.reportValue('key', 'conflict', message, 'remove it; ALLOW and DENY policies can use it');
  }
  const check = 'fault' in parsed ? textFault : parsed.check;
  const read = {
    key,
    values: readValues(condition, 'values', check),
    notValues: readValues(condition, 'notValues', check),
  };
  if (condition.hasNoItems('values') && condition.hasNoItems('notValues')) {
    condition.reportSelf('missing_field', 'the condition has no values', 'add values or notValues');
  }
  if (!('fault' in parsed) && parsed.metadata) checkMetadata(condition, read, action);
  return read;
}

/** No filter here sets such metadata: `values` match nothing, `notValues` everything. */
function checkMetadata(condition: FieldReader, read: PolicyCondition, action: PolicyAction): void {
  const letsMoreThrough =
    action === 'ALLOW' ? read.notValues.length > 0 : action !== 'AUDIT' && read.values.length > 0;
  const message = `no filter of this proxy sets the metadata of "${shown(read.key)}"`;
  if (letsMoreThrough) condition.reportValue('key', 'not_enforced', message, 'remove the rule');
  else condition.reportValue('key', 'never_matches', message, 'remove it', 'warning');
}

/** Whether something is stated, and nothing of it means anything to a TCP connection. */
function isHttpOnly(rule: PolicyRule): boolean {
  const stated = [...rule.from, ...rule.to].flatMap((part) =>
    Object.entries(part).filter(([, values]: [string, readonly string[]]) => values.length > 0),
  );
  const keys = rule.when.map(({ key }) => parseConditionKey(key));
  return (
    stated.length + keys.length > 0 &&
    stated.every(([name]) => HTTP_ONLY.has(name)) &&
    keys.every((key) => 'httpOnly' in key && key.httpOnly)
  );
}
