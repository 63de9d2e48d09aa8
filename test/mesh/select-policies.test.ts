import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { buildText, documentOf, warningsIn } from './policy-fixture.ts';

const policy = (metadata: string, spec = ''): string => documentOf('AuthorizationPolicy', metadata, spec);
const OURS = 'selector: {matchLabels: {app: httpbin}}';
const OTHERS = 'selector: {matchLabels: {app: sleep}}';
const TARGET = 'targetRefs: [{kind: Gateway, name: g}]';

/** `scope namespace/name` of what applies. */
function applying(text: string, namespace = 'foo'): string[] {
  const { policies } = buildText(text, { workload: { namespace } }).snapshot.authorization;
  return policies.map((one) => `${one.scope} ${one.namespace}/${one.name}`);
}

describe('the policies that apply to a workload', () => {
  const rows: [string, string, string[]][] = [
    ['one of its namespace', policy('name: a, namespace: foo'), ['namespace foo/a']],
    ['one of its namespace that selects it', policy('name: a, namespace: foo', OURS), ['workload foo/a']],
    ['one of its namespace for others', policy('name: a, namespace: foo', OTHERS), []],
    [
      'one with a selector of no labels',
      policy('name: a, namespace: foo', 'selector: {}'),
      ['namespace foo/a'],
    ],
    [
      'one that wants a label more',
      policy('name: a, namespace: foo', 'selector: {matchLabels: {app: httpbin, tier: web}}'),
      [],
    ],
    [
      'one that wants two of its labels',
      policy('name: a, namespace: foo', 'selector: {matchLabels: {app: httpbin, version: v1}}'),
      ['workload foo/a'],
    ],
    ['one of the root namespace', policy('name: a, namespace: istio-system'), ['mesh istio-system/a']],
    [
      'one of the root namespace that selects it, unlike PeerAuthentication',
      policy('name: a, namespace: istio-system', OURS),
      ['workload istio-system/a'],
    ],
    ['one of the root namespace for others', policy('name: a, namespace: istio-system', OTHERS), []],
    ['one of another namespace', policy('name: a, namespace: bar'), []],
    ['one of another namespace that would select it', policy('name: a, namespace: bar', OURS), []],
    ['one for a gateway', policy('name: a, namespace: foo', TARGET), []],
    [
      'several, all of them',
      policy('name: b, namespace: foo') +
        policy('name: a, namespace: istio-system') +
        policy('name: a, namespace: foo', OURS),
      ['namespace foo/b', 'mesh istio-system/a', 'workload foo/a'],
    ],
  ];
  for (const [name, text, expected] of rows) {
    it(`are, of ${name}: ${expected.length === 0 ? 'none' : expected.join(', ')}`, () => {
      assert.deepEqual(applying(text), expected);
    });
  }

  it('are counted once where its namespace is the root namespace', () => {
    const text =
      policy('name: a, namespace: istio-system') + policy('name: b, namespace: istio-system', OURS);
    assert.deepEqual(applying(text, 'istio-system'), ['mesh istio-system/a', 'workload istio-system/b']);
  });

  it('follow MeshConfig.rootNamespace', () => {
    const text = `meshConfig: {rootNamespace: root}\n---\n${policy('name: a, namespace: root')}${policy('name: b, namespace: istio-system')}`;
    assert.deepEqual(applying(text), ['mesh root/a']);
  });

  it('come oldest first', () => {
    const at = (name: string, day: number): string =>
      policy(`name: ${name}, namespace: foo, creationTimestamp: "2026-01-0${day}T00:00:00Z"`);
    assert.deepEqual(applying(policy('name: none, namespace: foo') + at('late', 2) + at('early', 1)), [
      'namespace foo/early',
      'namespace foo/late',
      'namespace foo/none',
    ]);
  });

  it('carry what was written', () => {
    const text = policy(
      'name: a, namespace: foo, annotations: {istio.io/dry-run: "true"}',
      'action: DENY, rules: [{to: [{operation: {ports: ["80"]}}]}]',
    );
    const built = buildText(text);
    const [planned] = built.snapshot.authorization.policies;
    const { rules, ...rest } = planned ?? { rules: [] };
    assert.deepEqual(rest, {
      namespace: 'foo',
      name: 'a',
      scope: 'namespace',
      action: 'DENY',
      provider: '',
      providerProblem: '',
      dryRun: true,
    });
    assert.deepEqual(rules[0]?.to[0]?.ports, ['80']);
    assert.deepEqual(built.snapshot.authorization.providers, {});
    assert.deepEqual(warningsIn(built), []);
  });

  it('are the same text for the same documents, and can be cloned', () => {
    const text = policy('name: a, namespace: foo', OURS) + policy('name: b, namespace: istio-system');
    const [one, two] = [buildText(text).snapshot, buildText(text).snapshot];
    assert.equal(JSON.stringify(one.authorization), JSON.stringify(two.authorization));
    assert.deepEqual(structuredClone(one), one);
  });

  const warned: [string, string, string[]][] = [
    [
      'a policy that is in "default" only for want of a namespace',
      policy('name: a', 'action: DENY, rules: [{from: [{source: {namespaces: [x]}}]}]'),
      ['warning selects_nothing 3:1 metadata'],
    ],
    ['one of them that would not select it', policy('name: a', OTHERS), []],
    ['one that was meant for another namespace', policy('name: a, namespace: default'), []],
    [
      'one for a gateway',
      policy('name: a, namespace: foo', TARGET),
      ['warning gateway_policy 4:8 spec.targetRefs'],
    ],
    ['one for a gateway of another namespace', policy('name: a, namespace: bar', TARGET), []],
    [
      'a RequestAuthentication without namespace',
      documentOf('RequestAuthentication', 'name: a', 'jwtRules: [{issuer: "https://a"}]'),
      ['warning selects_nothing 3:1 metadata'],
    ],
  ];
  for (const [name, text, expected] of warned) {
    it(`make a warning of ${name}: ${expected.length}`, () => {
      assert.deepEqual(warningsIn(buildText(text)), expected);
    });
  }

  it('of 10,000 that select others cost next to nothing', () => {
    const text = Array.from({ length: 10_000 }, (_, index) =>
      policy(`name: p${index}, namespace: foo`, OTHERS),
    ).join('');
    assert.deepEqual(applying(text), []);
  });
});

