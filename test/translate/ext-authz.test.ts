/** Providers of MeshConfig as ext_authz filters. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { configOf, policy, port, provider, rule, translatePort } from './plan-fixture.ts';

const ONE = rule({ to: [{ ports: ['8080'] }] });

describe('the ext_authz filter', () => {
  it('carries every setting of an HTTP provider', () => {
    const { httpFilters } = translatePort({
      authorization: {
        policies: [policy({ action: 'CUSTOM', provider: 'ext', rules: [ONE] })],
        providers: {
          ext: provider({
            kind: 'http',
            timeoutMs: 250,
            failOpen: true,
            statusOnError: 503,
            body: { maxRequestBytes: 10, allowPartialMessage: true, packAsBytes: false },
            pathPrefix: '/check',
            includeRequestHeadersInCheck: ['x-a', 'x-b*'],
            includeAdditionalHeadersInCheck: ['x-z', '1', 'x-y', '2'],
            headersToUpstreamOnAllow: ['*-c'],
            headersToDownstreamOnDeny: ['x-d'],
            headersToDownstreamOnAllow: ['x-e'],
          }),
        },
      },
    });
    const {
      '@type': type,
      filterEnabledMetadata,
      ...rest
    } = configOf(httpFilters, 'envoy.filters.http.ext_authz');
    assert.ok(type !== undefined && filterEnabledMetadata !== undefined);
    assert.deepEqual(rest, {
      transportApiVersion: 'V3',
      failureModeAllow: true,
      failureModeAllowHeaderAdd: true,
      statusOnError: { code: 503 },
      withRequestBody: { maxRequestBytes: 10, allowPartialMessage: true, packAsBytes: false },
      httpService: {
        serverUri: {
          uri: 'http://ext.foo.svc.cluster.local',
          cluster: 'outbound|9000||ext.foo.svc.cluster.local',
          timeout: '0.250s',
        },
        pathPrefix: '/check',
        authorizationRequest: {
          allowedHeaders: { patterns: [pattern({ exact: 'x-a' }), pattern({ prefix: 'x-b' })] },
          headersToAdd: [
            { key: 'x-y', value: '2' },
            { key: 'x-z', value: '1' },
          ],
        },
        authorizationResponse: {
          allowedUpstreamHeaders: { patterns: [pattern({ suffix: '-c' })] },
          allowedClientHeaders: { patterns: [pattern({ exact: 'x-d' })] },
          allowedClientHeadersOnSuccess: { patterns: [pattern({ exact: 'x-e' })] },
        },
      },
    });
  });

  it('names the cluster of a gRPC provider, and the host name that it is asked under', () => {
    const parts = {
      authorization: {
        policies: [policy({ action: 'CUSTOM', provider: 'ext', rules: [ONE] })],
        providers: { ext: provider({}) },
      },
    };
    const grpcService = {
      envoyGrpc: {
        clusterName: 'outbound|9000||ext.foo.svc.cluster.local',
        authority: 'ext.foo.svc.cluster.local',
      },
      timeout: '600s',
    };
    const { httpFilters, networkFilters } = translatePort({ ...parts, ports: [port('auto')] });
    assert.deepEqual(configOf(httpFilters, 'envoy.filters.http.ext_authz')['grpcService'], grpcService);
    assert.deepEqual(configOf(networkFilters, 'envoy.filters.network.ext_authz')['grpcService'], grpcService);
  });
});

function pattern(match: object): object {
  return { ...match, ignoreCase: true };
}
