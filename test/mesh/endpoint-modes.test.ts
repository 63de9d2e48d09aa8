import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerAuthentication } from '../../src/config/resources.ts';
import { EndpointModes } from '../../src/mesh/endpoint-modes.ts';
import { effectiveModes, modeOfPort } from '../../src/mesh/peer-authentication.ts';
import { peerAuthentication } from './resource-samples.ts';

const MODES = ['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT'] as const;

/** Every selector, scope and mode once, and namesakes that lose. */
const POLICIES: readonly PeerAuthentication[] = ['istio-system', 'foo', 'bar'].flatMap((namespace) =>
  MODES.flatMap((mode, index) => [
    peerAuthentication({ namespace, name: `all-${index}`, mode }),
    peerAuthentication({ namespace, name: `a-${index}`, app: 'a', mode, ports: { 80: MODES[3 - index]! } }),
    {
      ...peerAuthentication({ namespace, name: `v-${index}`, mode, ports: { 81: 'DISABLE' } }),
      matchLabels: { version: 'v1', app: index < 2 ? 'b' : 'a' },
    },
  ]),
);
const LABELS = [
  {},
  { app: 'a' },
  { app: 'b' },
  { app: 'b', version: 'v1' },
  { version: 'v1', app: 'a' },
  { version: 'v1' },
  { other: 'x', app: 'a' },
] as const;

describe('the modes of endpoints', () => {
  it('are those that each workload has for itself, in whatever order policies stand', () => {
    let asked = 0;
    for (let turn = 0; turn < POLICIES.length; turn++) {
      const policies = [...POLICIES.slice(turn), ...POLICIES.slice(0, turn)].slice(0, 1 + (turn % 20));
      const modes = new EndpointModes(policies, 'istio-system');
      for (const namespace of ['foo', 'bar', 'baz', 'istio-system']) {
        for (const labels of LABELS) {
          const own = effectiveModes(policies, 'istio-system', {
            namespace,
            serviceAccount: '',
            name: '',
            labels,
          });
          for (const port of [80, 81, 82]) {
            assert.deepEqual(modes.of(namespace, labels, port), modeOfPort(own, port));
            asked++;
          }
        }
      }
    }
    assert.equal(asked, POLICIES.length * 4 * LABELS.length * 3);
  });

  it('of a namespace regard no workload’s own policy', () => {
    const modes = new EndpointModes(
      [peerAuthentication({ name: 'w', app: 'a', mode: 'DISABLE' }), peerAuthentication({ mode: 'STRICT' })],
      'istio-system',
    );
    assert.deepEqual(modes.ofNamespace('foo'), {
      mode: 'STRICT',
      modeFrom: 'PeerAuthentication foo/default',
    });
  });
});
