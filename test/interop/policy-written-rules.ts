/** Words that policy sets are written with by hand. */
import { TRUST_DOMAINS } from './policy-alphabet.ts';
import type { Action, Fields, Policy, PolicySet, Rule } from './policy-set.ts';

const DEFAULTS: PolicySet = {
  name: '',
  trust: TRUST_DOMAINS[0]!,
  normalization: 'DEFAULT',
  mode: 'PERMISSIVE',
  port: 'http',
  policies: [],
  tokenRules: [],
};

export function policy(
  action: Action,
  rules: readonly Rule[] | undefined,
  more: Partial<Policy> = {},
): Policy {
  return {
    namespace: 'foo',
    name: action.toLowerCase(),
    action,
    dryRun: false,
    selector: null,
    rules,
    ...more,
  };
}

export function set(name: string, policies: readonly Policy[], more: Partial<PolicySet> = {}): PolicySet {
  return { ...DEFAULTS, name, policies, ...more };
}

export const from = (source: Fields): Rule => ({ from: [{ source }] });
export const to = (operation: Fields): Rule => ({ to: [{ operation }] });
export const when = (key: string, ...values: readonly string[]): Rule => ({ when: [{ key, values }] });
export const whenNot = (key: string, ...notValues: readonly string[]): Rule => ({
  when: [{ key, notValues }],
});

/** ALLOW and DENY with the same rule: what allows by one denies by the other. */
export function both(name: string, rule: Rule, more: Partial<PolicySet> = {}): PolicySet[] {
  return [
    set(`ALLOW: ${name}`, [policy('ALLOW', [rule])], more),
    set(`DENY: ${name}`, [policy('DENY', [rule])], more),
  ];
}

const TOKENS = [{ issuer: 'https://a.com' }, { issuer: 'b' }, { issuer: 'https://a.com/x' }];
export const withTokens: Partial<PolicySet> = { tokenRules: TOKENS };
