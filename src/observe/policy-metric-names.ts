/**
 * Metric names of `policy-counters.ts`; with `metric-names.ts` the only place that spells names.
 *
 * RBAC has the one Prometheus name that Istio's tag extraction makes and its documentation queries,
 * `envoy_http_inbound_0_0_0_0_8080_rbac{authz_enforce_result="denied"}`; besides, it carries the label of the scope.
 * The dot after a shadow prefix is Envoy's.
 */
import type { MetricName } from './metric-names.ts';
import type {
  ClusterExtAuthzCounters,
  ExtAuthzCounters,
  JwtCounters,
  RbacCounters,
  TcpExtAuthzCounters,
} from './policy-counters.ts';

const counter = (stat: string, help: string): MetricName => ({ stat, type: 'counter', help });

const RBAC_HELP =
  'Decisions of AuthorizationPolicies, enforced (authz_enforce_result) and in dry run (authz_dry_run_result)';

/** `metric` is what stands behind `…_rbac`. */
const rbac = (stat: string, labels: Readonly<Record<string, string>>): MetricName => ({
  stat,
  type: 'counter',
  help: RBAC_HELP,
  metric: '',
  labels,
});
const enforced = (result: string): MetricName => rbac(result, { authz_enforce_result: result });
const shadow = (result: string): MetricName => rbac(`shadow_${result}`, { authz_dry_run_result: result });
const dryRun = (action: string, result: string): MetricName =>
  rbac(`istio_dry_run_${action}_.shadow_${result}`, {
    authz_dry_run_action: action,
    authz_dry_run_result: result,
  });
const extAuthzShadow = (result: string): MetricName => ({
  stat: `istio_ext_authz_.shadow_${result}`,
  type: 'counter',
  help: 'Requests by whether a CUSTOM policy in dry run would have put them to its provider (denied) or not',
  metric: '_istio_ext_authz_',
  labels: { authz_dry_run_result: result },
});

type Enforced = Exclude<keyof RbacCounters, 'dryRunWouldAllow' | 'dryRunWouldDeny'>;

/** `http.<prefix>.rbac.<stat>` and `tcp.rbac.<stat>`. */
export const RBAC_METRICS: Readonly<Record<Enforced, MetricName>> = {
  allowed: enforced('allowed'),
  denied: enforced('denied'),
  shadowAllowed: shadow('allowed'),
  shadowDenied: shadow('denied'),
  dryRunAllowShadowAllowed: dryRun('allow', 'allowed'),
  dryRunAllowShadowDenied: dryRun('allow', 'denied'),
  dryRunDenyShadowAllowed: dryRun('deny', 'allowed'),
  dryRunDenyShadowDenied: dryRun('deny', 'denied'),
  extAuthzShadowAllowed: extAuthzShadow('allowed'),
  extAuthzShadowDenied: extAuthzShadow('denied'),
};

const dryRunVerdict = (verdict: string): MetricName => ({
  ...counter(`dry_run_would_${verdict}`, 'What all dry-run policies together would have decided'),
  metric: 'dry_run_verdicts_total',
  labels: { verdict },
});

/** Behind the same stats; `postern_…` in Prometheus, for Envoy has no such counter. */
export const DRY_RUN_METRICS: Readonly<Record<Exclude<keyof RbacCounters, Enforced>, MetricName>> = {
  dryRunWouldAllow: dryRunVerdict('allow'),
  dryRunWouldDeny: dryRunVerdict('deny'),
};

/** `http.<prefix>.jwt_authn.<stat>`. */
export const JWT_METRICS: Readonly<Record<keyof JwtCounters, MetricName>> = {
  allowed: counter('jwt_authn.allowed', 'Requests whose token, or whose lack of one, was accepted'),
  denied: counter('jwt_authn.denied', 'Requests refused for their token'),
  corsPreflightBypassed: counter(
    'jwt_authn.cors_preflight_bypassed',
    'CORS preflight requests whose token was not looked at',
  ),
  jwksFetchSuccess: counter('jwt_authn.jwks_fetch_success', 'Key sets fetched'),
  jwksFetchFailed: counter('jwt_authn.jwks_fetch_failed', 'Key sets that could not be fetched'),
  cacheHit: counter('jwt_authn.jwt_cache_hit', 'Tokens that had been verified before'),
  cacheMiss: counter('jwt_authn.jwt_cache_miss', 'Tokens that had to be verified'),
};

/** `http.<prefix>.ext_authz.<stat>`. */
export const EXT_AUTHZ_METRICS: Readonly<Record<keyof ExtAuthzCounters, MetricName>> = {
  ok: counter('ext_authz.ok', 'Requests that a provider allowed'),
  denied: counter('ext_authz.denied', 'Requests that a provider denied'),
  error: counter('ext_authz.error', 'Checks that a provider did not answer, or answered with an error'),
  disabled: counter('ext_authz.disabled', 'Requests that were not put to a provider'),
  failureModeAllowed: counter(
    'ext_authz.failure_mode_allowed',
    'Requests let through because failOpen is set and the check failed',
  ),
  invalid: counter('ext_authz.invalid', 'Answers of a provider that ask for what cannot be written'),
};

/** `ext_authz.tcp.<stat>`, label `envoy_ext_authz_prefix`. */
export const TCP_EXT_AUTHZ_METRICS: Readonly<Record<keyof TcpExtAuthzCounters, MetricName>> = {
  total: counter('total', 'TCP connections put to a provider'),
  ok: counter('ok', 'TCP connections that a provider allowed'),
  denied: counter('denied', 'TCP connections that a provider denied'),
  error: counter('error', 'TCP checks that a provider did not answer, or answered with an error'),
  failureModeAllowed: counter(
    'failure_mode_allowed',
    'TCP connections let through because failOpen is set and the check failed',
  ),
  cxClosed: counter('cx_closed', 'TCP connections closed by what a provider said, or for want of it'),
  disabled: counter('disabled', 'TCP connections that were not put to a provider'),
  active: { stat: 'active', type: 'gauge', help: 'TCP connections that wait for a provider' },
};

/** `cluster.<name>.ext_authz.<stat>`. */
export const CLUSTER_EXT_AUTHZ_METRICS: Readonly<Record<keyof ClusterExtAuthzCounters, MetricName>> = {
  ok: counter('ext_authz.ok', 'Checks that this provider allowed'),
  denied: counter('ext_authz.denied', 'Checks that this provider denied'),
  error: counter('ext_authz.error', 'Checks that this provider did not answer, or answered with an error'),
};
