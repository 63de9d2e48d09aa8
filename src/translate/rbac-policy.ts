/**
 * One rule of an AuthorizationPolicy as a policy of Envoy's RBAC, in the order in which Istio's control plane writes it.
 */
import type {
  PolicyCondition,
  PolicyOperation,
  PolicyRule,
  PolicySource,
} from '../core/authorization-plan.ts';
import { headerNameIn, claimPathIn, metadataKeyIn } from './condition-keys.ts';
import type { EnvoyMessage } from './envoy-message.ts';
import { conjunction, PERMISSIONS, PRINCIPALS, type RbacClause } from './rbac-clause.ts';
import * as rbac from './rbac-values.ts';
import { expandTrustDomains, migratePrincipals } from './trust-domain-aliases.ts';

export interface RuleContext {
  /** Of the policy: where its service accounts are if they name no namespace. */
  readonly namespace: string;
  /** Own trust domain first, then its aliases. */
  readonly trustDomains: readonly string[];
  readonly layer: 'http' | 'tcp';
  readonly isAllow: boolean;
}

/** What a `when` key asks: of the connection and the request, or of who sends it. */
interface Conditions {
  readonly permissions: readonly RbacClause[];
  readonly principals: readonly RbacClause[];
}

/** null: the rule is not written, since no Envoy can decide it on this chain. */
export function translateRule(rule: PolicyRule, context: RuleContext): EnvoyMessage | null {
  const conditions = conditionClauses(rule.when, context);
  if (conditions === null) return null;
  const operations = rule.to.length === 0 ? [null] : rule.to;
  const sources = rule.from.length === 0 ? [null] : rule.from;
  const permissions = operations.map((operation) =>
    conjunction(
      PERMISSIONS,
      [...operationClauses(operation, context), ...conditions.permissions],
      context.isAllow,
    ),
  );
  const principals = sources.map((source) =>
    conjunction(PRINCIPALS, [...sourceClauses(source, context), ...conditions.principals], context.isAllow),
  );
  if (permissions.includes(null) || principals.includes(null)) return null;
  return { permissions, principals };
}

function operationClauses(operation: PolicyOperation | null, context: RuleContext): RbacClause[] {
  if (operation === null) return [];
  return [
    clause(operation.hosts, operation.notHosts, httpOnly(rbac.hosts, context)),
    clause(operation.methods, operation.notMethods, httpOnly(rbac.methods, context)),
    clause(operation.paths, operation.notPaths, httpOnly(rbac.paths, context)),
    clause(operation.ports, operation.notPorts, rbac.ports),
  ];
}

function sourceClauses(source: PolicySource | null, context: RuleContext): RbacClause[] {
  if (source === null) return [];
  return [
    principalClause(source.principals, source.notPrincipals, context),
    clause(source.requestPrincipals, source.notRequestPrincipals, httpOnly(rbac.requestPrincipals, context)),
    clause(source.serviceAccounts, source.notServiceAccounts, rbac.serviceAccounts(context.namespace)),
    trustDomainClause(source.trustDomains, source.notTrustDomains, context),
    clause(source.namespaces, source.notNamespaces, rbac.namespaces),
    clause(source.remoteIpBlocks, source.notRemoteIpBlocks, rbac.remoteIps),
    clause(source.ipBlocks, source.notIpBlocks, rbac.directIps),
  ];
}

/** null: a key that Istio does not know, for which it skips the rule. */
function conditionClauses(when: readonly PolicyCondition[], context: RuleContext): Conditions | null {
  const permissions: RbacClause[] = [];
  const principals: RbacClause[] = [];
  for (const { key, notValues, values } of when) {
    const permission = permissionOf(key);
    const principal = principalOf(key, context);
    if (permission !== null) permissions.push(clause(values, notValues, permission));
    else if (key === 'source.principal') principals.push(principalClause(values, notValues, context));
    else if (key === 'source.trustDomain') principals.push(trustDomainClause(values, notValues, context));
    else if (principal !== null) principals.push(clause(values, notValues, principal));
    else return null;
  }
  return { permissions, principals };
}

function permissionOf(key: string): rbac.EachValue | null {
  if (key === 'destination.ip') return rbac.destinationIps;
  if (key === 'destination.port') return rbac.ports;
  if (key === 'connection.sni') return rbac.serverNames;
  if (!key.startsWith('experimental.envoy.filters.')) return null;
  const place = metadataKeyIn(key);
  return place === null ? unwritable : rbac.metadata(place.filter, place.key);
}

function principalOf(key: string, context: RuleContext): rbac.EachValue | null {
  switch (key) {
    case 'source.ip':
      return rbac.directIps;
    case 'remote.ip':
      return rbac.remoteIps;
    case 'source.namespace':
      return rbac.namespaces;
    case 'source.serviceAccount':
      return rbac.serviceAccounts(context.namespace);
    case 'request.auth.principal':
      return httpOnly(rbac.requestPrincipals, context);
    case 'request.auth.audiences':
      return httpOnly(rbac.claims(['aud']), context);
    case 'request.auth.presenter':
      return httpOnly(rbac.claims(['azp']), context);
    default:
      return bracketedOf(key, context);
  }
}

function bracketedOf(key: string, context: RuleContext): rbac.EachValue | null {
  if (key.startsWith('request.headers')) {
    const name = headerNameIn(key);
    return name === null ? unwritable : httpOnly(rbac.headers(name), context);
  }
  if (!key.startsWith('request.auth.claims')) return null;
  const path = claimPathIn(key);
  return path === null ? unwritable : httpOnly(rbac.claims(path), context);
}

function clause(values: readonly string[], notValues: readonly string[], each: rbac.EachValue): RbacClause {
  return { values, notValues, each };
}

function principalClause(
  values: readonly string[],
  notValues: readonly string[],
  { trustDomains }: RuleContext,
): RbacClause {
  return clause(
    migratePrincipals(values, trustDomains),
    migratePrincipals(notValues, trustDomains),
    rbac.principals,
  );
}

function trustDomainClause(
  values: readonly string[],
  notValues: readonly string[],
  { trustDomains }: RuleContext,
): RbacClause {
  return clause(
    expandTrustDomains(values, trustDomains),
    expandTrustDomains(notValues, trustDomains),
    rbac.trustDomains,
  );
}

function httpOnly(each: rbac.EachValue, { layer }: RuleContext): rbac.EachValue {
  return layer === 'http' ? each : unwritable;
}

function unwritable(values: readonly string[]): null[] {
  return values.map(() => null);
}
