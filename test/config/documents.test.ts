import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import { formatProblem } from '../../src/config/problem.ts';

/** `severity code line:column path` of each problem. */
function problemsOf(text: string): string[] {
  return loadDocumentText(text, '/mesh/a.yaml').problems.map((problem) =>
    `${problem.severity} ${problem.code} ${problem.line}:${problem.column} ${problem.path}`.trim(),
  );
}

const pa = (rest: string, version = 'v1'): string =>
  `apiVersion: security.istio.io/${version}\nkind: PeerAuthentication\nmetadata:\n  name: p\n  namespace: foo\n${rest}`;
const named = (name: string, time: string): string =>
  `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: ${name}${time}}\n`;
const service = (rest: string): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: foo}\nspec:\n  selector: {app: a}\n${rest}`;

describe('Istio documents that are refused or noted', () => {
  const table: [string, string, string[]][] = [
    // PeerAuthentication
    [
      'a mode that is misspelled',
      pa('spec:\n  mtls:\n    mode: STRCT\n'),
      ['error bad_value 8:11 spec.mtls.mode'],
    ],
    ['a mode in lower case', pa('spec: {mtls: {mode: strict}}\n'), ['error bad_value 6:21 spec.mtls.mode']],
    ['a mode that is no text', pa('spec: {mtls: {mode: 1}}\n'), ['error wrong_type 6:21 spec.mtls.mode']],
    ['mtls that is no mapping', pa('spec:\n  mtls: STRICT\n'), ['error wrong_type 7:9 spec.mtls']],
    ['a misspelled field', pa('spec:\n  mtl: {mode: STRICT}\n'), ['error unknown_field 7:3 spec.mtl']],
    ['a misspelled spec', pa('Spec:\n  mtls: {mode: STRICT}\n'), ['error unknown_field 6:1 Spec']],
    [
      'matchExpressions',
      pa('spec:\n  selector:\n    matchExpressions: []\n'),
      ['error unknown_field 8:5 spec.selector.matchExpressions'],
    ],
    [
      'ports without a selector',
      pa('spec:\n  portLevelMtls:\n    8080: {mode: DISABLE}\n'),
      ['error conflict 7:3 spec.portLevelMtls'],
    ],
    [
      'ports with an empty selector',
      pa('spec:\n  selector: {matchLabels: {}}\n  portLevelMtls: {8080: {mode: DISABLE}}\n'),
      ['error conflict 8:3 spec.portLevelMtls'],
    ],
    [
      'no ports',
      pa('spec:\n  selector: {matchLabels: {app: a}}\n  portLevelMtls: {}\n'),
      ['error bad_value 8:3 spec.portLevelMtls'],
    ],
    [
      'ports outside the range',
      pa(
        'spec:\n  selector: {matchLabels: {app: a}}\n  portLevelMtls:\n    0: {}\n    65536: {}\n    http: {}\n    08: {}\n',
      ),
      [
        'error out_of_range 9:5 spec.portLevelMtls.0',
        'error out_of_range 10:5 spec.portLevelMtls.65536',
        'error out_of_range 11:5 spec.portLevelMtls.http',
        'error out_of_range 12:5 spec.portLevelMtls.08',
      ],
    ],
    [
      'a star in a selector',
      pa('spec:\n  selector:\n    matchLabels: {app: "a*", "b*": c}\n'),
      [
        'error bad_value 8:19 spec.selector.matchLabels.app',
        'error bad_value 8:30 spec.selector.matchLabels.b*',
      ],
    ],
    [
      'a label that is no text',
      pa('spec:\n  selector:\n    matchLabels: {version: 1}\n'),
      ['error wrong_type 8:28 spec.selector.matchLabels.version'],
    ],
    [
      'no name',
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {}\n',
      ['error missing_field 3:1 metadata.name'],
    ],
    [
      'no metadata',
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n',
      ['error missing_field 1:1 metadata'],
    ],
    [
      'a bad creation time',
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, creationTimestamp: yesterday}\n',
      ['error bad_value 3:40 metadata.creationTimestamp'],
    ],
    ['the same resource twice', `${pa('')}---\n${pa('')}`, ['error duplicate_resource 10:9 metadata.name']],
    // kinds, groups, versions
    [
      'a wrong field of a policy',
      'apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: a}\nspec:\n  jwtRules:\n  - issuer: https://a\n    jwksUrl: x\n',
      ['error unknown_field 7:5 spec.jwtRules[0].jwksUrl'],
    ],
    [
      'a kind without effect',
      '# c\napiVersion: networking.istio.io/v1beta1\nkind: VirtualService\nmetadata: {name: a}\n',
      ['warning ignored_kind 3:1 kind'],
    ],
    [
      'a wrong field deep in one',
      'apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  http:\n  - route:\n    - destination: {hst: a}\n',
      ['warning ignored_kind 2:1 kind', 'error unknown_field 7:21 spec.http[0].route[0].destination.hst'],
    ],
    [
      'a misspelled kind',
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentification\nmetadata: {name: a}\n',
      ['error unknown_kind 2:7 kind'],
    ],
    [
      'a misspelled group',
      'apiVersion: securty.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\n',
      ['error unknown_kind 1:13 apiVersion'],
    ],
    [
      'a policy without a group',
      'apiVersion: v1\nkind: PeerAuthentication\nmetadata: {name: a}\n',
      ['error unknown_kind 1:13 apiVersion'],
    ],
    [
      'a group that Istio had once',
      'apiVersion: authentication.istio.io/v1alpha1\nkind: Policy\nmetadata: {name: a}\n',
      ['error unknown_kind 1:13 apiVersion'],
    ],
    [
      'a version that never was',
      'apiVersion: security.istio.io/v2\nkind: PeerAuthentication\nmetadata: {name: a}\n',
      ['error unknown_version 1:13 apiVersion'],
    ],
    [
      'other groups, counted once',
      'apiVersion: apps/v1\nkind: Deployment\n---\napiVersion: policy.linkerd.io/v1\nkind: AuthorizationPolicy\n---\napiVersion: apps/v1\nkind: Deployment\n',
      ['info skipped_kinds 1:1'],
    ],
    ['no kind', 'apiVersion: v1\n', ['error not_a_document 1:1']],
    ['no apiVersion', 'kind: Service\n', ['error not_a_document 1:1']],
    ['a text', 'hello\n', ['error not_a_document 1:1']],
    ['a list', '- a\n', ['error not_a_document 1:1']],
    [
      'a List whose items are misspelled',
      'apiVersion: v1\nkind: List\nitmes:\n- 7\n',
      ['error missing_field 1:1 items', 'error unknown_field 3:1 itmes'],
    ],
    ['a bad item of a List', 'apiVersion: v1\nkind: List\nitems:\n- 7\n', ['error not_a_document 4:3']],
    // Service
    [
      'a Service port without number',
      service('  ports:\n  - name: http\n'),
      ['error missing_field 7:5 spec.ports[0].port'],
    ],
    [
      'a Service port in quotes',
      service('  ports:\n  - port: "80"\n'),
      ['error wrong_type 7:11 spec.ports[0].port'],
    ],
    [
      'a Service port in octal',
      service('  ports:\n  - port: 010\n'),
      ['error wrong_type 7:11 spec.ports[0].port'],
    ],
    [
      'a Service port past the range',
      service('  ports:\n  - port: 65536\n'),
      ['error out_of_range 7:11 spec.ports[0].port'],
    ],
    [
      'a target port that is text of digits',
      service('  ports:\n  - {port: 80, targetPort: "8080"}\n'),
      ['error bad_value 7:28 spec.ports[0].targetPort'],
    ],
    [
      'several ports without names',
      service('  ports:\n  - port: 80\n  - {port: 81, name: x}\n'),
      ['error missing_field 7:5 spec.ports[0].name'],
    ],
    [
      'the same port name and number twice',
      service('  ports:\n  - {port: 80, name: x}\n  - {port: 80, name: x}\n'),
      ['error conflict 8:12 spec.ports[1].port', 'error conflict 8:22 spec.ports[1].name'],
    ],
    [
      'an unknown protocol',
      service('  ports:\n  - {port: 80, protocol: HTTP}\n'),
      ['error bad_value 7:26 spec.ports[0].protocol'],
    ],
    ['a misspelled Service field', service('  prots: []\n'), ['error unknown_field 6:3 spec.prots']],
    ['service in lower case', 'apiVersion: v1\nkind: service\n', ['error unknown_kind 2:7 kind']],
  ];
  for (const [name, text, expected] of table) {
    it(name, () => assert.deepEqual(problemsOf(text), expected));
  }

  it('writes a problem as FILE:LINE:COL: PATH: message; fix', () => {
    const [problem] = loadDocumentText(pa('spec:\n  mtls:\n    mode: STRCT\n'), 'a.yaml').problems;
    assert.ok(problem !== undefined);
    assert.equal(
      formatProblem(problem),
      'a.yaml:8:11: spec.mtls.mode: "STRCT" is not one of UNSET, DISABLE, PERMISSIVE, STRICT; did you mean "STRICT"?',
    );
  });

  it('keeps what a file holds out of the shape of a message', () => {
    const evil = `x\u001b[31m${'A'.repeat(5_000)}`;
    const [problem] = loadDocumentText(
      pa(`spec: {mtls: {mode: ${JSON.stringify(evil)}}}\n`),
      'a.yaml',
    ).problems;
    assert.ok(problem !== undefined);
    assert.ok(formatProblem(problem).length < 400);
    assert.ok(!formatProblem(problem).includes('\u001b'));
  });
});

describe('Istio documents that are taken', () => {
  it('reads a PeerAuthentication of any version, as Istio would write it', () => {
    for (const version of ['v1', 'v1beta1', 'v1alpha3']) {
      const text = pa(
        `  resourceVersion: "17"\n  generation: 3\n  managedFields: [{manager: x}]\n  creationTimestamp: "2026-01-31T12:00:00Z"\nspec:\n  # the app\n  selector:\n    matchLabels:\n      app.kubernetes.io/name: reviews\n  mtls:\n    mode: STRICT\n  portLevelMtls:\n    8080:\n      mode: PERMISSIVE\n    "15021":\n      mode: DISABLE # health checks\n    9000: {}\n    9001:\nstatus:\n  conditions: []\n`,
        version,
      );
      const loaded = loadDocumentText(text, '/mesh/a.yaml');
      assert.deepEqual(loaded.problems, []);
      const [policy] = loaded.resources.peerAuthentications;
      assert.ok(policy !== undefined);
      assert.equal(policy.mode, 'STRICT');
      assert.deepEqual(policy.matchLabels, { 'app.kubernetes.io/name': 'reviews' });
      assert.deepEqual(
        [...policy.portModes],
        [
          [8080, 'PERMISSIVE'],
          [15021, 'DISABLE'],
          [9000, 'UNSET'],
          [9001, 'UNSET'],
        ],
      );
      assert.equal(policy.createdAtMs, Date.UTC(2026, 0, 31, 12));
      assert.deepEqual([policy.namespace, policy.namespaceGiven, policy.position.line], ['foo', true, 1]);
      assert.deepEqual(policy.positionOf('spec.portLevelMtls.15021.mode'), {
        file: '/mesh/a.yaml',
        line: 21,
        column: 13,
      });
      assert.equal(policy.positionOf('spec.selector.matchLabels.app.kubernetes.io/name').line, 14);
      assert.equal(policy.positionOf('spec.selector.nothing.here').line, 12);
    }
  });

  it('takes an empty spec, a missing one and an empty mtls as set by nobody', () => {
    for (const [rest, mode] of [
      ['', null],
      ['spec: {}\n', null],
      ['spec:\n', null],
      ['spec: {mtls: {}}\n', 'UNSET'],
      ['spec: {mtls: null}\n', null],
    ] as const) {
      const loaded = loadDocumentText(pa(rest), 'a.yaml');
      assert.deepEqual(loaded.problems, []);
      assert.equal(loaded.resources.peerAuthentications[0]?.mode, mode);
      assert.equal(loaded.resources.peerAuthentications[0]?.matchLabels, null);
    }
  });

  it('gives a document without namespace the one of its entry, and says so', () => {
    const text = 'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\n';
    const { resources } = loadDocumentText(text, 'a.yaml', 'production');
    const [policy] = resources.peerAuthentications;
    assert.deepEqual([policy?.namespace, policy?.namespaceGiven], ['production', false]);
  });

  it('reads Lists, typed lists and JSON', () => {
    const item = { apiVersion: 'security.istio.io/v1', kind: 'PeerAuthentication', metadata: { name: 'a' } };
    const list = { apiVersion: 'v1', kind: 'List', metadata: { resourceVersion: '' }, items: [item] };
    const typed = {
      apiVersion: 'security.istio.io/v1',
      kind: 'PeerAuthenticationList',
      items: [{ ...item, metadata: { name: 'b' } }],
    };
    const text = `${JSON.stringify(list, null, '\t')}\n---\n${JSON.stringify(typed)}\n`;
    const loaded = loadDocumentText(text, 'a.json');
    assert.deepEqual(loaded.problems, []);
    assert.deepEqual(
      loaded.resources.peerAuthentications.map(({ name }) => name),
      ['a', 'b'],
    );
  });

  it('reads the Services of the samples that Istio ships', () => {
    const text = `
apiVersion: v1
kind: ServiceAccount
metadata:
  name: httpbin
---
apiVersion: v1
kind: Service
metadata:
  name: httpbin
  labels:
    app: httpbin
    service: httpbin
spec:
  clusterIP: 10.0.0.7
  ports:
  - name: http
    port: 8000
    targetPort: 8080
  - name: tls
    port: 443
    targetPort: https-alt
    protocol: TCP
    appProtocol: https
    nodePort: 30443
  selector:
    app: httpbin
---
apiVersion: v1
kind: Service
metadata:
  name: outside
spec:
  type: ExternalName
  externalName: example.com
  selector: {app: httpbin}
`;
    const { resources, problems, skippedKinds } = loadDocumentText(text, 'httpbin.yaml', 'foo');
    assert.deepEqual(
      problems.map(({ severity }) => severity),
      ['info'],
    );
    assert.deepEqual([...skippedKinds], [['v1 ServiceAccount', 1]]);
    const [httpbin, outside] = resources.services;
    assert.deepEqual(httpbin?.selector, { app: 'httpbin' });
    assert.deepEqual(
      httpbin?.ports.map(({ position, ...port }) => [port, position.line]),
      [
        [{ name: 'http', port: 8000, targetPort: 8080, protocol: 'TCP', appProtocol: null }, 17],
        [{ name: 'tls', port: 443, targetPort: 'https-alt', protocol: 'TCP', appProtocol: 'https' }, 20],
      ],
    );
    assert.equal(outside?.selector, null);
  });

  it('takes a selector that is empty for none, and the port for a missing target port', () => {
    const { resources } = loadDocumentText(
      'apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {}, ports: [{port: 80}]}\n',
      'a',
    );
    assert.equal(resources.services[0]?.selector, null);
    assert.equal(resources.services[0]?.ports[0]?.targetPort, 80);
  });

  it('orders by creation time, then by place', () => {
    const text = [
      named('none-1', ''),
      named('young', ', creationTimestamp: 2026-02-01T00:00:00Z'),
      named('none-2', ', creationTimestamp: null'),
      named('old', ', creationTimestamp: "2026-01-01T00:00:00+01:00"'),
      named('equal', ', creationTimestamp: 2026-02-01T00:00:00Z'),
    ].join('---\n');
    const { resources } = loadDocumentText(text, 'a.yaml');
    assert.deepEqual(
      resources.peerAuthentications.map(({ name }) => name),
      ['old', 'young', 'equal', 'none-1', 'none-2'],
    );
  });
});
