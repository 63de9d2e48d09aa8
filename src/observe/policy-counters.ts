/**
 * What AuthorizationPolicy, RequestAuthentication and ext_authz decided, counted where it is decided: plain numbers
 * within the counters of an HTTP chain, of TCP as a whole, and of a provider's cluster.
 */

/** Envoy's `….rbac.*`. An allow by an ALLOW rule and a pass of the DENY rules count one `allowed` each. */
export class RbacCounters {
  allowed = 0;
  denied = 0;
  /** Shadow rules of no prefix: AUDIT in dry run. */
  shadowAllowed = 0;
  shadowDenied = 0;
  dryRunAllowShadowAllowed = 0;
  dryRunAllowShadowDenied = 0;
  dryRunDenyShadowAllowed = 0;
  dryRunDenyShadowDenied = 0;
  /** CUSTOM: what would not have been, and would have been, put to a provider. */
  extAuthzShadowAllowed = 0;
  extAuthzShadowDenied = 0;
  /** Ours: ALLOW and DENY dry-run policies combined. */
  dryRunWouldAllow = 0;
  dryRunWouldDeny = 0;
}

/** Envoy's `….jwt_authn.*`. `allowed` counts requests without a token too. */
export class JwtCounters {
  allowed = 0;
  denied = 0;
  corsPreflightBypassed = 0;
  jwksFetchSuccess = 0;
  jwksFetchFailed = 0;
  cacheHit = 0;
  cacheMiss = 0;
}

/** Envoy's `….ext_authz.*` of an HTTP chain. */
export class ExtAuthzCounters {
  ok = 0;
  denied = 0;
  error = 0;
  disabled = 0;
  failureModeAllowed = 0;
  /** What the provider wants changed cannot be written. */
  invalid = 0;
}

/** Envoy's `ext_authz.tcp.*`. */
export class TcpExtAuthzCounters {
  total = 0;
  ok = 0;
  denied = 0;
  error = 0;
  failureModeAllowed = 0;
  /** Connections that were closed by what the provider said, or for want of it. */
  cxClosed = 0;
  disabled = 0;
  active = 0;
}

/** Envoy's `cluster.<name>.ext_authz.*`, by the cluster of the provider. */
export class ClusterExtAuthzCounters {
  ok = 0;
  denied = 0;
  error = 0;
}
