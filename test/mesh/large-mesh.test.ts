import assert from 'node:assert/strict';
import { performance } from 'node:perf_hooks';
import { describe, it } from 'node:test';
import { clusterOfHost } from '../../src/mesh/outbound-chains.ts';
import { buildFor } from './outbound-fixture.ts';
import { destinationRule, peerAuthentication, service, workloadEntry } from './resource-samples.ts';

const SERVICES = 5_000;
const ENDPOINTS = 4;
/** It takes 0.3 s on the two busy cores it was written on; the bound stands for "not quadratic" on any. */
const BOUND_MS = 5_000;

describe('a mesh of 5,000 services with 4 endpoints each', () => {
  it('is planned in time that grows with its size only, and can be cloned', () => {
    const names = Array.from({ length: SERVICES }, (_, index) => `svc-${index}`);
    const given = {
      services: names.map((name, index) =>
        service({
          name,
          selector: { app: name },
          clusterIps: [`10.96.${index >> 8}.${index & 255}`],
          ports: [{ name: ['http', 'tcp', ''][index % 3]!, port: 8000 }],
        }),
      ),
      workloadEntries: names.flatMap((name, index) =>
        Array.from({ length: ENDPOINTS }, (_, instance) =>
          workloadEntry({
            name: `${name}-${instance}`,
            app: name,
            address: `10.${instance}.${index >> 8}.${index & 255}`,
            serviceAccount: name,
            labels: { instance: `${name}-${instance}` },
          }),
        ),
      ),
      destinationRules: names
        .slice(0, 1_000)
        .map((name) => destinationRule({ name, host: name, tls: { mode: 'ISTIO_MUTUAL' } })),
      peerAuthentications: names
        .slice(0, 1_000)
        .map((name) => peerAuthentication({ name, app: name, mode: 'STRICT' })),
    };
    const start = performance.now();
    const { snapshot, warnings } = buildFor(given);
    const elapsedMs = performance.now() - start;
    assert.deepEqual(warnings, []);
    const { clusters, ports } = structuredClone(snapshot.outbound);
    assert.equal(Object.keys(clusters).length, SERVICES);
    assert.equal(clusters['outbound|8000||svc-9.foo.svc.cluster.local']?.endpoints.length, ENDPOINTS);
    assert.equal(clusterOfHost(ports[8000]!.http!, 'svc-9'), 'outbound|8000||svc-9.foo.svc.cluster.local');
    assert.ok(elapsedMs < BOUND_MS, `took ${Math.round(elapsedMs)} ms`);
  });
});
