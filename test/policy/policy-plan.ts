/**
 * Policies, connections and requests for the tests of `policy`: only what a case is about has to be said.
 */
import { ANY_OPERATION, ANY_SOURCE } from '../../src/core/authorization-plan.ts';
import type {
  AuthorizationPlan,
  PlannedPolicy,
  PolicyCondition,
  PolicyOperation,
  PolicyRule,
  PolicySource,
} from '../../src/core/authorization-plan.ts';
import type { VerifiedToken } from '../../src/core/jwt-plan.ts';
import { compilePolicies } from '../../src/policy/compile-policies.ts';
import type { ActionRules } from '../../src/policy/decision.ts';
import { decideAccess } from '../../src/policy/decide-access.ts';
import { PolicyConnection } from '../../src/policy/policy-connection.ts';
import type { PolicyConnectionFacts, PolicyRequest } from '../../src/policy/policy-request.ts';

export const SLEEP = 'spiffe://cluster.local/ns/foo/sa/sleep';

export interface RuleText {
  readonly from?: readonly Partial<PolicySource>[];
  readonly to?: readonly Partial<PolicyOperation>[];
  readonly when?: readonly (Partial<PolicyCondition> & { readonly key: string })[];
}

export function ruleOf(rule: RuleText): PolicyRule {
  return {
    from: (rule.from ?? []).map((source) => Object.assign({}, ANY_SOURCE, source)),
    to: (rule.to ?? []).map((operation) => Object.assign({}, ANY_OPERATION, operation)),
    when: (rule.when ?? []).map(({ key, notValues = [], values = [] }) => ({ key, values, notValues })),
  };
}

/** An ALLOW policy `foo/policy` unless said otherwise. */
export function policyOf(
  rules: readonly RuleText[],
  rest: Partial<Omit<PlannedPolicy, 'rules'>> = {},
): PlannedPolicy {
  return {
    namespace: 'foo',
    name: 'policy',
    scope: 'namespace',
    action: 'ALLOW',
    provider: '',
    providerProblem: '',
    dryRun: false,
    ...rest,
    rules: rules.map(ruleOf),
  };
}

export function planOf(...policies: readonly PlannedPolicy[]): AuthorizationPlan {
  return { policies, providers: {} };
}

/** mTLS of foo/sleep to port 8000 unless said otherwise. */
export function connectionOf(facts: Partial<PolicyConnectionFacts> = {}): PolicyConnection {
  return new PolicyConnection({
    identities: [SLEEP],
    remoteIp: '10.0.0.9',
    destinationIp: '10.0.0.2',
    destinationPort: 8000,
    sni: '',
    ...facts,
  });
}

export function requestOf(request: Partial<PolicyRequest> = {}): PolicyRequest {
  return {
    method: 'GET',
    path: '/',
    authority: 'httpbin.foo',
    fields: [],
    framing: { bodyLength: 0, statesEmptyBody: false, acceptsTrailers: false, expectContinue: false },
    scheme: 'https',
    token: null,
    ...request,
  };
}

/** A token that was verified, with these claims. */
export function tokenOf(claims: Readonly<Record<string, unknown>>): VerifiedToken {
  const { iss, sub } = claims;
  return {
    issuer: typeof iss === 'string' ? iss : '',
    subject: typeof sub === 'string' ? sub : '',
    payload: claims,
  };
}

export function httpRules(...policies: readonly PlannedPolicy[]): ActionRules {
  return compilePolicies(planOf(...policies), ['cluster.local']).http;
}

/** Whether a rule of a policy of this action matches; by `match`, after making sure that `explain` says the same. */
export function isMatched(
  rule: RuleText,
  connection: PolicyConnection,
  request: PolicyRequest | null,
  options: {
    readonly action?: 'ALLOW' | 'DENY' | 'AUDIT' | 'CUSTOM';
    readonly trustDomains?: readonly string[];
  } = {},
): boolean {
  const action = options.action ?? 'ALLOW';
  const compiled = compilePolicies(
    planOf(policyOf([rule], { action })),
    options.trustDomains ?? ['cluster.local'],
  );
  const rules = request === null ? compiled.tcp : compiled.http;
  const set = { ALLOW: rules.allow, DENY: rules.deny, AUDIT: rules.audit, CUSTOM: rules.custom[0]?.rules }[
    action
  ];
  if (set === null || set === undefined) throw new Error(`there is no set of ${action} rules`);
  const matched = set.match(connection, request) !== null;
  const explained = set.explain(connection, request)[0]?.rules[0]?.matched;
  if (explained !== matched) throw new Error(`match says ${matched}, explain ${explained}`);
  return matched;
}

export { decideAccess };
