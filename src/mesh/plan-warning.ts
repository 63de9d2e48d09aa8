/**
 * What is odd about documents that are valid one by one, seen from one workload: shaped as config's `Problem`,
 * so that `validate` prints both alike.
 */
import type { Position, ResourceOrigin } from '../config/resources.ts';
import type { WorkloadIdentity } from './plan.ts';

/** Every code a plan warning can have; stable. */
export const PLAN_WARNING_CODES = {
  selects_nothing: 'the document, or a part of it, applies to nothing here',
  selector_ignored: 'a PeerAuthentication of the root namespace with a selector has no effect, as in Istio',
  shadowed: 'an older document of the same scope wins',
  port_conflict: 'two documents want one port, one address of it or one listener; the first wins',
  unresolved_target_port: 'targetPort is a name, and no document says which port that is',
  http2_not_supported: 'a port is declared HTTP/2, and this version speaks HTTP/1.1 only',
  duplicate_host: 'two services have the same host and port; the first wins',
  no_endpoints: 'a service has no endpoint: what is sent to it fails',
  unusable_address: 'an address that this version cannot dial or compare; it is left out',
  unknown_host: 'a DestinationRule for a host that no service has',
  no_sidecar: 'a DestinationRule wants mTLS with an endpoint that has no sidecar',
  external_name: 'a Service of type ExternalName is dialled by its name, without mTLS',
  gateway_policy: 'a policy with targetRefs is for gateways, waypoints or services; a sidecar ignores it',
  unusable_provider: 'an ext_authz provider cannot be asked: what its policies match is denied',
  http_provider_on_tcp: 'an error: an HTTP ext_authz provider cannot judge connections to a TCP port',
  unknown_trust_domain: 'a principal is of a trust domain that is neither ours nor an alias',
  key_set_too_large: 'an error: an inline key set is over limits.maxJwksBytes or limits.maxJwksKeys',
  unusable_listener: 'a listener of a Sidecar cannot be opened as it is written',
  too_many: 'there are more warnings than are listed',
} as const;

export type PlanWarningCode = keyof typeof PLAN_WARNING_CODES;

export interface PlanWarning extends Position {
  readonly path: string;
  /** Errors forbid the load: with them the workload would be less guarded than its documents say. */
  readonly severity: 'warning' | 'error';
  readonly code: PlanWarningCode;
  readonly message: string;
  readonly fix: string;
}

/** Makes a warning, or an error, about `path` of a document. */
export function planWarning(
  code: PlanWarningCode,
  resource: ResourceOrigin,
  path: string,
  message: string,
  fix: string,
  severity: PlanWarning['severity'] = 'warning',
): PlanWarning {
  const { file, line, column } = resource.positionOf(path);
  return { file, line, column, path, severity, code, message, fix };
}

/** For `planWarning` and `WarningList.add`: a document that would apply if it had said the workload's namespace. */
export function inOtherNamespace<Resource extends ResourceOrigin>(
  resource: Resource,
  workload: WorkloadIdentity,
): [code: PlanWarningCode, resource: Resource, path: string, message: string, fix: string] {
  return [
    'selects_nothing',
    resource,
    'metadata',
    `${nameOf(resource)} does not apply to workload ${workload.namespace}/${workload.name}: it has no ` +
      `metadata.namespace and is therefore in "${resource.namespace}"`,
    `add namespace: ${workload.namespace} under metadata`,
  ];
}

/** `PeerAuthentication foo/default`. */
export function nameOf(resource: ResourceOrigin): string {
  return `${resource.kind} ${resource.namespace}/${resource.name}`;
}
