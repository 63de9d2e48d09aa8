/** The HTTP connection manager as Istio sets it for a sidecar. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PathNormalization } from '../../src/mesh/plan.ts';
import type { EnvoyMessage } from '../../src/translate/envoy-message.ts';
import { configOf, translatePort, type SnapshotParts } from './plan-fixture.ts';

describe('the connection manager', () => {
  for (const [mode, wanted] of Object.entries({
    NONE: [false, undefined, 'KEEP_UNCHANGED'],
    BASE: [true, undefined, 'KEEP_UNCHANGED'],
    MERGE_SLASHES: [true, true, 'KEEP_UNCHANGED'],
    DECODE_AND_MERGE_SLASHES: [true, true, 'UNESCAPE_AND_FORWARD'],
  })) {
    it(`normalises paths as ${mode} says`, () => {
      const { mergeSlashes, normalizePath, pathWithEscapedSlashesAction } = manager({
        pathNormalization: mode as PathNormalization,
      });
      assert.deepEqual([normalizePath, mergeSlashes, pathWithEscapedSlashesAction], wanted);
    });
  }

  it('appends the peer to XFCC, trusts no address of the client, and calls itself as Istio does', () => {
    const {
      forwardClientCertDetails,
      serverName,
      setCurrentClientCertDetails,
      statPrefix,
      useRemoteAddress,
    } = manager({});
    assert.equal(forwardClientCertDetails, 'APPEND_FORWARD');
    assert.deepEqual(setCurrentClientCertDetails, { subject: true, dns: true, uri: true });
    assert.equal(useRemoteAddress, false);
    assert.equal(serverName, 'istio-envoy');
    assert.equal(statPrefix, 'inbound_0.0.0.0_8080;');
  });

  it('sends everything to the cluster of the port', () => {
    const { routeConfig } = manager({}) as unknown as {
      routeConfig: { virtualHosts: { routes: { name: string; route: { cluster: string } }[] }[] };
    };
    const [route] = routeConfig.virtualHosts[0]!.routes;
    assert.deepEqual([route!.name, route!.route.cluster], ['default', 'inbound|8080||']);
  });

  it('logs where MeshConfig says so, and nowhere else', () => {
    assert.equal('accessLog' in manager({}), false);
    const accessLog = { path: '/dev/stdout', encoding: 'JSON', format: '{"a":"%PROTOCOL%"}' } as const;
    const [log] = manager({ accessLog })['accessLog'] as unknown as [EnvoyMessage];
    assert.deepEqual(log['typedConfig'], {
      '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
      path: '/dev/stdout',
      logFormat: { jsonFormat: { a: '%PROTOCOL%' } },
    });
  });
});

function manager(parts: SnapshotParts): Record<string, never> {
  const { filterChains } = translatePort(parts);
  const filters = filterChains[0]!['filters'] as EnvoyMessage[];
  return configOf(filters, 'envoy.filters.network.http_connection_manager');
}
