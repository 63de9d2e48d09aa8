import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AuthorizationPlan } from '../../src/core/authorization-plan.ts';
import { EXT_AUTHZ_DEFAULTS } from '../support/ext-authz-defaults.ts';
import { buildText, documentOf, warningsIn } from './policy-fixture.ts';

const mesh = (service: string, more = ''): string =>
  `meshConfig: {extensionProviders: [{name: opa, envoyExtAuthzGrpc: {service: ${service}, port: 9191}}${more}]}\n---\n`;
const HTTP = ', {name: web, envoyExtAuthzHttp: {service: opa.sec.svc.cluster.local, port: 9191}}';
const custom = (provider = 'opa', rules = '{}', metadata = ''): string =>
  documentOf(
    'AuthorizationPolicy',
    `name: c-${provider}, namespace: foo${metadata}`,
    `action: CUSTOM, provider: {name: ${provider}}, rules: [${rules}]`,
  );
const opa = (namespace = 'sec', exportTo = ''): string =>
  `apiVersion: v1\nkind: Service\nmetadata: {name: opa, namespace: ${namespace}${exportTo === '' ? '' : `, annotations: {networking.istio.io/exportTo: "${exportTo}"}`}}\n` +
  'spec: {selector: {app: opa}, ports: [{name: grpc, port: 9191}, {name: tcp, port: 9192}]}\n---\n' +
  `apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: opa-1, namespace: ${namespace}}\n` +
  'spec: {address: 10.0.0.9, labels: {app: opa}, serviceAccount: opa}\n---\n';
const entry = (namespace: string, fields: string): string =>
  documentOf('ServiceEntry', `name: e, namespace: ${namespace}`, fields);
const httpbin = (name: string): string =>
  'apiVersion: v1\nkind: Service\nmetadata: {name: httpbin, namespace: foo}\n' +
  `spec: {selector: {app: httpbin}, ports: [{name: ${name}, port: 8000, targetPort: 8080}]}\n---\n`;

const CLUSTER = 'outbound|9191||opa.sec.svc.cluster.local';

function planOf(text: string): AuthorizationPlan {
  return buildText(text).snapshot.authorization;
}

/** Where it is said that this version does not speak HTTP/2. */
function http2WarningsIn(text: string): string[] {
  const { warnings } = buildText(text);
  return warnings.filter(({ code }) => code === 'http2_not_supported').map(({ path }) => path);
}

