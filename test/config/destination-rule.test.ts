import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import { foundProblems } from './found-problems.ts';

const dr = (spec: string): string =>
  `apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: foo}\nspec:\n  host: b\n${spec}`;
/** The `tls` of the whole rule; its fields begin in column 18 of line 6. */
const tls = (fields: string, more = ''): string => dr(`${more}  trafficPolicy: {tls: {${fields}}}\n`);

describe('DestinationRule', () => {
  it('is read with its modes, by port too', () => {
    const text = dr(`
  trafficPolicy:
    tls: {mode: MUTUAL, clientCertificate: c.pem, privateKey: /k.pem, caCertificates: ../ca.pem, sni: b.example.com, subjectAltNames: []}
    portLevelSettings:
    - port: {number: 80}
      tls: {mode: DISABLE}
    - port: {number: 81}
      tls: {mode: SIMPLE, insecureSkipVerify: true}
    - port: {number: 82}
      tls: {mode: ISTIO_MUTUAL, subjectAltNames: [spiffe://td/ns/a/sa/b]}
  exportTo: ["*"]
`);
    const { resources, problems } = loadDocumentText(text, '/mesh/rules/a.yaml');
    assert.deepEqual(problems, []);
    const [rule] = resources.destinationRules;
    assert.ok(rule !== undefined);
    assert.deepEqual([rule.host, rule.exportTo, rule.workloadSelector], ['b', ['*'], null]);
    const policy = rule.trafficPolicy;
    const blank = {
      clientCertificate: '',
      privateKey: '',
      caCertificates: '',
      subjectAltNames: null,
      sni: '',
      insecureSkipVerify: false,
    };
    assert.ok(policy?.tls);
    const { position, ...whole } = policy.tls;
    assert.equal(position.line, 8);
    assert.deepEqual(whole, {
      mode: 'MUTUAL',
      clientCertificate: '/mesh/rules/c.pem',
      privateKey: '/k.pem',
      caCertificates: '/mesh/ca.pem',
      subjectAltNames: [],
      sni: 'b.example.com',
      insecureSkipVerify: false,
    });
    assert.deepEqual(
      [...policy.ports].map(([port, { tls: one }]) => {
        assert.ok(one !== null);
        const { position: at, ...fields } = one;
        return [port, at.line, fields];
      }),
      [
        [80, 11, { ...blank, mode: 'DISABLE' }],
        [81, 13, { ...blank, mode: 'SIMPLE', insecureSkipVerify: true }],
        [82, 15, { ...blank, mode: 'ISTIO_MUTUAL', subjectAltNames: ['spiffe://td/ns/a/sa/b'] }],
      ],
    );
  });

  it('keeps a port entry without tls, which takes back what the rule says for all ports', () => {
    const text = dr(
      '  trafficPolicy: {tls: {mode: DISABLE}, portLevelSettings: [{port: {number: 80}, connectionPool: {}}]}\n',
    );
    const { resources } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(resources.destinationRules[0]?.trafficPolicy?.ports.get(80), { tls: null });
  });

  it('says nothing of TLS where there is no tls', () => {
    for (const rest of ['', '  trafficPolicy: {loadBalancer: {simple: RANDOM}}\n']) {
      const { resources } = loadDocumentText(dr(rest), 'a.yaml');
      assert.equal(resources.destinationRules[0]?.trafficPolicy?.tls ?? null, null);
    }
  });

  const table: [string, string, string[]][] = [
    ['no host', dr('').replace('  host: b\n', '  exportTo: []\n'), ['error missing_field 4:1 spec.host']],
    ['no spec', dr('').replace(/spec:[^]*/, ''), ['error missing_field 1:1 spec']],
    ['a host that is none', dr('').replace('host: b', 'host: b_c'), ['error bad_value 5:9 spec.host']],
    ['a host with a port', dr('').replace('host: b', 'host: "b:80"'), ['error bad_value 5:9 spec.host']],
    ['every host', dr('').replace('host: b', 'host: "*"'), []],
    ['a wildcard', dr('').replace('host: b', 'host: "*.Example.com"'), []],
    [
      'a policy that says nothing',
      dr('  trafficPolicy: {}\n'),
      ['error missing_field 6:3 spec.trafficPolicy'],
    ],
    [
      'a policy without effect',
      dr(
        '  trafficPolicy:\n    loadBalancer: {simple: ROUND_ROBIN}\n    connectionPool: {tcp: {maxConnections: 1}}\n    outlierDetection: {interval: 1s}\n    retryBudget: {percent: 1}\n',
      ),
      [
        'warning ignored_field 7:5 spec.trafficPolicy.loadBalancer',
        'warning ignored_field 8:5 spec.trafficPolicy.connectionPool',
        'warning ignored_field 9:5 spec.trafficPolicy.outlierDetection',
        'warning ignored_field 10:5 spec.trafficPolicy.retryBudget',
      ],
    ],
    [
      'a tunnel and a PROXY header, without which traffic would go by another way',
      dr('  trafficPolicy:\n    tunnel: {targetHost: a}\n    proxyProtocol: {version: V1}\n'),
      [
        'error not_enforced 7:5 spec.trafficPolicy.tunnel',
        'error not_enforced 8:5 spec.trafficPolicy.proxyProtocol',
      ],
    ],
    [
      'subsets, whatever they say of TLS',
      dr('  subsets:\n  - name: v1\n    trafficPolicy: {tls: {mode: MUTUAL}}\n'),
      ['warning ignored_field 6:3 spec.subsets'],
    ],
    [
      'a misspelled field in a subset',
      dr('  subsets:\n  - name: v1\n    trafficPolicy: {tls: {mod: MUTUAL}}\n'),
      [
        'warning ignored_field 6:3 spec.subsets',
        'error unknown_field 8:27 spec.subsets[0].trafficPolicy.tls.mod',
      ],
    ],
    ['a misspelled mode', tls('mode: MUTAL'), ['error bad_value 6:31 spec.trafficPolicy.tls.mode']],
    [
      'no mode',
      tls('sni: a'),
      [
        'warning missing_field 6:19 spec.trafficPolicy.tls.mode',
        'warning ignored_field 6:25 spec.trafficPolicy.tls.sni',
      ],
    ],
    [
      'MUTUAL without certificate and key',
      tls('mode: MUTUAL'),
      [
        'error missing_field 6:19 spec.trafficPolicy.tls.clientCertificate',
        'error missing_field 6:19 spec.trafficPolicy.tls.privateKey',
      ],
    ],
    [
      'MUTUAL with an empty key',
      tls('mode: MUTUAL, clientCertificate: a, privateKey: ""'),
      ['error missing_field 6:61 spec.trafficPolicy.tls.privateKey'],
    ],
    [
      'no verification by named roots and names',
      tls('mode: SIMPLE, insecureSkipVerify: true, caCertificates: a, subjectAltNames: [b]'),
      [
        'error conflict 6:65 spec.trafficPolicy.tls.caCertificates',
        'error conflict 6:84 spec.trafficPolicy.tls.subjectAltNames',
      ],
    ],
    [
      'no verification, as text',
      tls('mode: SIMPLE, insecureSkipVerify: "true"'),
      ['error wrong_type 6:59 spec.trafficPolicy.tls.insecureSkipVerify'],
    ],
    [
      'credentialName, which Istio would send out in plaintext',
      tls('mode: SIMPLE, credentialName: a'),
      ['error not_enforced 6:39 spec.trafficPolicy.tls.credentialName'],
    ],
    [
      'credentialName of a rule for some clients',
      tls('mode: SIMPLE, credentialName: a', '  workloadSelector: {matchLabels: {a: b}}\n'),
      ['error not_usable_yet 7:39 spec.trafficPolicy.tls.credentialName'],
    ],
    [
      'a revocation list',
      tls('mode: SIMPLE, caCrl: a'),
      ['error not_enforced 6:39 spec.trafficPolicy.tls.caCrl'],
    ],
    [
      'files that mesh mTLS does not read',
      tls('mode: ISTIO_MUTUAL, caCertificates: a, insecureSkipVerify: true'),
      [
        'warning ignored_field 6:45 spec.trafficPolicy.tls.caCertificates',
        'warning ignored_field 6:64 spec.trafficPolicy.tls.insecureSkipVerify',
      ],
    ],
    [
      'a client certificate that SIMPLE does not send',
      tls('mode: SIMPLE, clientCertificate: a'),
      ['warning ignored_field 6:39 spec.trafficPolicy.tls.clientCertificate'],
    ],
    [
      'an empty subject alternative name',
      tls('mode: SIMPLE, subjectAltNames: [""]'),
      ['error bad_value 6:57 spec.trafficPolicy.tls.subjectAltNames[0]'],
    ],
    [
      'a zero byte in a path',
      tls('mode: SIMPLE, caCertificates: "a\\0b"'),
      ['error bad_value 6:55 spec.trafficPolicy.tls.caCertificates'],
    ],
    [
      'a misspelled field of tls',
      tls('mode: SIMPLE, subjectAltName: [a]'),
      ['error unknown_field 6:39 spec.trafficPolicy.tls.subjectAltName'],
    ],
    [
      'ports that are none or twice',
      dr(
        '  trafficPolicy:\n    portLevelSettings:\n    - {tls: {mode: DISABLE}}\n    - {port: {}}\n    - {port: {number: 0}}\n    - {port: {number: 80}}\n    - {port: {number: 80}}\n    - {port: 80}\n',
      ),
      [
        'error missing_field 8:7 spec.trafficPolicy.portLevelSettings[0].port',
        'error missing_field 9:8 spec.trafficPolicy.portLevelSettings[1].port',
        'error out_of_range 10:23 spec.trafficPolicy.portLevelSettings[2].port.number',
        'error conflict 12:8 spec.trafficPolicy.portLevelSettings[4].port',
        'error wrong_type 13:14 spec.trafficPolicy.portLevelSettings[5].port',
      ],
    ],
    [
      'TLS of a port that cannot be',
      dr(
        '  trafficPolicy:\n    portLevelSettings:\n    - port: {number: 80}\n      tls: {mode: MUTUAL, privateKey: a}\n',
      ),
      ['error missing_field 9:7 spec.trafficPolicy.portLevelSettings[0].tls.clientCertificate'],
    ],
    [
      'labels as ServiceEntry has them',
      dr('  workloadSelector: {labels: {a: b}}\n'),
      ['warning empty 6:3 spec.workloadSelector', 'error unknown_field 6:22 spec.workloadSelector.labels'],
    ],
    [
      'an export of a rule for some clients',
      dr('  workloadSelector: {matchLabels: {a: b}}\n  exportTo: ["*"]\n'),
      ['error conflict 7:3 spec.exportTo'],
    ],
    [
      'an export to the own namespace of a rule for some clients',
      dr('  workloadSelector: {matchLabels: {a: b}}\n  exportTo: [foo]\n'),
      [],
    ],
    ['an export to nobody', dr('  exportTo: ["~"]\n'), ['error bad_value 6:14 spec.exportTo[0]']],
  ];
  for (const [name, text, expected] of table) {
    it(`refuses or notes ${name}`, () => {
      const { problems } = loadDocumentText(text, 'a.yaml');
      assert.deepEqual(foundProblems(problems), expected);
      assert.ok(problems.every(({ fix }) => fix !== ''));
    });
  }

  it('says what a field without effect leaves as it is', () => {
    const { problems } = loadDocumentText(dr('  trafficPolicy: {connectionPool: {}}\n'), 'a.yaml');
    assert.match(problems[0]?.message ?? '', /^connectionPool has no effect: ./);
  });
});
