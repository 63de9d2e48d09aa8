import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import { foundProblems } from './found-problems.ts';

const se = (spec: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: foo}\nspec:\n${spec}`;
const we = (spec: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w, namespace: foo}\nspec: ${spec}\n`;
const HOST = '  hosts: [a.example.com]\n';
const PORT = '  ports: [{number: 80, name: http}]\n';
const STATIC = '  resolution: STATIC\n';

describe('ServiceEntry', () => {
  it('is read as Istio would write it, in every version, as List and as JSON', () => {
    const spec = {
      hosts: ['B.foo.svc.cluster.local', '*.example.com'],
      addresses: ['10.0.0.0/8', '10.1.2.3', 'fd00::1', 'fd00::/8'],
      ports: [
        { number: 80, name: 'http', protocol: 'http', targetPort: 8080 },
        { number: 443, name: 'tls', protocol: 'TLS' },
        { number: 81, name: 'grpc', protocol: 'GRPC-Web', targetPort: 0 },
      ],
      location: 'MESH_INTERNAL',
      resolution: 'STATIC',
      endpoints: [
        {
          address: '10.0.0.2',
          ports: { http: 8081 },
          labels: { app: 'b', 'security.istio.io/tlsMode': 'istio' },
          serviceAccount: 'b',
          weight: 3,
        },
        { address: '::1' },
      ],
      exportTo: ['.', 'bar'],
      subjectAltNames: ['spiffe://cluster.local/ns/foo/sa/b'],
    };
    for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
      const item = {
        apiVersion: `networking.istio.io/${version}`,
        kind: 'ServiceEntry',
        metadata: { name: 's', namespace: 'foo' },
        spec,
      };
      const list = { apiVersion: 'v1', kind: 'List', items: [item] };
      for (const text of [JSON.stringify(item), JSON.stringify(list, null, '\t')]) {
        const { resources, problems } = loadDocumentText(text, '/mesh/a.json');
        assert.deepEqual(problems, []);
        const [entry] = resources.serviceEntries;
        assert.ok(entry !== undefined);
        assert.deepEqual(entry.hosts, ['b.foo.svc.cluster.local', '*.example.com']);
        assert.deepEqual(entry.addresses, spec.addresses);
        assert.deepEqual(
          entry.ports.map(({ position, ...port }) => [port, position.file]),
          [
            [{ number: 80, name: 'http', protocol: 'HTTP', targetPort: 8080 }, '/mesh/a.json'],
            [{ number: 443, name: 'tls', protocol: 'TLS', targetPort: 443 }, '/mesh/a.json'],
            [{ number: 81, name: 'grpc', protocol: 'GRPC-WEB', targetPort: 81 }, '/mesh/a.json'],
          ],
        );
        assert.deepEqual([entry.location, entry.resolution], ['MESH_INTERNAL', 'STATIC']);
        assert.deepEqual(entry.endpoints, [
          spec.endpoints[0],
          { address: '::1', ports: {}, labels: {}, serviceAccount: '', weight: 0 },
        ]);
        assert.deepEqual(entry.exportTo, ['.', 'bar']);
        assert.deepEqual(entry.subjectAltNames, spec.subjectAltNames);
        assert.equal(entry.workloadSelector, null);
      }
    }
  });

  it("has the API's defaults", () => {
    const { resources, problems } = loadDocumentText(se(HOST), 'a.yaml');
    assert.deepEqual(problems, []);
    const [entry] = resources.serviceEntries;
    assert.ok(entry !== undefined);
    const { location, resolution, ports, addresses, endpoints, exportTo, subjectAltNames } = entry;
    assert.deepEqual([location, resolution], ['MESH_EXTERNAL', 'NONE']);
    assert.deepEqual([ports, addresses, endpoints, exportTo, subjectAltNames], [[], [], [], [], []]);
  });

  it('takes a selector for its endpoints, and a port without protocol for one to detect', () => {
    const text = se(`${HOST}${PORT}${STATIC}  workloadSelector: {labels: {app: b}}\n`);
    const { resources, problems } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(problems, []);
    assert.deepEqual(resources.serviceEntries[0]?.workloadSelector, { app: 'b' });
    assert.equal(resources.serviceEntries[0]?.ports[0]?.protocol, null);
  });

  it('leaves a UDP port out, and says so', () => {
    const text = se(`${HOST}  ports: [{number: 53, name: dns, protocol: UDP}, {number: 80, name: http}]\n`);
    const { resources, problems } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(foundProblems(problems), ['warning ignored_field 6:45 spec.ports[0].protocol']);
    assert.deepEqual(
      resources.serviceEntries[0]?.ports.map(({ number }) => number),
      [80],
    );
  });

  const table: [string, string, string[]][] = [
    [
      'no spec',
      'apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s}\n',
      ['error missing_field 1:1 spec'],
    ],
    ['no host', se(PORT), ['error missing_field 4:1 spec.hosts']],
    ['an empty list of hosts', se('  hosts: []\n'), ['error missing_field 5:3 spec.hosts']],
    ['a host that is no list', se('  hosts: a.b\n'), ['error wrong_type 5:10 spec.hosts']],
    [
      'hosts that are none',
      se('  hosts: ["*", "a b", "*a.com", a.*.com, "http://a", "", A.com, a.com]\n'),
      [
        'error bad_value 5:11 spec.hosts[0]',
        'error bad_value 5:16 spec.hosts[1]',
        'error bad_value 5:23 spec.hosts[2]',
        'error bad_value 5:33 spec.hosts[3]',
        'error bad_value 5:42 spec.hosts[4]',
        'error bad_value 5:54 spec.hosts[5]',
        'error conflict 5:65 spec.hosts[7]',
      ],
    ],
    [
      'addresses that are none',
      se(`${HOST}  addresses: [10.0.0.256, 10.0.0.0/33, "fd00::/129", 10.0.0.0/, a]\n`),
      [
        'error bad_value 6:15 spec.addresses[0]',
        'error bad_value 6:27 spec.addresses[1]',
        'error bad_value 6:40 spec.addresses[2]',
        'error bad_value 6:54 spec.addresses[3]',
        'error bad_value 6:65 spec.addresses[4]',
      ],
    ],
    [
      'ports that stand twice',
      se(
        `${HOST}  ports:\n  - {number: 80, name: a}\n  - {number: 80, name: b}\n  - {number: 81, name: a}\n`,
      ),
      ['error conflict 8:14 spec.ports[1].number', 'error conflict 9:24 spec.ports[2].name'],
    ],
    [
      'ports without number or name',
      se(`${HOST}  ports:\n  - {name: a}\n  - {number: 80}\n  - {number: 0, name: HTTP_1}\n`),
      [
        'error missing_field 7:5 spec.ports[0].number',
        'error missing_field 8:5 spec.ports[1].name',
        'error out_of_range 9:14 spec.ports[2].number',
        'error bad_value 9:23 spec.ports[2].name',
      ],
    ],
    [
      'a misspelled protocol and one for Sidecars only',
      se(
        `${HOST}  ports:\n  - {number: 80, name: a, protocol: HTP}\n  - {number: 81, name: b, protocol: HTTP_PROXY}\n`,
      ),
      ['error bad_value 7:37 spec.ports[0].protocol', 'error bad_value 8:37 spec.ports[1].protocol'],
    ],
    [
      'a misspelled field of a port',
      se(`${HOST}  ports: [{number: 80, name: a, tragetPort: 1}]\n`),
      ['error unknown_field 6:33 spec.ports[0].tragetPort'],
    ],
    [
      'a resolution and a location that are none',
      se(`${HOST}  resolution: DYNAMIC\n  location: MESH\n`),
      ['error bad_value 6:15 spec.resolution', 'error bad_value 7:13 spec.location'],
    ],
    [
      'endpoints with resolution NONE',
      se(`${HOST}${PORT}  endpoints: [{address: 10.0.0.1}]\n`),
      ['error conflict 7:3 spec.endpoints'],
    ],
    ['STATIC without endpoints', se(`${HOST}${STATIC}`), ['error missing_field 6:3 spec.resolution']],
    [
      'endpoints and a selector',
      se(
        `${HOST}${PORT}${STATIC}  endpoints: [{address: 10.0.0.1}]\n  workloadSelector: {labels: {app: a}}\n`,
      ),
      ['error conflict 8:3 spec.endpoints'],
    ],
    [
      'a selector without labels',
      se(`${HOST}${STATIC}  workloadSelector: {}\n`),
      ['warning empty 7:3 spec.workloadSelector'],
    ],
    [
      'a selector with a star',
      se(`${HOST}${STATIC}  workloadSelector: {labels: {app: "*"}}\n`),
      ['error bad_value 7:31 spec.workloadSelector.labels.app'],
    ],
    [
      'matchLabels, which is for other kinds',
      se(`${HOST}${STATIC}  workloadSelector: {matchLabels: {app: a}}\n`),
      [
        'warning empty 7:3 spec.workloadSelector',
        'error unknown_field 7:22 spec.workloadSelector.matchLabels',
      ],
    ],
    [
      'a name as STATIC endpoint',
      se(`${HOST}${STATIC}  endpoints: [{address: b.example.com}]\n`),
      ['error bad_value 7:25 spec.endpoints[0].address'],
    ],
    [
      'a Unix socket as endpoint',
      se(`${HOST}${STATIC}  endpoints: [{address: "unix:///a"}]\n`),
      ['error not_usable_yet 7:25 spec.endpoints[0].address'],
    ],
    [
      'endpoints without address, with a bad one, in another network',
      se(
        `${HOST}  resolution: DNS\n  endpoints:\n  - {}\n  - {address: 1.2.3}\n  - {address: a, network: n}\n`,
      ),
      [
        'error missing_field 8:5 spec.endpoints[0].address',
        'error bad_value 9:15 spec.endpoints[1].address',
        'warning ignored_field 10:18 spec.endpoints[2].network',
      ],
    ],
    [
      'endpoint ports that the entry does not have',
      se(`${HOST}${PORT}${STATIC}  endpoints: [{address: 10.0.0.1, ports: {htp: 1, http: 0}}]\n`),
      [
        'error bad_value 8:43 spec.endpoints[0].ports.htp',
        'error out_of_range 8:57 spec.endpoints[0].ports.http',
      ],
    ],
    [
      'a service account that would be another identity',
      se(`${HOST}${STATIC}  endpoints: [{address: 10.0.0.1, serviceAccount: a/../b}]\n`),
      ['error bad_value 7:51 spec.endpoints[0].serviceAccount'],
    ],
    [
      'a wildcard that DNS should resolve',
      se('  hosts: ["*.a.com"]\n  resolution: DNS\n'),
      ['error conflict 5:3 spec.hosts'],
    ],
    [
      'a CIDR block with DNS',
      se(`${HOST}  resolution: DNS\n  addresses: [10.0.0.0/8]\n`),
      ['error conflict 7:3 spec.addresses'],
    ],
    [
      'two endpoints with DNS_ROUND_ROBIN',
      se(`${HOST}  resolution: DNS_ROUND_ROBIN\n  endpoints: [{address: a.b}, {address: b.c}]\n`),
      ['error conflict 7:3 spec.endpoints'],
    ],
    [
      'several hosts on a TCP port',
      se('  hosts: [a.b, c.d]\n  resolution: DNS\n  ports: [{number: 80, name: a, protocol: TCP}]\n'),
      ['error conflict 5:3 spec.hosts'],
    ],
    [
      'several hosts on a TCP port, which resolution NONE does not look at',
      se('  hosts: [a.b, c.d]\n  ports: [{number: 80, name: a, protocol: TCP}]\n'),
      [],
    ],
    [
      'exports that are none',
      se(`${HOST}  exportTo: [foo, ".", "*", Foo, "~"]\n`),
      [
        'error conflict 6:19 spec.exportTo[1]',
        'error conflict 6:24 spec.exportTo[2]',
        'error bad_value 6:29 spec.exportTo[3]',
        'error conflict 6:34 spec.exportTo[4]',
      ],
    ],
    ['an entry that nobody sees', se(`${HOST}  exportTo: ["~"]\n`), []],
    [
      'an empty subject alternative name',
      se(`${HOST}  subjectAltNames: [""]\n`),
      ['error bad_value 6:21 spec.subjectAltNames[0]'],
    ],
    [
      'a misspelled field',
      se(`${HOST}  subjectAltName: [a]\n`),
      ['error unknown_field 6:3 spec.subjectAltName'],
    ],
    // WorkloadEntry
    [
      'a WorkloadEntry without spec',
      'apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: w}\n',
      ['error missing_field 1:1 spec'],
    ],
    ['a WorkloadEntry without address', we('{labels: {a: b}}'), ['error missing_field 4:1 spec.address']],
    [
      'a WorkloadEntry with a Unix socket',
      we('{address: "unix:///a"}'),
      ['error not_usable_yet 4:17 spec.address'],
    ],
    [
      'a WorkloadEntry with bad ports',
      we('{address: 10.0.0.1, ports: {http: "8080", H: 1, a: }}'),
      [
        'error wrong_type 4:41 spec.ports.http',
        'error bad_value 4:49 spec.ports.H',
        'error missing_field 4:55 spec.ports.a',
      ],
    ],
    ['a negative weight', we('{address: 10.0.0.1, weight: -1}'), ['error out_of_range 4:35 spec.weight']],
    [
      'a locality',
      we('{address: 10.0.0.1, locality: us/east}'),
      ['warning ignored_field 4:27 spec.locality'],
    ],
    [
      'a misspelled field of a WorkloadEntry',
      we('{address: 10.0.0.1, serviceAcount: a}'),
      ['error unknown_field 4:27 spec.serviceAcount'],
    ],
  ];
  for (const [name, text, expected] of table) {
    it(`refuses or notes ${name}`, () => {
      const { problems } = loadDocumentText(text, 'a.yaml');
      assert.deepEqual(foundProblems(problems), expected);
      assert.ok(problems.every(({ fix }) => fix !== ''));
    });
  }
});

describe('WorkloadEntry', () => {
  it('is read as Istio would write it', () => {
    const text = we(
      '{address: B.Example.com, serviceAccount: b, ports: {http: 8080}, labels: {app: b}, weight: 2}',
    );
    const { resources, problems } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(problems, []);
    assert.deepEqual(resources.workloadEntries[0]?.spec, {
      address: 'b.example.com',
      ports: { http: 8080 },
      labels: { app: 'b' },
      serviceAccount: 'b',
      weight: 2,
    });
  });

  it('is left out when it has no address that can be used', () => {
    assert.deepEqual(loadDocumentText(we('{address: "a b"}'), 'a.yaml').resources.workloadEntries, []);
  });
});
