import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import type { Service } from '../../src/config/resources.ts';
import { foundProblems } from './found-problems.ts';

const service = (spec: string, annotation = '*'): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: foo, annotations: {networking.istio.io/exportTo: "${annotation}"}}\nspec: {${spec}}\n`;
const endpoints = (rest: string): string =>
  `apiVersion: v1\nkind: Endpoints\nmetadata: {name: s, namespace: foo}\n${rest}`;
const slice = (rest: string, label = 'kubernetes.io/service-name: s'): string =>
  `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s-1, namespace: foo, labels: {${label}}}\n${rest}`;

describe('where a Service is reached', () => {
  const table: [string, string, Partial<Service>][] = [
    ['nowhere, without an address', 'ports: []', { clusterIps: [], headless: false, externalName: '' }],
    ['one address', 'clusterIP: 10.0.0.7', { clusterIps: ['10.0.0.7'], headless: false }],
    [
      'two addresses',
      'clusterIP: 10.0.0.7, clusterIPs: [10.0.0.7, "fd00::7"]',
      { clusterIps: ['10.0.0.7', 'fd00::7'], headless: false },
    ],
    ['headless', 'clusterIP: None', { clusterIps: [], headless: true }],
    ['headless, in a list', 'clusterIP: None, clusterIPs: [None]', { clusterIps: [], headless: true }],
    [
      'another name',
      'type: ExternalName, externalName: Example.com, selector: {a: b}',
      { externalName: 'example.com', selector: null, headless: false },
    ],
    ['a name that its type does not look at', 'externalName: example.com', { externalName: '' }],
  ];
  for (const [name, spec, expected] of table) {
    it(name, () => {
      const { resources, problems } = loadDocumentText(service(spec), 'a.yaml');
      assert.deepEqual(problems, []);
      const [read] = resources.services;
      assert.ok(read !== undefined);
      assert.deepEqual({ ...read, ...expected }, read);
    });
  }

  it('and who may see it', () => {
    for (const [annotation, expected] of [
      ['', []],
      ['*', ['*']],
      ['~', ['~']],
      ['., bar', ['.', 'bar']],
    ] as const) {
      const { resources, problems } = loadDocumentText(service('', annotation), 'a.yaml');
      assert.deepEqual(problems, []);
      assert.deepEqual(resources.services[0]?.exportTo, expected);
    }
  });
});

describe('Endpoints and EndpointSlice', () => {
  it('reads the ready addresses of Endpoints', () => {
    const text = endpoints(`subsets:
- addresses: [{ip: 10.0.0.1, nodeName: n, targetRef: {kind: Pod}}, {ip: "fd00::1"}]
  notReadyAddresses: [{ip: 10.0.0.2}]
  ports: [{name: http, port: 8080, protocol: TCP}, {name: dns, port: 53, protocol: UDP}]
- addresses: [{ip: 10.0.0.3}]
  ports: [{port: 80}]
`);
    const { resources, problems } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(problems, []);
    const [read] = resources.serviceEndpoints;
    assert.deepEqual([read?.kind, read?.serviceName], ['Endpoints', 's']);
    assert.deepEqual(read?.subsets, [
      { addresses: ['10.0.0.1', 'fd00::1'], ports: [{ name: 'http', port: 8080 }] },
      { addresses: ['10.0.0.3'], ports: [{ name: '', port: 80 }] },
    ]);
  });

  it('reads the ready endpoints of an EndpointSlice', () => {
    const text = slice(`addressType: IPv4
endpoints:
- addresses: [10.0.0.1]
  conditions: {ready: true, serving: true, terminating: false}
  nodeName: n
- addresses: [10.0.0.2]
  conditions: {ready: false}
- addresses: [10.0.0.3]
  conditions: {ready: null}