describe('principals of trust domains', () => {
  const MESH = 'meshConfig: {trustDomain: td1, trustDomainAliases: [old]}\n---\n';
  const rows: [string, boolean][] = [
    ['td1/ns/foo/sa/a', false],
    ['old/ns/foo/sa/a', false],
    ['old/ns/foo/*', false],
    ['cluster.local/ns/foo/sa/a', false],
    ['cluster.local/ns/foo/sa/*', false],
    ['cluster.local/ns/foo/*', true],
    ['cluster.local/*', true],
    ['other/ns/foo/sa/a', true],
    ['other/ns/foo/*', true],
    ['*', false],
    ['*/ns/foo/sa/a', false],
    ['*-td/ns/foo/sa/a', false],
    ['td*', false],
  ];
  for (const [principal, expected] of rows) {
    it(`are ${expected ? 'doubtful' : 'good'} for ${principal}`, () => {
      const built = buildText(
        `${MESH}${policy('name: a, namespace: foo', `rules: [{from: [{source: {namespaces: [x]}}, {source: {principals: ["td1/ns/a/sa/b", "${principal}"]}}]}]`)}`,
      );
      const at = 'spec.rules[0].from[1].source.principals[1]';
      assert.deepEqual(warningsIn(built), expected ? [`warning unknown_trust_domain 6:93 ${at}`] : []);
    });
  }

  it('are looked at in conditions and in what is excluded, too', () => {
    const rules =
      '{from: [{source: {notPrincipals: [x/y]}}], when: [{key: source.principal, values: [x/y], notValues: [x/y]}]}';
    const built = buildText(`${MESH}${policy('name: a, namespace: foo', `rules: [${rules}]`)}`);
    assert.deepEqual(
      built.warnings.map(({ path }) => path),
      [
        'spec.rules[0].from[0].source.notPrincipals[0]',
        'spec.rules[0].when[0].values[0]',
        'spec.rules[0].when[0].notValues[0]',
      ],
    );
  });

  it('say how to write the default in a mesh of another name', () => {
    const built = buildText(
      `${MESH}${policy('name: a, namespace: foo', 'rules: [{from: [{source: {principals: ["cluster.local/ns/foo/*"]}}]}]')}`,
    );
    assert.match(built.warnings[0]?.fix ?? '', /^write "td1\/ns\/foo\/\*"/);
  });

  it('are good as they are in a mesh of the default name', () => {
    const rules = 'rules: [{from: [{source: {principals: ["cluster.local/ns/foo/*"]}}]}]';
    assert.deepEqual(warningsIn(buildText(policy('name: a, namespace: foo', rules))), []);
  });
});
