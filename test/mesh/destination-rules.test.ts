import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { DestinationRule } from '../../src/config/resources.ts';
import { clusterOf, type Given, SLEEP, warningsOf } from './outbound-fixture.ts';
import { destinationRule, service, workloadEntry } from './resource-samples.ts';

const HOST = 'httpbin.bar.svc.cluster.local';
const BASE: Given = {
  services: [service({ namespace: 'bar', ports: [{ name: 'http', port: 8000 }] })],
  workloadEntries: [workloadEntry({ namespace: 'bar', serviceAccount: 'httpbin' })],
};
type Rule = Parameters<typeof destinationRule>[0];
const rule = (given: Rule): DestinationRule =>
  destinationRule({ host: HOST, tls: { mode: 'DISABLE' }, ...given });
const winner = (...rules: readonly Rule[]): string =>
  clusterOf({ ...BASE, destinationRules: rules.map(rule) }, `outbound|8000||${HOST}`).tlsFrom;
const odd = (...rules: readonly Rule[]): string[] =>
  warningsOf({ ...BASE, destinationRules: rules.map(rule) });

/** Rules, oldest first; the one that speaks. The client is in foo, the service in bar. */
const LOOKUPS: readonly (readonly [string, readonly Rule[], string])[] = [
  [
    'of the client’s namespace before those of the service’s and the root',
    [{ namespace: 'istio-system' }, { namespace: 'bar' }, { namespace: 'foo' }],
    'foo/httpbin',
  ],
  [
    'of the service’s namespace before the root’s',
    [{ namespace: 'istio-system' }, { namespace: 'bar' }],
    'bar/httpbin',
  ],
  ['of the root namespace at last', [{ namespace: 'istio-system' }], 'istio-system/httpbin'],
  ['of a third namespace never', [{ namespace: 'baz' }], ''],
  ['kept to the service’s namespace never', [{ namespace: 'bar', exportTo: ['.'] }], ''],
  ['kept to the service’s namespace by its name never', [{ namespace: 'bar', exportTo: ['bar'] }], ''],
  ['exported to the client', [{ namespace: 'bar', exportTo: ['foo'] }], 'bar/httpbin'],
  ['exported to nobody never', [{ namespace: 'bar', exportTo: ['~'] }], ''],
  ['exported to others never', [{ namespace: 'bar', exportTo: ['baz'] }], ''],
  ['kept to the client’s own namespace', [{ namespace: 'foo', exportTo: ['.'] }], 'foo/httpbin'],
  [
    'of the most specific host',
    [
      { name: 'all', host: '*' },
      { name: 'local', host: '*.local' },
      { name: 'bar', host: '*.bar.svc.cluster.local' },
    ],
    'foo/bar',
  ],
  [
    'of the exact host before wildcards',
    [{ name: 'wild', host: '*.bar.svc.cluster.local' }, { name: 'exact' }],
    'foo/exact',
  ],
  [
    'of a less specific host, in a nearer namespace',
    [
      { namespace: 'bar', name: 'exact' },
      { name: 'wild', host: '*.local' },
    ],
    'foo/wild',
  ],
  ['of the oldest', [{ name: 'old' }, { name: 'young' }], 'foo/old'],
  ['of a short name in its own namespace', [{ namespace: 'bar', host: 'httpbin' }], 'bar/httpbin'],
  ['of a short name that means another namespace never', [{ namespace: 'foo', host: 'httpbin' }], ''],
  ['of a name that is neither short nor full never', [{ host: 'httpbin.bar' }], ''],
  ['that selects the client', [{ workloadSelector: { app: 'sleep' } }], 'foo/httpbin'],
  ['that selects other clients never', [{ workloadSelector: { app: 'other' } }], ''],
  [
    'that selects clients of another namespace never',
    [{ namespace: 'bar', workloadSelector: { app: 'sleep' } }],
    '',
  ],
  [
    'that selects the client before an older one for all',
    [{ name: 'all' }, { name: 'some', workloadSelector: { app: 'sleep' } }],
    'foo/some',
  ],
  ['whose older namesake says nothing', [{ name: 'old', tls: null }, { name: 'young' }], ''],
];

describe('the DestinationRule of a service is one', () => {
  for (const [what, rules, wanted] of LOOKUPS) {
    it(what, () => {
      assert.equal(winner(...rules), wanted === '' ? 'auto mTLS' : `DestinationRule ${wanted}`);
    });
  }

  it('that has a trafficPolicy, though an older one has none', () => {
    const given = [destinationRule({ name: 'old', host: HOST }), rule({ name: 'young' })];
    const cluster = clusterOf({ ...BASE, destinationRules: given }, `outbound|8000||${HOST}`);
    assert.equal(cluster.tlsFrom, 'DestinationRule foo/young');
    assert.deepEqual(warningsOf({ ...BASE, destinationRules: given }), []);
  });

  it('of the root namespace for its own clients only if it is private there', () => {
    const root = { ...SLEEP, namespace: 'istio-system' };
    const from = (rules: readonly Rule[]): string =>
      clusterOf({ ...BASE, destinationRules: rules.map(rule) }, `outbound|8000||${HOST}`, root).tlsFrom;
    const ofService = { namespace: 'bar' };
    assert.equal(from([{ namespace: 'istio-system' }, ofService]), 'DestinationRule bar/httpbin');
    assert.equal(
      from([{ namespace: 'istio-system', exportTo: ['.'] }, ofService]),
      'DestinationRule istio-system/httpbin',
    );
  });
});

describe('DestinationRules are warned of', () => {
  it('where a second one of a host and namespace is ignored', () => {
    assert.deepEqual(odd({ name: 'old' }, { name: 'young' }), ['shadowed spec.host']);
    assert.deepEqual(odd({ namespace: 'bar', name: 'old' }, { namespace: 'bar', name: 'young' }), [
      'shadowed spec.host',
    ]);
    assert.deepEqual(odd({ name: 'some', workloadSelector: { app: 'sleep' } }, { name: 'all' }), []);
  });

  it('where nothing has their host', () => {
    assert.deepEqual(odd({ host: 'httpbin' }), ['unknown_host spec.host']);
    assert.deepEqual(odd({ namespace: 'istio-system', host: 'gone.example.com' }), [
      'unknown_host spec.host',
    ]);
    assert.deepEqual(odd({ host: '*.gone.example.com' }), []);
    assert.deepEqual(odd({ namespace: 'baz', host: 'gone.example.com' }), []);
  });
});