- addresses: [10.0.0.4]
ports: [{name: http, port: 8080, protocol: TCP, appProtocol: http}, {name: dns, port: 53, protocol: UDP}]
`);
    const { resources, problems } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(problems, []);
    const [read] = resources.serviceEndpoints;
    assert.deepEqual([read?.kind, read?.name, read?.serviceName], ['EndpointSlice', 's-1', 's']);
    assert.deepEqual(read?.subsets, [
      { addresses: ['10.0.0.1', '10.0.0.3', '10.0.0.4'], ports: [{ name: 'http', port: 8080 }] },
    ]);
  });

  it('reads typed lists of them', () => {
    const item = { apiVersion: 'v1', kind: 'Endpoints', metadata: { name: 's' }, subsets: [] };
    const text = JSON.stringify({ apiVersion: 'v1', kind: 'EndpointsList', items: [item] });
    const { resources, problems } = loadDocumentText(text, 'a.json');
    assert.deepEqual(problems, []);
    assert.equal(resources.serviceEndpoints.length, 1);
  });

  const table: [string, string, string[]][] = [
    ['a misspelled field', endpoints('subset: []\n'), ['error unknown_field 4:1 subset']],
    [
      'addresses and ports that are none',
      endpoints(
        'subsets:\n- addresses: [{ip: a}, {}, {ipp: 1.2.3.4}]\n  ports: [{}, {port: 0}, {port: 1, protocol: HTTP}]\n  adresses: []\n',
      ),
      [
        'error bad_value 5:20 subsets[0].addresses[0].ip',
        'error missing_field 5:24 subsets[0].addresses[1].ip',
        'error unknown_field 5:29 subsets[0].addresses[2].ipp',
        'error missing_field 5:28 subsets[0].addresses[2].ip',
        'error missing_field 6:11 subsets[0].ports[0].port',
        'error out_of_range 6:22 subsets[0].ports[1].port',
        'error bad_value 6:46 subsets[0].ports[2].protocol',
        'error unknown_field 7:3 subsets[0].adresses',
      ],
    ],
    [
      'the kind in lower case',
      endpoints('').replace('Endpoints', 'endpoints'),
      ['error unknown_kind 2:7 kind'],
    ],
    [
      'an old version of EndpointSlice',
      slice('addressType: IPv4\n').replace('/v1', '/v1beta1'),
      ['error unknown_version 1:13 apiVersion'],
    ],
    ['a slice of no Service', slice('addressType: IPv4\n', 'a: b'), ['warning ignored_field 3:1 metadata']],
    ['a slice without address type', slice(''), ['error missing_field 1:1 addressType']],
    [
      'addresses of another type',
      slice('addressType: IPv6\nendpoints: [{addresses: [10.0.0.1, "fd00::1", 7]}]\n'),
      ['error bad_value 5:26 endpoints[0].addresses[0]', 'error wrong_type 5:47 endpoints[0].addresses[2]'],
    ],
    [
      'conditions that are none',
      slice('addressType: FQDN\nendpoints: [{addresses: [a.b], conditions: {ready: "no", raedy: true}}]\n'),
      [
        'error wrong_type 5:52 endpoints[0].conditions.ready',
        'error unknown_field 5:58 endpoints[0].conditions.raedy',
      ],
    ],
    // Services
    ['a cluster IP that is none', service('clusterIP: 10.0.0.256'), ['error bad_value 4:19 spec.clusterIP']],
    [
      'cluster IPs beside None',
      service('clusterIPs: [None, 10.0.0.1]'),
      ['error conflict 4:8 spec.clusterIPs'],
    ],
    ['a type that is none', service('type: Headless'), ['error bad_value 4:14 spec.type']],
    [
      'an ExternalName without name',
      service('type: ExternalName'),
      ['error missing_field 4:1 spec.externalName'],
    ],
    [
      'an ExternalName that is none',
      service('type: ExternalName, externalName: a b'),
      ['error bad_value 4:42 spec.externalName'],
    ],
    [
      'an export that is none',
      service('', './bar'),
      ['error bad_value 3:81 metadata.annotations.networking.istio.io/exportTo'],
    ],
  ];
  for (const [name, text, expected] of table) {
    it(`refuses or notes ${name}`, () => {
      const { problems } = loadDocumentText(text, 'a.yaml');
      assert.deepEqual(foundProblems(problems).toSorted(), expected.toSorted());
      assert.ok(problems.every(({ fix }) => fix !== ''));
    });
  }
});