describe('the provider of a CUSTOM policy', () => {
  const found: [string, string][] = [
    ['its host in full', 'opa.sec.svc.cluster.local'],
    ['namespace and host', 'sec/opa.sec.svc.cluster.local'],
    ['namespace and name', 'sec/opa'],
    ['name.namespace', 'opa.sec'],
    ['name.namespace.svc', 'opa.sec.svc'],
    ['capitals', 'OPA.sec.svc.cluster.local'],
  ];
  for (const [name, service] of found) {
    it(`is found by ${name}`, () => {
      const { policies, providers } = planOf(mesh(service) + opa() + custom());
      assert.equal(policies[0]?.providerProblem, '');
      assert.deepEqual(providers['opa'], {
        ...EXT_AUTHZ_DEFAULTS,
        name: 'opa',
        cluster: CLUSTER,
        host: 'opa.sec.svc.cluster.local',
        port: 9191,
      });
    });
  }

  it('may be a ServiceEntry', () => {
    const text = entry(
      'bar',
      'hosts: [authz.example.com], ports: [{number: 9191, name: grpc, protocol: GRPC}], resolution: DNS',
    );
    const { providers } = planOf(mesh('authz.example.com') + text + custom());
    assert.equal(providers['opa']?.cluster, 'outbound|9191||authz.example.com');
  });

  const unusable: [string, string, RegExp][] = [
    ['is not in MeshConfig', custom(), /has no ext_authz provider "opa"/],
    [
      'has a name of another kind',
      `meshConfig: {extensionProviders: [{name: opa, zipkin: {}}]}\n---\n${custom()}`,
      /has no ext_authz provider "opa"/,
    ],
    [
      'has no service',
      mesh('opa.sec.svc.cluster.local') + custom(),
      /there is no service "opa.sec.svc.cluster.local"/,
    ],
    ['is a name without namespace', mesh('opa') + opa() + custom(), /there is no service "opa"/],
    [
      'is of another namespace than was written',
      mesh('bar/opa.sec.svc.cluster.local') + opa() + custom(),
      /there is no service "bar/,
    ],
    ['has no such port', mesh('opa.sec').replace('9191', '9999') + opa() + custom(), /has no port 9999/],
    [
      'is in two namespaces',
      mesh('a.example') +
        ['bar', 'baz']
          .map((ns) =>
            entry(
              ns,
              'hosts: [a.example], ports: [{number: 9191, name: grpc, protocol: GRPC}], resolution: DNS',
            ),
          )
          .join('') +
        custom(),
      /in several namespaces: bar, baz/,
    ],
    [
      'is shadowed by a ServiceEntry of the own namespace',
      mesh('bar/a.example') +
        ['bar', 'foo']
          .map((ns) =>
            entry(
              ns,
              'hosts: [a.example], ports: [{number: 9191, name: grpc, protocol: GRPC}], resolution: DNS',
            ),
          )
          .join('') +
        custom(),
      /is taken by ServiceEntry foo\/e port grpc/,
    ],
    [
      'is wherever the client goes',
      mesh('a.example') +
        entry(
          'bar',
          'hosts: [a.example], ports: [{number: 9191, name: grpc, protocol: GRPC}], resolution: NONE',
        ) +
        custom(),
      /has no endpoints of its own/,
    ],
  ];
  for (const [name, text, problem] of unusable) {
    it(`that ${name} cannot be asked, and the policy says why`, () => {
      const built = buildText(text);
      const { policies, providers } = built.snapshot.authorization;
      assert.match(policies[0]?.providerProblem ?? '', problem);
      assert.deepEqual(providers, {});
      assert.deepEqual(
        built.warnings
          .filter(({ code }) => code === 'unusable_provider')
          .map(({ severity, path }) => `${severity} ${path}`),
        ['warning spec.provider.name'],
      );
    });
  }

  it('that is misspelled is a warning with the nearest name, where it stands', () => {
    const built = buildText(mesh('opa.sec') + opa() + custom('opaa'));
    const warning = built.warnings.find(({ code }) => code === 'unusable_provider');
    assert.deepEqual([warning?.line, warning?.column, warning?.fix], [16, 41, 'did you mean "opa"?']);
  });

  it('is reached though nothing lets the app see it, and no route leads there', () => {
    const sidecar = documentOf('Sidecar', 'name: s, namespace: foo', 'egress: [{hosts: ["./*"]}]');
    for (const hidden of [opa('sec', '.'), opa('sec', '~'), opa() + sidecar]) {
      const { authorization, outbound } = buildText(mesh('opa.sec') + hidden + custom()).snapshot;
      assert.equal(authorization.providers['opa']?.cluster, CLUSTER);
      assert.deepEqual(
        outbound.clusters[CLUSTER]?.endpoints.map(({ host, port }) => `${host}:${port}`),
        ['10.0.0.9:9191'],
      );
      assert.deepEqual(outbound.ports, {});
    }
  });

  it('is not reached where no policy that applies names it', () => {
    const { authorization, outbound } = buildText(
      mesh('opa.sec') + opa('sec', '.') + custom().replace('namespace: foo', 'namespace: bar'),
    ).snapshot;
    assert.deepEqual(authorization, { policies: [], providers: {} });
    assert.deepEqual(outbound.clusters, {});
  });

  it('takes no route of what the app sees', () => {
    const text = mesh('opa.sec') + opa();
    const [without, having] = [
      buildText(text).snapshot.outbound,
      buildText(text + custom()).snapshot.outbound,
    ];
    assert.deepEqual(having, without);
  });

  it('over gRPC is no port of which this version should warn, and other ports of HTTP/2 are', () => {
    const ports = opa().replace('{name: tcp, port: 9192}', '{name: grpc-2, port: 9192}');
    assert.deepEqual(http2WarningsIn(mesh('opa.sec') + ports + custom()), ['spec.ports[1]']);
    assert.deepEqual(http2WarningsIn(mesh('opa.sec') + ports), ['spec.ports[0]', 'spec.ports[1]']);
    assert.deepEqual(http2WarningsIn(mesh('opa.sec', HTTP) + ports + custom('web')), [
      'spec.ports[0]',
      'spec.ports[1]',
    ]);
    assert.deepEqual(http2WarningsIn(mesh('opa.sec') + opa('sec', '.') + custom()), []);
  });

  it('stands in the order of names, whatever the order of documents', () => {
    const text = mesh('opa.sec', HTTP) + opa();
    const one = planOf(text + custom('web') + custom('opa')).providers;
    assert.deepEqual(Object.keys(one), ['opa', 'web']);
    assert.equal(JSON.stringify(one), JSON.stringify(planOf(text + custom('opa') + custom('web')).providers));
  });
});

describe('an HTTP provider on a TCP port', () => {
  const rows: [string, string, boolean][] = [
    ['a port declared TCP', httpbin('tcp') + custom('web'), true],
    ['a port declared TLS', httpbin('tls') + custom('web'), true],
    ['a port declared HTTP', httpbin('http') + custom('web'), false],
    ['a port that says nothing', httpbin('"x"') + custom('web'), false],
    ['no declared port', custom('web'), false],
    [
      'a rule for HTTP ports only',
      httpbin('tcp') + custom('web', '{to: [{operation: {ports: ["80"]}}]}'),
      false,
    ],
    [
      'a rule for that port',
      httpbin('tcp') + custom('web', '{to: [{operation: {ports: ["80"]}}, {operation: {ports: ["8080"]}}]}'),
      true,
    ],
    [
      'a rule for all but that port',
      httpbin('tcp') + custom('web', '{to: [{operation: {notPorts: ["8080"]}}]}'),
      false,
    ],
    [
      'a rule with another condition',
      httpbin('tcp') + custom('web', '{when: [{key: destination.port, values: ["80"]}]}'),
      false,
    ],
    [
      'a rule with its condition',
      httpbin('tcp') + custom('web', '{when: [{key: destination.port, values: ["8080"]}]}'),
      true,
    ],
    [
      'a rule with HTTP attributes',
      httpbin('tcp') + custom('web', '{to: [{operation: {paths: [/a]}}]}'),
      true,
    ],
    ['a dry run', httpbin('tcp') + custom('web', '{}', ', annotations: {istio.io/dry-run: "true"}'), false],
    ['a gRPC provider', httpbin('tcp') + custom('opa'), false],
  ];
  for (const [name, text, refused] of rows) {
    it(`is ${refused ? 'an error' : 'no matter'} with ${name}`, () => {
      const warnings = warningsIn(buildText(mesh('opa.sec', HTTP) + opa() + text));
      const errors = warnings.filter((line) => line.startsWith('error'));
      assert.equal(errors.length, refused ? 1 : 0);
      if (refused) assert.match(errors[0]!, /^error http_provider_on_tcp \d+:24 spec\.provider$/);
    });
  }
});
