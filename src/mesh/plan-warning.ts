/**
 * What is odd about documents that are valid one by one, seen from one workload: shaped as config's `Problem`,
 * so that `validate` prints both alike.
 */
import type { Position, ResourceOrigin } from '../config/resources.ts';

/** Every code a plan warning can have; stable. */
export const PLAN_WARNING_CODES = {
  selects_nothing: 'the document applies to nothing here because metadata.namespace was left out',
  selector_ignored: 'a PeerAuthentication of the root namespace with a selector has no effect, as in Istio',
  shadowed: 'an older document of the same scope wins',
  port_conflict: 'two Service ports lead to one workload port and disagree on its protocol',
  unresolved_target_port: 'targetPort is a name, and no document says which port that is',
  http2_not_supported: 'connections to the port are refused: this version speaks HTTP/1.1 only',
} as const;

export type PlanWarningCode = keyof typeof PLAN_WARNING_CODES;

export interface PlanWarning extends Position {
  readonly path: string;
  readonly severity: 'warning';
  readonly code: PlanWarningCode;
  readonly message: string;
  readonly fix: string;
}

/** Makes a warning about `path` of a document. */
export function planWarning(
  code: PlanWarningCode,
  resource: ResourceOrigin,
  path: string,
  message: string,
  fix: string,
): PlanWarning {
  const { file, line, column } = resource.positionOf(path);
  return { file, line, column, path, severity: 'warning', code, message, fix };
}

/** `PeerAuthentication foo/default`. */
export function nameOf(resource: ResourceOrigin): string {
  return `${resource.kind} ${resource.namespace}/${resource.name}`;
}
