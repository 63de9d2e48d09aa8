import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import { foundProblems } from './found-problems.ts';

const sidecar = (spec: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: s, namespace: foo}\nspec:\n${spec}`;
const ingress = (fields: string): string => sidecar(`  ingress:\n  - {${fields}}\n`);
const egress = (fields: string): string => sidecar(`  egress:\n  - {${fields}}\n`);

describe('Sidecar', () => {
  it('is read with its listeners', () => {
    const text = sidecar(`  workloadSelector: {labels: {app: a}}
  ingress:
  - port: {number: 9080, protocol: HTTP, name: http}
    captureMode: NONE
    bind: 127.0.0.1
    defaultEndpoint: 127.0.0.1:8080
  - port: {number: 0}
    defaultEndpoint: "[::1]:8081"
  - port: {number: 0, protocol: tcp}
    defaultEndpoint: localhost:8082
  egress:
  - port: {number: 8000, protocol: HTTP_PROXY, name: proxy}
    bind: "::1"
    captureMode: NONE
    hosts: ["./*", "*/Reviews.foo.svc.cluster.local"]
  - hosts: ["~/*", "istio-system/*.example.com"]
  outboundTrafficPolicy: {mode: ALLOW_ANY}
`);
    const { resources, problems } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(problems, []);
    const [read] = resources.sidecars;
    assert.ok(read !== undefined);
    assert.deepEqual(read.workloadSelector, { app: 'a' });
    assert.equal(read.outboundTrafficPolicy, 'ALLOW_ANY');
    assert.deepEqual(
      read.ingress.map(({ position, ...rest }) => [position.line, rest]),
      [
        [
          7,
          {
            port: { number: 9080, name: 'http', protocol: 'HTTP' },
            bind: '127.0.0.1',
            captureMode: 'NONE',
            defaultEndpoint: { host: '127.0.0.1', port: 8080 },
          },
        ],
        [
          11,
          {
            port: { number: 0, name: '', protocol: null },
            bind: '',
            captureMode: 'DEFAULT',
            defaultEndpoint: { host: '::1', port: 8081 },
          },
        ],
        [
          13,
          {
            port: { number: 0, name: '', protocol: 'TCP' },
            bind: '',
            captureMode: 'DEFAULT',
            defaultEndpoint: { host: 'localhost', port: 8082 },
          },
        ],
      ],
    );
    assert.deepEqual(
      read.egress?.map(({ position, ...rest }) => [position.line, rest]),
      [
        [
          16,
          {
            port: { number: 8000, name: 'proxy', protocol: 'HTTP_PROXY' },
            bind: '::1',
            captureMode: 'NONE',
            hosts: [
              { namespace: '.', host: '*' },
              { namespace: '*', host: 'reviews.foo.svc.cluster.local' },
            ],
          },
        ],
        [
          20,
          {
            port: null,
            bind: '',
            captureMode: 'DEFAULT',
            hosts: [
              { namespace: '~', host: '*' },
              { namespace: 'istio-system', host: '*.example.com' },
            ],
          },
        ],
      ],
    );
  });

  it('keeps an egress port that others redirect to', () => {
    const { resources, problems } = loadDocumentText(
      egress('port: {number: 3306, protocol: MYSQL}, hosts: ["./*"]'),
      'a.yaml',
    );
    assert.deepEqual(problems, []);
    assert.equal(resources.sidecars[0]?.egress?.[0]?.port?.protocol, 'MYSQL');
  });

  it('says nothing of what may be reached where egress is absent or empty', () => {
    for (const rest of ['', '  egress: []\n']) {
      const { resources, problems } = loadDocumentText(
        sidecar(`  outboundTrafficPolicy: {}\n${rest}`),
        'a.yaml',
      );
      assert.deepEqual(problems, []);
      const [read] = resources.sidecars;
      // The API's zero value.
      assert.deepEqual([read?.egress, read?.outboundTrafficPolicy], [null, 'REGISTRY_ONLY']);
    }
  });

  it('reads the app endpoint in all forms that Istio has', () => {
    for (const [written, host] of [
      ['127.0.0.1:80', '127.0.0.1'],
      ['0.0.0.0:80', '0.0.0.0'],
      ['[::1]:80', '::1'],
      ['[::]:80', '::'],
      ['localhost:80', 'localhost'],
      [':80', '127.0.0.1'],
    ] as const) {
      const { resources, problems } = loadDocumentText(
        ingress(`port: {number: 1}, defaultEndpoint: "${written}"`),
        'a.yaml',
      );
      assert.deepEqual(problems, []);
      assert.deepEqual(resources.sidecars[0]?.ingress[0]?.defaultEndpoint, { host, port: 80 });
    }
  });

  const table: [string, string, string[]][] = [
    ['no spec', sidecar('').replace(/spec:[^]*/, ''), ['error missing_field 1:1 spec']],
    ['a selector alone', sidecar('  workloadSelector: {labels: {a: b}}\n'), ['error missing_field 4:1 spec']],
    [
      'a selector without labels',
      sidecar('  workloadSelector: {}\n  outboundTrafficPolicy: {}\n'),
      ['warning empty 5:3 spec.workloadSelector'],
    ],
    ['a listener without port', ingress('bind: 127.0.0.1'), ['error missing_field 6:5 spec.ingress[0].port']],
    [
      'a port without number',
      ingress('port: {name: a}'),
      ['error missing_field 6:6 spec.ingress[0].port.number'],
    ],
    [
      'a port past the range',
      ingress('port: {number: 65536}'),
      ['error out_of_range 6:21 spec.ingress[0].port.number'],
    ],
    [
      'port 0 without the port of the app',
      ingress('port: {number: 0}'),
      ['error missing_field 6:5 spec.ingress[0].defaultEndpoint'],
    ],
    [
      'port 0 that somebody should redirect to',
      ingress('port: {number: 0}, captureMode: IPTABLES, defaultEndpoint: "127.0.0.1:1"'),
      ['error conflict 6:21 spec.ingress[0].port.number'],
    ],
    [
      'one port twice',
      sidecar('  ingress:\n  - {port: {number: 80}}\n  - {port: {number: 80}, bind: 10.0.0.1}\n'),
      ['error conflict 7:21 spec.ingress[1].port.number'],
    ],
    [
      'a target port',
      ingress('port: {number: 80, targetPort: 8080}'),
      ['error bad_value 6:25 spec.ingress[0].port.targetPort'],
    ],
    [
      'a name, a protocol and a mode that are none',
      ingress('port: {number: 80, name: A, protocol: HTTP_PROXY}, captureMode: ALL'),
      [
        'error bad_value 6:31 spec.ingress[0].port.name',
        'error bad_value 6:44 spec.ingress[0].port.protocol',
        'error bad_value 6:70 spec.ingress[0].captureMode',
      ],
    ],
    [
      'UDP',
      ingress('port: {number: 80, protocol: UDP}'),
      ['error bad_value 6:35 spec.ingress[0].port.protocol'],
    ],
    [
      'addresses that are none',
      ingress('port: {number: 80}, bind: localhost, defaultEndpoint: "10.0.0.1:80"'),
      ['error bad_value 6:32 spec.ingress[0].bind', 'error bad_value 6:60 spec.ingress[0].defaultEndpoint'],
    ],
    [
      'an app without port, and with none that can be',
      sidecar(
        '  ingress:\n  - {port: {number: 1}, defaultEndpoint: 127.0.0.1}\n  - {port: {number: 2}, defaultEndpoint: "127.0.0.1:0"}\n',
      ),
      [
        'error bad_value 6:42 spec.ingress[0].defaultEndpoint',
        'error out_of_range 7:42 spec.ingress[1].defaultEndpoint',
      ],
    ],
    [
      'Unix sockets',
      ingress('port: {number: 80}, bind: "unix:///a", defaultEndpoint: "unix:///b"'),
      [
        'error not_usable_yet 6:32 spec.ingress[0].bind',
        'error not_usable_yet 6:62 spec.ingress[0].defaultEndpoint',
      ],
    ],
    [
      'TLS that mesh mTLS would take the place of',
      ingress('port: {number: 80}, tls: {mode: SIMPLE}, connectionPool: {tcp: {}}'),
      [
        'error not_enforced 6:26 spec.ingress[0].tls',
        'warning ignored_field 6:47 spec.ingress[0].connectionPool',
      ],
    ],
    [
      'a pool of all listeners',
      sidecar('  inboundConnectionPool: {http: {}}\n'),
      ['warning ignored_field 5:3 spec.inboundConnectionPool'],
    ],
    ['egress without hosts', egress('port: {number: 80}'), ['error missing_field 6:5 spec.egress[0].hosts']],
    ['egress with no hosts', egress('hosts: []'), ['error missing_field 6:6 spec.egress[0].hosts']],
    ['egress hosts that are no list', egress('hosts: "./*"'), ['error wrong_type 6:13 spec.egress[0].hosts']],
    [
      'egress hosts that are none',
      egress('hosts: [a.b, "Foo/*", "/*", "foo/", foo/b, "foo/a*.b", "~/a.b", "./a/b.c"]'),
      [
        'error bad_value 6:14 spec.egress[0].hosts[0]',
        'error bad_value 6:19 spec.egress[0].hosts[1]',
        'error bad_value 6:28 spec.egress[0].hosts[2]',
        'error bad_value 6:34 spec.egress[0].hosts[3]',
        'error bad_value 6:42 spec.egress[0].hosts[4]',
        'error bad_value 6:49 spec.egress[0].hosts[5]',
        'error bad_value 6:61 spec.egress[0].hosts[6]',
        'error bad_value 6:70 spec.egress[0].hosts[7]',
      ],
    ],
    [
      'the entry for every port before others',
      sidecar('  egress:\n  - {hosts: ["*/*"]}\n  - {port: {number: 80}, hosts: ["*/*"]}\n'),
      ['error conflict 6:6 spec.egress[0].hosts'],
    ],
    [
      'an outbound policy that is none, and a proxy that traffic would pass by',
      sidecar('  outboundTrafficPolicy: {mode: ANY, egressProxy: {host: a}}\n'),
      [
        'error bad_value 5:33 spec.outboundTrafficPolicy.mode',
        'error not_enforced 5:38 spec.outboundTrafficPolicy.egressProxy',
      ],
    ],
    ['a misspelled field', sidecar('  ingres: []\n'), ['error unknown_field 5:3 spec.ingres']],
    [
      'a misspelled field of a listener',
      ingress('port: {number: 80}, defaultEndpont: a'),
      ['error unknown_field 6:26 spec.ingress[0].defaultEndpont'],
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
