import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ControlCounters } from '../../src/observe/control-counters.ts';
import { Counters, sumCounters } from '../../src/observe/counters.ts';
import { endedCounters } from '../../src/observe/ended-counters.ts';
import { answerStats, renderPrometheus } from '../../src/observe/render-stats.ts';
import type { StatsInput } from '../../src/observe/collect-stats.ts';

function filled(): Counters {
  const counters = new Counters();
  const http = counters.httpScope('inbound_0.0.0.0_8080');
  let next = 1;
  for (const struct of [http.rbac, http.jwt, http.extAuthz, counters.tcpRbac, counters.tcpExtAuthz])
    for (const field of Object.keys(struct)) Object.assign(struct, { [field]: next++ });
  counters.httpScope('outbound_0.0.0.0_80').rqTotal = 1;
  Object.assign(counters.cluster('outbound|9000||opa.foo.svc.cluster.local').extAuthz, { ok: 1, denied: 2 });
  counters.cluster('inbound|8080||').cxTotal = 1;
  return counters;
}

function input(counters: Counters): StatsInput {
  return { counters: sumCounters([counters]), control: new ControlCounters(), ready: true, nowMs: 0 };
}

const H = 'http.inbound_0.0.0.0_8080';

describe('counters of policies', () => {
  it('have the names of Envoy in /stats', async () => {
    const { body } = await answerStats(
      input(filled()),
      new URLSearchParams('filter=rbac|jwt_authn|ext_authz'),
    );
    assert.deepEqual(
      body.trimEnd().split('\n').toSorted(),
      [
        `${H}.rbac.allowed: 1`,
        `${H}.rbac.denied: 2`,
        `${H}.rbac.shadow_allowed: 3`,
        `${H}.rbac.shadow_denied: 4`,
        `${H}.rbac.istio_dry_run_allow_.shadow_allowed: 5`,
        `${H}.rbac.istio_dry_run_allow_.shadow_denied: 6`,
        `${H}.rbac.istio_dry_run_deny_.shadow_allowed: 7`,
        `${H}.rbac.istio_dry_run_deny_.shadow_denied: 8`,
        `${H}.rbac.istio_ext_authz_.shadow_allowed: 9`,
        `${H}.rbac.istio_ext_authz_.shadow_denied: 10`,
        `${H}.rbac.dry_run_would_allow: 11`,
        `${H}.rbac.dry_run_would_deny: 12`,
        `${H}.jwt_authn.allowed: 13`,
        `${H}.jwt_authn.denied: 14`,
        `${H}.jwt_authn.cors_preflight_bypassed: 15`,
        `${H}.jwt_authn.jwks_fetch_success: 16`,
        `${H}.jwt_authn.jwks_fetch_failed: 17`,
        `${H}.jwt_authn.jwt_cache_hit: 18`,
        `${H}.jwt_authn.jwt_cache_miss: 19`,
        `${H}.ext_authz.ok: 20`,
        `${H}.ext_authz.denied: 21`,
        `${H}.ext_authz.error: 22`,
        `${H}.ext_authz.disabled: 23`,
        `${H}.ext_authz.failure_mode_allowed: 24`,
        `${H}.ext_authz.invalid: 25`,
        'tcp.rbac.allowed: 26',
        'tcp.rbac.denied: 27',
        'tcp.rbac.shadow_allowed: 28',
        'tcp.rbac.shadow_denied: 29',
        'tcp.rbac.istio_dry_run_allow_.shadow_allowed: 30',
        'tcp.rbac.istio_dry_run_allow_.shadow_denied: 31',
        'tcp.rbac.istio_dry_run_deny_.shadow_allowed: 32',
        'tcp.rbac.istio_dry_run_deny_.shadow_denied: 33',
        'tcp.rbac.istio_ext_authz_.shadow_allowed: 34',
        'tcp.rbac.istio_ext_authz_.shadow_denied: 35',
        'tcp.rbac.dry_run_would_allow: 36',
        'tcp.rbac.dry_run_would_deny: 37',
        'ext_authz.tcp.total: 38',
        'ext_authz.tcp.ok: 39',
        'ext_authz.tcp.denied: 40',
        'ext_authz.tcp.error: 41',
        'ext_authz.tcp.failure_mode_allowed: 42',
        'ext_authz.tcp.cx_closed: 43',
        'ext_authz.tcp.disabled: 44',
        'ext_authz.tcp.active: 45',
        'cluster.outbound|9000||opa.foo.svc.cluster.local.ext_authz.ok: 1',
        'cluster.outbound|9000||opa.foo.svc.cluster.local.ext_authz.denied: 2',
        'cluster.outbound|9000||opa.foo.svc.cluster.local.ext_authz.error: 0',
      ].toSorted(),
    );
  });

  it('have the names and labels that Istio documents in Prometheus', async () => {
    const lines = (await renderPrometheus(input(filled()))).split('\n');
    const scope = 'envoy_http_conn_manager_prefix="inbound_0.0.0.0_8080"';
    const rbac = 'envoy_http_inbound_0_0_0_0_8080_rbac';
    for (const line of [
      `${rbac}{${scope},authz_enforce_result="allowed"} 1`,
      `${rbac}{${scope},authz_enforce_result="denied"} 2`,
      `${rbac}{${scope},authz_dry_run_result="denied"} 4`,
      `${rbac}{${scope},authz_dry_run_action="allow",authz_dry_run_result="denied"} 6`,
      `${rbac}{${scope},authz_dry_run_action="deny",authz_dry_run_result="denied"} 8`,
      `${rbac}_istio_ext_authz_{${scope},authz_dry_run_result="denied"} 10`,
      `postern_dry_run_verdicts_total{${scope},verdict="deny"} 12`,
      `postern_dry_run_verdicts_total{envoy_tcp_prefix="tcp",verdict="deny"} 37`,
      `envoy_http_jwt_authn_denied{${scope}} 14`,
      `envoy_http_ext_authz_failure_mode_allowed{${scope}} 24`,
      'envoy_tcp_rbac{authz_enforce_result="denied"} 27',
      'envoy_ext_authz_cx_closed{envoy_ext_authz_prefix="tcp"} 43',
      'envoy_cluster_ext_authz_denied{envoy_cluster_name="outbound|9000||opa.foo.svc.cluster.local"} 2',
    ])
      assert.ok(lines.includes(line), line);
    assert.equal(lines.filter((line) => line.startsWith(`# HELP ${rbac} `)).length, 1);
  });

  it('leave no waiting connection behind when a worker ends', () => {
    const ended = endedCounters(filled());
    assert.equal(ended.tcpExtAuthz.active, 0);
    assert.equal(ended.tcpExtAuthz.total, 38);
    assert.equal(ended.http['inbound_0.0.0.0_8080']?.rbac.denied, 2);
  });
});
