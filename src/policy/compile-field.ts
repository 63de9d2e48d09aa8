/**
 * From a field's values as written to what is evaluated (Istio's authz/model/generator.go).
 */
import type { PolicyAction } from '../core/authorization-plan.ts';
import { AddressField } from './fields/address-field.ts';
import { ClaimField } from './fields/claim-field.ts';
import { textKeys } from './fields/field.ts';
import type { BlockSubject, Field } from './fields/field.ts';
import { FilterMetadataField } from './fields/filter-metadata-field.ts';
import { HeaderField } from './fields/header-field.ts';
import { HostField } from './fields/host-field.ts';
import { IdentityField } from './fields/identity-field.ts';
import { MethodField } from './fields/method-field.ts';
import { PathField } from './fields/path-field.ts';
import { PortField, parsePort } from './fields/port-field.ts';
import { RequestPrincipalField } from './fields/request-principal-field.ts';
import { SniField } from './fields/sni-field.ts';
import { parseIpBlock } from './matchers/ip-block.ts';
import { NamespaceMatcher } from './matchers/namespace-matcher.ts';
import { pathMatcher } from './matchers/path-matcher.ts';
import { principalMatcher } from './matchers/principal-matcher.ts';
import { requestPrincipalMatcher } from './matchers/request-principal-matcher.ts';
import { ServiceAccountMatcher } from './matchers/service-account-matcher.ts';
import { headerMatcher, stringMatcher } from './matchers/string-matcher.ts';
import { trustDomainMatcher } from './matchers/trust-domain-matcher.ts';
import { lowerAscii, wireText } from './matchers/wire-text.ts';
import { expandPrincipals, expandTrustDomains } from './trust-domain-aliases.ts';

/** What the meaning of a field depends on besides its values. */
export interface FieldContext {
  readonly action: PolicyAction;
  /** The policy's own. */
  readonly namespace: string;
  /** The mesh's own first. */
  readonly trustDomains: readonly string[];
  readonly forTcp: boolean;
}

export type FieldKind =
  | 'principals'
  | 'namespaces'
  | 'serviceAccounts'
  | 'trustDomains'
  | 'requestPrincipals'
  | 'ipBlocks'
  | 'remoteIpBlocks'
  | 'hosts'
  | 'ports'
  | 'methods'
  | 'paths'
  | 'destinationIp'
  | 'sni'
  | 'header'
  | 'claim'
  | 'filterMetadata';

/** Fields of requests, which connections do not have. */
export const HTTP_ONLY: ReadonlySet<FieldKind> = new Set([
  'requestPrincipals',
  'hosts',
  'methods',
  'paths',
  'header',
  'claim',
]);

/** A field of a rule as written. */
export interface StatedField {
  readonly kind: FieldKind;
  /** Of a header or a claim, else empty. */
  readonly path: readonly string[];
  readonly values: readonly string[];
  readonly negated: boolean;
}

/** `field` null: nothing to evaluate. `isWhole`: no value was left out. */
export interface CompiledField {
  readonly field: Field | null;
  readonly isWhole: boolean;
}

const UNUSABLE: CompiledField = { field: null, isWhole: false };

export function compileField(stated: StatedField, context: FieldContext): CompiledField {
  if (context.forTcp && HTTP_ONLY.has(stated.kind)) return UNUSABLE;
  const { values } = stated;
  switch (stated.kind) {
    case 'principals':
      return whole(principals(expandPrincipals(values, context.trustDomains)));
    case 'namespaces':
      return whole(namespaces(values));
    case 'serviceAccounts':
      return whole(serviceAccounts(values, context.namespace));
    case 'trustDomains':
      return whole(trustDomains(expandTrustDomains(values, context.trustDomains)));
    case 'requestPrincipals':
      return whole(new RequestPrincipalField(values.map(requestPrincipalMatcher)));
    case 'ipBlocks':
      return addresses('peer', values);
    case 'remoteIpBlocks':
      return addresses('client', values);
    case 'destinationIp':
      return addresses('destination', values);
    case 'hosts':
      return whole(hosts(values, stated.negated, context.action));
    case 'ports':
      return usable(values.map(parsePort), (ports) => new PortField(ports));
    case 'methods':
      return whole(new MethodField(values.map((value) => headerMatcher(wireText(value)))));
    case 'paths':
      return usable(values.map(pathMatcher), (matchers) => new PathField(matchers));
    case 'sni':
      return whole(new SniField(values.map(stringMatcher)));
    case 'header':
      return whole(header(stated, context.action));
    case 'claim':
      return whole(new ClaimField(stated.path, values.map(stringMatcher)));
    case 'filterMetadata':
      return whole(new FilterMetadataField());
    default:
      return stated.kind satisfies never;
  }
}

function principals(values: readonly string[]): Field {
  const matchers = values.map(principalMatcher);
  return new IdentityField(
    matchers,
    textKeys(
      'identity',
      matchers.map((matcher) => matcher.key),
    ),
  );
}

function namespaces(values: readonly string[]): Field {
  const matchers = values.map((value) => new NamespaceMatcher(value));
  return new IdentityField(
    matchers,
    textKeys(
      'namespace',
      matchers.map((matcher) => ({ kind: 'prefix', text: matcher.tailPrefix })),
    ),
  );
}

function serviceAccounts(values: readonly string[], policyNamespace: string): Field {
  const matchers = values.map((value) => new ServiceAccountMatcher(value, policyNamespace));
  return new IdentityField(
    matchers,
    textKeys(
      'account',
      matchers.map((matcher) => ({ kind: 'exact', text: matcher.account })),
    ),
  );
}

function trustDomains(values: readonly string[]): Field {
  const matchers = values.map(trustDomainMatcher);
  return new IdentityField(
    matchers,
    textKeys(
      'identity',
      matchers.map((matcher) => matcher.key),
    ),
  );
}

/** Only where a match refuses or reports may it match more than Envoy's does; a `not` there may not. */
function hosts(values: readonly string[], negated: boolean, action: PolicyAction): Field {
  const matchers = values.map((value) => headerMatcher(lowerAscii(wireText(value))));
  return new HostField(matchers, action !== 'ALLOW' && !negated);
}

function header(stated: StatedField, action: PolicyAction): Field {
  const isStrict = (action === 'DENY' || action === 'CUSTOM') && !stated.negated;
  const matchers = stated.values.map((value) => headerMatcher(wireText(value)));
  return new HeaderField(stated.path[0] ?? '', matchers, isStrict ? 'strict' : 'envoy');
}

function addresses(subject: BlockSubject, values: readonly string[]): CompiledField {
  return usable(values.map(parseIpBlock), (blocks) => new AddressField(subject, blocks));
}

function whole(field: Field): CompiledField {
  return { field, isWhole: true };
}

function usable<Value>(parsed: readonly (Value | null)[], make: (values: Value[]) => Field): CompiledField {
  const values = parsed.filter((value) => value !== null);
  return { field: values.length === 0 ? null : make(values), isWhole: values.length === parsed.length };
}
