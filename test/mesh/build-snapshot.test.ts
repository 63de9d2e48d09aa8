import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MeshConfig, Resources } from '../../src/config/resources.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { type BuiltSnapshot, buildSnapshot, planOfPort } from '../../src/mesh/build-snapshot.ts';
import { HTTPBIN, peerAuthentication, resources, service } from './resource-samples.ts';

function build(given: Resources): BuiltSnapshot {
  return buildSnapshot({
    resources: given,
    workload: HTTPBIN,
    limits: DEFAULT_LIMITS,
    generation: 7,
    appHost: '127.0.0.1',
    accessLog: null,
  });
}

const withMeshConfig = (meshConfig: Partial<MeshConfig>): BuiltSnapshot['snapshot'] =>
  build(resources({ meshConfig })).snapshot;

describe('the snapshot', () => {
  it('of no documents takes every port as Istio does without policy or Service', () => {
    const { snapshot, warnings } = build(resources({}));
    assert.deepEqual(warnings, []);
    assert.deepEqual(snapshot, {
      generation: 7,
      workload: HTTPBIN,
      trustDomains: ['cluster.local'],
      limits: DEFAULT_LIMITS,
      protocolDetectionTimeoutMs: 0,
      pathNormalization: 'BASE',
      accessLog: null,
      authorization: { policies: [], providers: {} },
      jwt: { rules: [], keySets: [] },
      inbound: {
        ports: {},
        passthrough: {
          port: 0,
          protocol: 'auto',
          mode: 'PERMISSIVE',
          modeFrom: 'default (no PeerAuthentication)',
          protocolFrom: '',
          cluster: 'InboundPassthroughCluster',
          service: null,
        },
        listeners: [],
      },
      outbound: { unknownDestinations: 'ALLOW_ANY', clusters: {}, ports: {}, listeners: [] },
    });
    assert.equal(planOfPort(snapshot, 8080), snapshot.inbound.passthrough);
  });

  it('has a plan for each port that a Service or portLevelMtls names', () => {
    const { snapshot } = build(
      resources({
        peerAuthentications: [
          peerAuthentication({ mode: 'STRICT' }),
          peerAuthentication({ name: 'w', app: 'httpbin', ports: { 8080: 'PERMISSIVE', 9090: 'DISABLE' } }),
        ],
        services: [
          service({
            ports: [
              { name: 'http', port: 80, targetPort: 8080 },
              { name: 'tcp-db', port: 5432 },
            ],
          }),
        ],
      }),
    );
    assert.deepEqual(Object.keys(snapshot.inbound.ports), ['5432', '8080', '9090']);
    assert.deepEqual(planOfPort(snapshot, 8080), {
      port: 8080,
      protocol: 'http',
      mode: 'PERMISSIVE',
      modeFrom: 'PeerAuthentication foo/w portLevelMtls 8080',
      protocolFrom: 'Service foo/httpbin port http',
      cluster: 'inbound|8080||',
      service: { namespace: 'foo', name: 'httpbin' },
    });
    assert.deepEqual(planOfPort(snapshot, 5432), {
      port: 5432,
      protocol: 'tcp',
      mode: 'STRICT',
      modeFrom: 'PeerAuthentication foo/default',
      protocolFrom: 'Service foo/httpbin port tcp-db',
      cluster: 'inbound|5432||',
      service: { namespace: 'foo', name: 'httpbin' },
    });
    assert.deepEqual(planOfPort(snapshot, 9090), {
      port: 9090,
      protocol: 'auto',
      mode: 'DISABLE',
      modeFrom: 'PeerAuthentication foo/w portLevelMtls 9090',
      protocolFrom: '',
      cluster: 'InboundPassthroughCluster',
      service: null,
    });
    assert.equal(planOfPort(snapshot, 80).mode, 'STRICT');
    assert.equal(planOfPort(snapshot, 80).service, null);
  });

  it('takes a portLevelMtls of the workload port, never of the Service port', () => {
    const { snapshot } = build(
      resources({
        peerAuthentications: [
          peerAuthentication({ name: 'w', app: 'httpbin', mode: 'STRICT', ports: { 80: 'DISABLE' } }),
        ],
        services: [service({ ports: [{ name: 'http', port: 80, targetPort: 8080 }] })],
      }),
    );
    assert.equal(planOfPort(snapshot, 8080).mode, 'STRICT');
  });

  it('carries what MeshConfig says', () => {
    assert.deepEqual(
      withMeshConfig({ trustDomain: 'td.one', trustDomainAliases: ['td.two', 'td.one', 'td.two'] })
        .trustDomains,
      ['td.one', 'td.two'],
    );
    assert.equal(withMeshConfig({ protocolDetectionTimeoutMs: 500 }).protocolDetectionTimeoutMs, 500);
    assert.equal(withMeshConfig({ pathNormalization: 'DEFAULT' }).pathNormalization, 'BASE');
    for (const mode of ['NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const) {
      assert.equal(withMeshConfig({ pathNormalization: mode }).pathNormalization, mode);
    }
  });

  it('looks for mesh policies in the root namespace that MeshConfig names', () => {
    const peerAuthentications = [peerAuthentication({ namespace: 'root', mode: 'STRICT' })];
    const mode = (rootNamespace: string): string =>
      build(resources({ peerAuthentications, meshConfig: { rootNamespace } })).snapshot.inbound.passthrough
        .mode;
    assert.equal(mode('root'), 'STRICT');
    assert.equal(mode('istio-system'), 'PERMISSIVE');
  });

  it('takes the access log of MeshConfig unless postern.yaml has one', () => {
    const given = resources({
      meshConfig: { accessLogFile: '/dev/stdout', accessLogEncoding: 'JSON', accessLogFormat: '{}' },
    });
    assert.deepEqual(build(given).snapshot.accessLog, {
      path: '/dev/stdout',
      encoding: 'JSON',
      format: '{}',
    });
    const accessLog = { path: '/tmp/a.log', encoding: 'TEXT', format: '' } as const;
    const { snapshot } = buildSnapshot({
      resources: given,
      workload: HTTPBIN,
      limits: DEFAULT_LIMITS,
      generation: 1,
      appHost: '127.0.0.1',
      accessLog,
    });
    assert.deepEqual(snapshot.accessLog, accessLog);
  });

  it('is plain: a structured clone equals it, and shares nothing with the input', () => {
    const labels = { app: 'httpbin' };
    const { snapshot } = buildSnapshot({
      resources: resources({ services: [service({ ports: [{ name: 'http' }] })] }),
      workload: { ...HTTPBIN, labels },
      limits: DEFAULT_LIMITS,
      generation: 1,
      appHost: '127.0.0.1',
      accessLog: null,
    });
    assert.deepEqual(structuredClone(snapshot), snapshot);
    labels.app = 'changed';
    assert.equal(snapshot.workload.labels['app'], 'httpbin');
  });

  it('comes with the warnings of policies and Services', () => {
    const { warnings } = build(
      resources({
        peerAuthentications: [
          peerAuthentication({ namespace: 'default', namespaceGiven: false, mode: 'STRICT' }),
        ],
        services: [service({ ports: [{ name: 'grpc' }] })],
      }),
    );
    assert.deepEqual(
      warnings.map(({ file, line, column, severity, code }) => [file, line, column, severity, code]),
      [
        ['mesh.yaml', 1, 1, 'warning', 'selects_nothing'],
        ['mesh.yaml', 1, 1, 'warning', 'http2_not_supported'],
      ],
    );
  });
});
