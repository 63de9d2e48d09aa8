/** Which filters AuthorizationPolicies become, in which order, and what ties them together. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { EnvoyMessage } from '../../src/translate/envoy-message.ts';
import { jwtRule } from '../support/test-tokens.ts';
import {
  configOf,
  namesOf,
  policies,
  policy,
  port,
  provider,
  rule,
  translatePort,
  type SnapshotParts,
} from './plan-fixture.ts';

const ONE = rule({ to: [{ ports: ['8080'] }] });

describe('the filters of a chain', () => {
  const audit = policy({ action: 'AUDIT', name: 'audit', rules: [ONE] });
  const deny = policy({ action: 'DENY', name: 'deny', rules: [ONE] });
  const allow = policy({ name: 'allow', rules: [ONE] });
  const custom = policy({ action: 'CUSTOM', provider: 'ext', name: 'custom', rules: [ONE] });
  const everything: SnapshotParts = {
    authorization: { policies: [allow, deny, audit, custom], providers: { ext: provider({}) } },
    jwt: { rules: [jwtRule({ jwks: '{}' })], keySets: [] },
  };

  it('come in Istio’s order: CUSTOM, JWT, AUDIT, DENY, ALLOW', () => {
    const { httpFilters, networkFilters } = translatePort({ ...everything, ports: [port('auto')] });
    assert.deepEqual(namesOf(httpFilters), [
      'http.rbac',
      'http.ext_authz',
      'http.jwt_authn',
      'http.rbac',
      'http.rbac',
      'http.rbac',
      'http.grpc_stats',
      'http.fault',
      'http.cors',
      'http.router',
    ]);
    assert.deepEqual(namesOf(networkFilters), [
      'network.rbac',
      'network.ext_authz',
      'network.rbac',
      'network.rbac',
      'network.rbac',
      'network.tcp_proxy',
    ]);
    for (const actions of [rbacRules(httpFilters, 'http'), rbacRules(networkFilters, 'network')]) {
      assert.deepEqual(actions, [
        ['LOG', ['ns[foo]-policy[audit]-rule[0]']],
        ['DENY', ['ns[foo]-policy[deny]-rule[0]']],
        ['ALLOW', ['ns[foo]-policy[allow]-rule[0]']],
      ]);
    }
  });

  it('are those of its kind of chain alone', () => {
    assert.deepEqual(translatePort({ ports: [port('http')] }).networkFilters, []);
    assert.deepEqual(translatePort({ ports: [port('tcp')] }).httpFilters, []);
  });

  it('deny all where an ALLOW policy has no rules, or none that is left', () => {
    const never = {
      permissions: [{ notRule: { any: true } }],
      principals: [{ notId: { any: true } }],
    };
    const empty = translatePort({ authorization: policies(policy({})) });
    assert.deepEqual(configOf(empty.httpFilters, 'envoy.filters.http.rbac')['rules'], {
      action: 'ALLOW',
      policies: { 'ns[foo]-policy[p]-rule[0]': never },
    });
    const onTcp = translatePort({
      ports: [port('tcp')],
      authorization: policies(policy({ rules: [rule({ to: [{ paths: ['/a'] }] })] })),
    });
    assert.deepEqual(configOf(onTcp.networkFilters, 'envoy.filters.network.rbac')['rules'], {
      action: 'ALLOW',
      policies: {},
    });
  });

  it('carry a dry run as shadow rules, beside no rules if nothing is enforced', () => {
    const parts = { authorization: policies(policy({ dryRun: true, rules: [ONE] })) };
    const rbac = configOf(translatePort(parts).httpFilters, 'envoy.filters.http.rbac');
    assert.equal('rules' in rbac, false);
    assert.deepEqual(Object.keys(rbac['shadowRules']!['policies']), ['ns[foo]-policy[p]-rule[0]']);
    assert.equal(rbac['shadowRulesStatPrefix'], 'istio_dry_run_allow_');
    const both = policies(
      policy({ action: 'DENY', name: 'a', rules: [ONE] }),
      policy({ action: 'DENY', name: 'b', dryRun: true, rules: [ONE] }),
    );
    const denied = configOf(translatePort({ authorization: both }).httpFilters, 'envoy.filters.http.rbac');
    assert.deepEqual(Object.keys(denied['rules']!['policies']), ['ns[foo]-policy[a]-rule[0]']);
    assert.deepEqual(Object.keys(denied['shadowRules']!['policies']), ['ns[foo]-policy[b]-rule[0]']);
    assert.equal(denied['shadowRulesStatPrefix'], 'istio_dry_run_deny_');
  });

  it('ask a provider only where its own shadow rules matched', () => {
    const { httpFilters } = translatePort(everything);
    const shadow = configOf(httpFilters, 'envoy.filters.http.rbac');
    assert.equal('rules' in shadow, false);
    assert.equal(shadow['shadowRulesStatPrefix'], 'istio_ext_authz_');
    const [key = ''] = Object.keys(shadow['shadowRules']!['policies']);
    assert.equal(key, 'istio-ext-authz-ext-ns[foo]-policy[custom]-rule[0]');
    const enabledBy: unknown = configOf(httpFilters, 'envoy.filters.http.ext_authz')['filterEnabledMetadata'];
    assert.deepEqual(enabledBy, {
      filter: 'envoy.filters.http.rbac',
      path: [{ key: 'istio_ext_authz_shadow_effective_policy_id' }],
      value: { stringMatch: { prefix: 'istio-ext-authz-ext-ns[' } },
    });
  });

  it('deny what matches a CUSTOM policy of a provider that cannot be asked', () => {
    const broken = policy({ action: 'CUSTOM', provider: 'x', providerProblem: 'no such', rules: [ONE] });
    const { httpFilters } = translatePort({ authorization: policies(broken) });
    assert.deepEqual(namesOf(httpFilters).slice(0, 2), ['http.rbac', 'http.grpc_stats']);
    const { action, policies: byKey } = configOf(httpFilters, 'envoy.filters.http.rbac')[
      'rules'
    ] as unknown as {
      action: string;
      policies: object;
    };
    assert.equal(action, 'DENY');
    assert.deepEqual(Object.keys(byKey), [
      'istio-ext-authz-x-ns[foo]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action',
    ]);
  });

  it('leave an HTTP provider out over TCP, and ask nobody for a dry run', () => {
    const byHttp = { policies: [custom], providers: { ext: provider({ kind: 'http' }) } };
    assert.deepEqual(namesOf(translatePort({ ports: [port('tcp')], authorization: byHttp }).networkFilters), [
      'network.tcp_proxy',
    ]);
    const dry = { policies: [{ ...custom, dryRun: true }], providers: { ext: provider({}) } };
    const { httpFilters } = translatePort({ authorization: dry });
    assert.deepEqual(namesOf(httpFilters).slice(0, 2), ['http.rbac', 'http.grpc_stats']);
    assert.equal(
      configOf(httpFilters, 'envoy.filters.http.rbac')['shadowRulesStatPrefix'],
      'istio_dry_run_custom_',
    );
  });
});

/** Action and keys of each RBAC filter after that of CUSTOM. */
function rbacRules(filters: readonly EnvoyMessage[], layer: string): unknown[] {
  return filters
    .filter((filter) => filter['name'] === `envoy.filters.${layer}.rbac`)
    .slice(1)
    .map((filter) => {
      const { action, policies: byKey } = (
        filter['typedConfig'] as { rules: { action: string; policies: object } }
      ).rules;
      return [action, Object.keys(byKey)];
    });
}
