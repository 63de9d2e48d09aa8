import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadDocumentText } from '../../src/config/documents.ts';
import { apiFields, apiMessages } from '../../src/config/istio-api-fields.ts';
import { MESH_CONFIG_FIELDS, PROXY_CONFIG_FIELDS } from '../../src/config/mesh-config-fields.ts';
import type { MeshConfig } from '../../src/config/resources.ts';

function load(text: string): { mesh: MeshConfig; problems: string[] } {
  const { resources, problems } = loadDocumentText(text, 'mesh.yaml');
  return {
    mesh: resources.meshConfig,
    problems: problems.map(({ severity, code, line, column, path }) =>
      `${severity} ${code} ${line}:${column} ${path}`.trim(),
    ),
  };
}

const FIELDS = `trustDomain: td.example
trustDomainAliases: [old.example, cluster.local]
rootNamespace: mesh-root
protocolDetectionTimeout: 0.1s
pathNormalization:
  normalization: MERGE_SLASHES
accessLogFile: /dev/stdout
accessLogEncoding: JSON
accessLogFormat: '{"a": "%PROTOCOL%"}'
outboundTrafficPolicy: {mode: REGISTRY_ONLY}
enableAutoMtls: false
`;
const indent = (text: string, by: number): string => text.replaceAll(/^(?=.)/gm, ' '.repeat(by));

