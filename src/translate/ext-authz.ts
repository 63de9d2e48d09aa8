/** A provider of MeshConfig.extensionProviders as Envoy's ext_authz filter, HTTP and network (Istio's authz builder). */
import type { ExtAuthzProvider } from '../core/authorization-plan.ts';
import { duration, type EnvoyMessage, extension } from './envoy-message.ts';

/** `enabledBy`: what RBAC must have written before it, or the provider is not asked. */
export function extAuthzHttpFilter(provider: ExtAuthzProvider, enabledBy: EnvoyMessage): EnvoyMessage {
  return extension('envoy.filters.http.ext_authz', 'envoy.extensions.filters.http.ext_authz.v3.ExtAuthz', {
    transportApiVersion: 'V3',
    failureModeAllow: provider.failOpen,
    // As this sidecar tells the app; Istio leaves it out.
    failureModeAllowHeaderAdd: true,
    statusOnError: { code: provider.statusOnError },
    ...(provider.body === null ? {} : { withRequestBody: { ...provider.body } }),
    ...(provider.kind === 'http'
      ? { httpService: httpService(provider) }
      : { grpcService: grpcService(provider) }),
    filterEnabledMetadata: enabledBy,
  });
}

/** gRPC providers only: HTTP cannot be asked about a connection. */
export function extAuthzNetworkFilter(provider: ExtAuthzProvider, enabledBy: EnvoyMessage): EnvoyMessage {
  return extension(
    'envoy.filters.network.ext_authz',
    'envoy.extensions.filters.network.ext_authz.v3.ExtAuthz',
    {
      statPrefix: 'tcp.',
      transportApiVersion: 'V3',
      failureModeAllow: provider.failOpen,
      grpcService: grpcService(provider),
      filterEnabledMetadata: enabledBy,
    },
  );
}

function grpcService({ cluster, host, timeoutMs }: ExtAuthzProvider): EnvoyMessage {
  // Envoy's own choice, the cluster's name, is no authority: servers refuse its `|`.
  return { envoyGrpc: { clusterName: cluster, authority: host }, timeout: duration(timeoutMs) };
}

function httpService(provider: ExtAuthzProvider): EnvoyMessage {
  const { cluster, host, pathPrefix, timeoutMs } = provider;
  const allowedHeaders = headerList('allowedHeaders', provider.includeRequestHeadersInCheck);
  const headersToAdd = addedHeaders(provider.includeAdditionalHeadersInCheck);
  const onAnswer = {
    ...headerList('allowedUpstreamHeaders', provider.headersToUpstreamOnAllow),
    ...headerList('allowedClientHeaders', provider.headersToDownstreamOnDeny),
    ...headerList('allowedClientHeadersOnSuccess', provider.headersToDownstreamOnAllow),
  };
  return {
    serverUri: { uri: `http://${host}`, cluster, timeout: duration(timeoutMs) },
    ...(pathPrefix === '' ? {} : { pathPrefix }),
    ...present('authorizationRequest', { ...allowedHeaders, ...headersToAdd }),
    ...present('authorizationResponse', onAnswer),
  };
}

function headerList(field: string, names: readonly string[]): EnvoyMessage {
  if (names.length === 0) return {};
  const patterns = names.map((name) => ({ ...headerPattern(name), ignoreCase: true }));
  return { [field]: { patterns } };
}

function headerPattern(name: string): EnvoyMessage {
  if (name.startsWith('*')) return { suffix: name.slice(1) };
  return name.endsWith('*') ? { prefix: name.slice(0, -1) } : { exact: name };
}

/** From name, value, name, value …. */
function addedHeaders(pairs: readonly string[]): EnvoyMessage {
  const headersToAdd: { key: string; value: string }[] = [];
  for (let at = 0; at + 1 < pairs.length; at += 2) {
    headersToAdd.push({ key: pairs[at] ?? '', value: pairs[at + 1] ?? '' });
  }
  if (headersToAdd.length === 0) return {};
  return { headersToAdd: headersToAdd.toSorted((a, b) => (a.key < b.key ? -1 : 1)) };
}

function present(field: string, value: EnvoyMessage): EnvoyMessage {
  return Object.keys(value).length === 0 ? {} : { [field]: value };
}
