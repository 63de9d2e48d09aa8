import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { PeerAuthentication } from '../../src/config/resources.ts';
import { effectiveModes, modeOfPort } from '../../src/mesh/peer-authentication.ts';
import { HTTPBIN, peerAuthentication } from './resource-samples.ts';

const ROOT = 'istio-system';
const mesh = (mode?: 'STRICT' | 'PERMISSIVE' | 'DISABLE' | 'UNSET', name = 'mesh'): PeerAuthentication =>
  peerAuthentication({ namespace: ROOT, name, ...(mode === undefined ? {} : { mode }) });

interface Row {
  readonly says: string;
  readonly policies: readonly PeerAuthentication[];
  /** Of port 8080. */
  readonly mode: string;
  readonly from: string;
  readonly warns?: readonly string[];
}

const TABLE: readonly Row[] = [
  {
    says: 'is PERMISSIVE without a policy',
    policies: [],
    mode: 'PERMISSIVE',
    from: 'default (no PeerAuthentication)',
  },
  {
    says: 'takes the mesh policy',
    policies: [mesh('STRICT')],
    mode: 'STRICT',
    from: 'PeerAuthentication istio-system/mesh',
  },
  {
    says: 'takes the namespace policy over the mesh policy',
    policies: [mesh('STRICT'), peerAuthentication({ mode: 'DISABLE' })],
    mode: 'DISABLE',
    from: 'PeerAuthentication foo/default',
  },
  {
    says: 'takes the workload policy over the others, whatever their age',
    policies: [
      peerAuthentication({ name: 'w', app: 'httpbin', mode: 'PERMISSIVE' }),
      peerAuthentication({ mode: 'DISABLE' }),
      mesh('STRICT'),
    ],
    mode: 'PERMISSIVE',
    from: 'PeerAuthentication foo/w',
  },
  {
    says: 'passes over UNSET and over a policy without mtls',
    policies: [
      mesh('STRICT'),
      peerAuthentication({ mode: 'UNSET' }),
      peerAuthentication({ name: 'w', app: 'httpbin' }),
    ],
    mode: 'STRICT',
    from: 'PeerAuthentication istio-system/mesh',
  },
  {
    says: 'stays PERMISSIVE when every level is UNSET',
    policies: [mesh('UNSET'), peerAuthentication({ mode: 'UNSET' })],
    mode: 'PERMISSIVE',
    from: 'default (no PeerAuthentication)',
  },
  {
    says: 'lets the oldest of a scope win, the younger contributing nothing',
    policies: [
      peerAuthentication({ name: 'old', mode: 'PERMISSIVE' }),
      peerAuthentication({ name: 'young', mode: 'STRICT' }),
    ],
    mode: 'PERMISSIVE',
    from: 'PeerAuthentication foo/old',
    warns: ['shadowed'],
  },
  {
    says: 'lets the oldest win even if it says nothing',
    policies: [
      mesh('STRICT'),
      peerAuthentication({ name: 'old', mode: 'UNSET' }),
      peerAuthentication({ name: 'young', mode: 'DISABLE' }),
    ],
    mode: 'STRICT',
    from: 'PeerAuthentication istio-system/mesh',
    warns: ['shadowed'],
  },
  {
    says: 'takes the port level over the workload level',
    policies: [peerAuthentication({ name: 'w', app: 'httpbin', mode: 'STRICT', ports: { 8080: 'DISABLE' } })],
    mode: 'DISABLE',
    from: 'PeerAuthentication foo/w portLevelMtls 8080',
  },
  {
    says: 'gives another port the workload level',
    policies: [peerAuthentication({ name: 'w', app: 'httpbin', mode: 'STRICT', ports: { 8081: 'DISABLE' } })],
    mode: 'STRICT',
    from: 'PeerAuthentication foo/w',
  },
  {
    says: 'inherits for an UNSET port',
    policies: [mesh('STRICT'), peerAuthentication({ name: 'w', app: 'httpbin', ports: { 8080: 'UNSET' } })],
    mode: 'STRICT',
    from: 'PeerAuthentication istio-system/mesh',
  },
  {
    says: 'takes no port from a losing workload policy',
    policies: [
      peerAuthentication({ name: 'old', app: 'httpbin', mode: 'STRICT' }),
      peerAuthentication({ name: 'young', app: 'httpbin', ports: { 8080: 'DISABLE' } }),
    ],
    mode: 'STRICT',
    from: 'PeerAuthentication foo/old',
    warns: ['shadowed'],
  },
  {
    says: 'ignores a root-namespace policy with a selector',
    policies: [
      peerAuthentication({
        namespace: ROOT,
        name: 'w',
        app: 'httpbin',
        mode: 'STRICT',
        ports: { 8080: 'STRICT' },
      }),
    ],
    mode: 'PERMISSIVE',
    from: 'default (no PeerAuthentication)',
    warns: ['selector_ignored'],
  },
  {
    says: 'ignores policies for other workloads and other namespaces',
    policies: [
      peerAuthentication({ name: 'a', app: 'sleep', mode: 'STRICT' }),
      peerAuthentication({ namespace: 'bar', mode: 'STRICT' }),
      peerAuthentication({ namespace: 'bar', app: 'httpbin', mode: 'STRICT' }),
      peerAuthentication({ namespace: ROOT, app: 'sleep', mode: 'STRICT' }),
    ],
    mode: 'PERMISSIVE',
    from: 'default (no PeerAuthentication)',
  },
  {
    says: 'warns of a policy that misses the workload only because its namespace was left out',
    policies: [
      peerAuthentication({
        namespace: 'default',
        namespaceGiven: false,
        name: 'w',
        app: 'httpbin',
        mode: 'STRICT',
      }),
      peerAuthentication({ namespace: 'default', namespaceGiven: false, mode: 'STRICT' }),
      peerAuthentication({
        namespace: 'default',
        namespaceGiven: false,
        name: 'a',
        app: 'sleep',
        mode: 'STRICT',
      }),
    ],
    mode: 'PERMISSIVE',
    from: 'default (no PeerAuthentication)',
    warns: ['selects_nothing', 'selects_nothing'],
  },
  {
    says: 'takes a policy whose default namespace is the right one, without a warning',
    policies: [peerAuthentication({ namespaceGiven: false, mode: 'STRICT' })],
    mode: 'STRICT',
    from: 'PeerAuthentication foo/default',
  },
];