describe('MeshConfig', () => {
  const wrappings: [string, string, string][] = [
    ['kind MeshConfig, fields at the top', `kind: MeshConfig\n${FIELDS}`, '2:14'],
    [
      'kind MeshConfig, fields in spec',
      `apiVersion: x\nkind: MeshConfig\nspec:\n${indent(FIELDS, 2)}`,
      '4:16',
    ],
    [
      'an IstioOperator',
      `apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  profile: default\n  meshConfig:\n${indent(FIELDS, 4)}`,
      '6:18',
    ],
    ['the single key meshConfig', `# values\nmeshConfig:\n${indent(FIELDS, 2)}`, '3:16'],
    [
      'the ConfigMap that Istio installs',
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  meshNetworks: 'networks: {}'\n  mesh: |- # text\n\n${indent(FIELDS, 4)}`,
      '8:18',
    ],
    [
      'a ConfigMap with a plain scalar',
      `apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: ${JSON.stringify(FIELDS)}}\n`,
      '4:14',
    ],
  ];
  for (const [name, text, place] of wrappings) {
    it(`is read from ${name}`, () => {
      const { mesh, problems } = load(text);
      assert.deepEqual(problems, []);
      const { position, positionOf, ...fields } = mesh;
      assert.deepEqual(fields, {
        trustDomain: 'td.example',
        trustDomainAliases: ['old.example', 'cluster.local'],
        rootNamespace: 'mesh-root',
        protocolDetectionTimeoutMs: 100,
        pathNormalization: 'MERGE_SLASHES',
        accessLogFile: '/dev/stdout',
        accessLogEncoding: 'JSON',
        accessLogFormat: '{"a": "%PROTOCOL%"}',
        outboundTrafficPolicy: 'REGISTRY_ONLY',
        enableAutoMtls: false,
        extAuthzProviders: [],
      });
      assert.equal(position?.file, 'mesh.yaml');
      const trustDomain = positionOf('trustDomain');
      assert.equal(`${trustDomain?.line}:${trustDomain?.column}`, place);
    });
  }

  it("has Istio's defaults where no document holds one, and where one is empty", () => {
    for (const text of [
      '',
      'meshConfig: {}\n',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: ""}\n',
    ]) {
      const { mesh, problems } = load(text);
      assert.deepEqual(problems, []);
      assert.deepEqual(
        [mesh.trustDomain, mesh.rootNamespace, mesh.pathNormalization, mesh.accessLogFile],
        ['cluster.local', 'istio-system', 'DEFAULT', ''],
      );
      assert.deepEqual([mesh.outboundTrafficPolicy, mesh.enableAutoMtls], ['ALLOW_ANY', true]);
    }
  });

  it("takes an outbound policy without mode for the API's zero value", () => {
    const { mesh, problems } = load('meshConfig: {outboundTrafficPolicy: {}}\n');
    assert.deepEqual(problems, []);
    assert.equal(mesh.outboundTrafficPolicy, 'REGISTRY_ONLY');
  });

  const bad: [string, string, string[]][] = [
    [
      'an outbound policy that is none',
      'meshConfig: {outboundTrafficPolicy: {mode: ALLOW_ALL}}\n',
      ['error bad_value 1:44 meshConfig.outboundTrafficPolicy.mode'],
    ],
    [
      'a misspelled outbound policy',
      'meshConfig: {outboundTrafficPolicy: {mod: ALLOW_ANY}}\n',
      ['error unknown_field 1:38 meshConfig.outboundTrafficPolicy.mod'],
    ],
    [
      'auto mTLS as text',
      'meshConfig: {enableAutoMtls: "false"}\n',
      ['error wrong_type 1:30 meshConfig.enableAutoMtls'],
    ],
    [
      'TLS 1.3 only, to servers outside the mesh',
      'meshConfig: {tlsDefaults: {minProtocolVersion: TLSV1_3}}\n',
      ['error not_enforced 1:48 meshConfig.tlsDefaults.minProtocolVersion'],
    ],
    [
      'two of them',
      'meshConfig: {trustDomain: a}\n---\nkind: MeshConfig\ntrustDomain: b\n',
      ['error duplicate_resource 3:1'],
    ],
    [
      'an unknown field',
      'meshConfig:\n  rootNamespce: x\n',
      ['error unknown_field 2:3 meshConfig.rootNamespce'],
    ],
    [
      'a field in snake case',
      'meshConfig:\n  trust_domain: x\n',
      ['error unknown_field 2:3 meshConfig.trust_domain'],
    ],
    [
      'a bad trust domain',
      'meshConfig: {trustDomain: Foo}\n',
      ['error bad_value 1:27 meshConfig.trustDomain'],
    ],
    [
      'a bad alias',
      'meshConfig: {trustDomainAliases: [a, "*"]}\n',
      ['error bad_value 1:38 meshConfig.trustDomainAliases[1]'],
    ],
    [
      'a bad normalisation',
      'meshConfig: {pathNormalization: {normalization: ALL}}\n',
      ['error bad_value 1:49 meshConfig.pathNormalization.normalization'],
    ],
    [
      'a bad duration',
      'meshConfig: {protocolDetectionTimeout: 5}\n',
      ['error wrong_type 1:40 meshConfig.protocolDetectionTimeout'],
    ],
    [
      'a list where text belongs',
      'meshConfig: {trustDomain: [a]}\n',
      ['error wrong_type 1:27 meshConfig.trustDomain'],
    ],
    [
      'further trust anchors',
      'meshConfig: {caCertificates: [{pem: x}]}\n',
      ['error not_enforced 1:14 meshConfig.caCertificates'],
    ],
    [
      'TLS 1.3 only',
      'meshConfig: {meshMTLS: {minProtocolVersion: TLSV1_3}}\n',
      ['error not_enforced 1:45 meshConfig.meshMTLS.minProtocolVersion'],
    ],
    ['TLS 1.2, which is what we do', 'meshConfig: {meshMTLS: {minProtocolVersion: TLSV1_2}}\n', []],
    [
      'cipher suites',
      'meshConfig: {meshMTLS: {cipherSuites: [X]}}\n',
      ['error not_enforced 1:25 meshConfig.meshMTLS.cipherSuites'],
    ],
    [
      'a compliance policy',
      'meshConfig: {compliancePolicy: fips-140-2}\n',
      ['error not_enforced 1:32 meshConfig.compliancePolicy'],
    ],
    [
      'hidden services',
      'meshConfig: {defaultServiceExportTo: ["."]}\n',
      ['error not_enforced 1:14 meshConfig.defaultServiceExportTo'],
    ],
    ['services for all', 'meshConfig: {defaultServiceExportTo: ["*"]}\n', []],
    [
      'other sources of policies',
      'meshConfig: {configSources: [{address: xds://x}]}\n',
      ['error not_enforced 1:14 meshConfig.configSources'],
    ],
    [
      'another XFCC mode',
      'meshConfig: {defaultConfig: {proxyHeaders: {forwardedClientCert: SANITIZE}}}\n',
      ['error not_enforced 1:66 meshConfig.defaultConfig.proxyHeaders.forwardedClientCert'],
    ],
    [
      'what Istio installs by default',
      'meshConfig:\n  enablePrometheusMerge: true\n  defaultConfig:\n    discoveryAddress: istiod.istio-system.svc:15012\n',
      [
        'warning ignored_field 2:3 meshConfig.enablePrometheusMerge',
        'warning ignored_field 4:5 meshConfig.defaultConfig.discoveryAddress',
      ],
    ],
    [
      'a Helm value that hides it',
      'apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  values: {meshConfig: {trustDomain: x}}\n',
      ['info skipped_kinds 1:1', 'error not_enforced 4:12 spec.values.meshConfig'],
    ],
    [
      'an error inside the ConfigMap, at its line of the file',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |\n    # comment\n    trustDomain: ok\n    pathNormalization:\n      normalization: WRONG\n',
      ['error bad_value 9:22 pathNormalization.normalization'],
    ],
    [
      'bad YAML inside the ConfigMap',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |\n    a: 1\n    a: 2\n',
      ['error duplicate_key 7:5 data.mesh'],
    ],
    [
      'text inside the ConfigMap',
      'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: hello\n',
      ['error wrong_type 5:9 data.mesh'],
    ],
  ];
  for (const [name, text, expected] of bad) {
    it(`judges ${name}`, () => assert.deepEqual(load(text).problems, expected));
  }

  it("decides on every field of Istio's API, and on no other", () => {
    assert.deepEqual(
      Object.keys(MESH_CONFIG_FIELDS).toSorted(),
      [...(apiFields('MeshConfig')?.keys() ?? [])].toSorted(),
    );
    const proxyFields = apiFields('MeshProxyConfig');
    for (const name of Object.keys(PROXY_CONFIG_FIELDS)) assert.ok(proxyFields?.has(name), name);
  });

  it('warns with an effect for each field that it ignores', () => {
    for (const [name, use] of Object.entries(MESH_CONFIG_FIELDS)) {
      if (use.use === 'acted-on') continue;
      const shape = apiFields('MeshConfig')?.get(name);
      const value = shape?.shape === 'list' ? '[{}]' : shape?.inside === '' ? 'x' : '{}';
      const { problems } = load(`meshConfig:\n  ${name}: ${value}\n`);
      const wanted = use.use === 'ignored' ? 'warning ignored_field' : 'error not_enforced';
      assert.deepEqual(problems, [`${wanted} 2:3 meshConfig.${name}`]);
    }
  });
});

describe('the table of API fields', () => {
  it('names only messages that it has', () => {
    for (const message of apiMessages()) {
      for (const [name, field] of apiFields(message) ?? []) {
        assert.match(name, /^[a-z][A-Za-z0-9_]*$/, message);
        if (field.inside !== '' && field.inside !== '*')
          assert.ok(apiFields(field.inside), `${message}.${name}`);
      }
    }
    assert.equal(apiFields('toString'), null);
  });
});
