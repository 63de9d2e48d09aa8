/** A gRPC provider of MeshConfig.extensionProviders that states nothing: Istio’s defaults, written out once beside the program’s. */
import type { ExtAuthzProvider } from '../../src/core/authorization-plan.ts';

export const EXT_AUTHZ_DEFAULTS: Omit<ExtAuthzProvider, 'name' | 'cluster' | 'host' | 'port'> = {
  kind: 'grpc',
  timeoutMs: 600_000,
  failOpen: false,
  statusOnError: 403,
  body: null,
  pathPrefix: '',
  includeRequestHeadersInCheck: [],
  includeAdditionalHeadersInCheck: [],
  headersToUpstreamOnAllow: [],
  headersToDownstreamOnDeny: [],
  headersToDownstreamOnAllow: [],
};
