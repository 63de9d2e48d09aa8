import { MeshError } from '../core/errors.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import type { ClusterCounters } from '../observe/counters.ts';

export interface DialFailure {
  readonly code: ErrorCodeName;
  readonly detail: string;
}

/** Counts a dial that failed and says why, for whoever asked for the connection. */
export function noteDialFailure(error: Error, counters: ClusterCounters): DialFailure {
  const code = error instanceof MeshError ? error.code : 'upstream_connect_failed';
  if (code === 'upstream_connect_timeout') counters.cxConnectTimeout++;
  counters.cxConnectFail++;
  return { code, detail: error instanceof MeshError ? error.detail : error.message };
}