describe('the mTLS mode of a port', () => {
  for (const { says, policies, mode, from, warns } of TABLE) {
    it(says, () => {
      const modes = effectiveModes(policies, ROOT, HTTPBIN);
      assert.deepEqual(modeOfPort(modes, 8080), { mode, modeFrom: from });
      assert.deepEqual(
        modes.warnings.map((warning) => warning.code),
        warns ?? [],
      );
    });
  }

  it('treats the policies of the root namespace as mesh policies for its own workloads', () => {
    const workload = { ...HTTPBIN, namespace: ROOT };
    const policies = [
      mesh('STRICT'),
      peerAuthentication({ namespace: ROOT, name: 'w', app: 'httpbin', mode: 'DISABLE' }),
    ];
    assert.equal(effectiveModes(policies, ROOT, workload).workload.mode, 'STRICT');
  });

  it('matches labels by all pairs and by own properties only', () => {
    const both: PeerAuthentication = {
      ...peerAuthentication({ name: 'w', app: 'httpbin', mode: 'STRICT' }),
      matchLabels: { app: 'httpbin', version: 'v2' },
    };
    const inherited: PeerAuthentication = { ...both, matchLabels: { constructor: 'Object' } };
    assert.equal(effectiveModes([both, inherited], ROOT, HTTPBIN).workload.mode, 'PERMISSIVE');
  });
});
