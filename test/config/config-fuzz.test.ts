import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { parseAgentConfig } from '../../src/config/agent-config.ts';
import { AGENT_KEYS } from '../../src/config/agent-keys.ts';
import { parseCaConfig } from '../../src/config/ca-config.ts';
import { CA_KEYS } from '../../src/config/ca-keys.ts';
import { loadDocumentText } from '../../src/config/documents.ts';
import { parseDuration } from '../../src/config/duration.ts';
import { formatProblem, hasErrors } from '../../src/config/problem.ts';
import { parsePosternConfig } from '../../src/config/postern-config.ts';
import { CONFIG_KEYS, environmentName } from '../../src/config/config-keys.ts';

/** Raised for a long run by hand: `POSTERN_FUZZ_RUNS=50000 node --test test/config/config-fuzz.test.ts`. */
const RUNS = Number(process.env['POSTERN_FUZZ_RUNS'] ?? 500);

const WORDS = (
  'apiVersion kind metadata spec items name namespace labels selector matchLabels mtls mode portLevelMtls ports port ' +
  'targetPort meshConfig data mesh trustDomain creationTimestamp workload identity files config intercept limits ' +
  'hosts host addresses endpoints address resolution workloadSelector exportTo number protocol weight serviceAccount ' +
  'trafficPolicy tls portLevelSettings subsets clientCertificate privateKey subjectAltNames insecureSkipVerify ' +
  'ingress egress bind captureMode defaultEndpoint outboundTrafficPolicy clusterIP clusterIPs type externalName ' +
  'annotations networking.istio.io/exportTo kubernetes.io/service-name addressType conditions ready ip ' +
  'socket path uids ca root token file certificate ttl renewAt jitter key listen names tokens development oidc ' +
  'publicKey issuer audiences selfSigned pluggedIn folder kubernetesCsr admin sds ' +
  'rules from to when source operation principals paths methods serviceAccounts trustDomains ipBlocks values action ' +
  'provider targetRefs jwtRules jwks jwksUri fromHeaders outputClaimToHeaders timeout extensionProviders ' +
  'envoyExtAuthzHttp service pathPrefix includeRequestBodyInCheck includeAdditionalHeadersInCheck allow ' +
  '__proto__ constructor toString << 8080'
).split(' ');
const TEXTS = (
  'security.istio.io/v1 security.istio.io/v1beta1 networking.istio.io/v1 v1 PeerAuthentication Service List ConfigMap ' +
  'AuthorizationPolicy RequestAuthentication DENY CUSTOM MeshConfig Sidecar STRICT foo [ ServiceEntry Endpoints STATIC DNS NONE MUTUAL SIMPLE HTTP UDP IPv4 None ' +
  '10.0.0.1 10.0.0.0/8 a.example.com *.example.com */* ./* ~/* . * ~ unix:/a 127.0.0.1:80 [::1]:80 0600 24h 0.5'
).split(' ');
const VALUES = [...TEXTS, '', 'trustDomain: x\na: [', 8080, -1, 1.5, true, null];
/** Pieces that YAML gives a meaning to. */
const PIECES = [
  ...WORDS,
  '- ',
  ': ',
  '\n',
  '  ',
  '    ',
  '\t',
  '"',
  "'",
  '|',
  '>-',
  '&a ',
  '*a',
  '<<: ',
  '{',
  '}',
  '[',
  ']',
  ',',
  '#',
  '---\n',
  '...\n',
  '%YAML 1.1\n',
  '!!str ',
  '!x ',
  '?',
  '\r\n',
  '\u0000',
  '\uFEFF',
  'é',
  '\u{1F600}',
];

/** Nested mappings and lists of the words that documents are made of. */
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(...VALUES),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...WORDS), tie('node'), { maxKeys: 6, noNullPrototype: true }),
  ),
})).node;
/** Fields of the right kind with anything inside, so that what is checked together is met. */
const shaped = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 4, arbitrary: value }, tree);
const listOf = (values: readonly unknown[]): fc.Arbitrary<unknown> =>
  shaped(fc.array(fc.constantFrom(...values), { maxLength: 3 }));
const port = shaped(
  fc.record(
    {
      number: fc.constantFrom(0, 80, 65_536, '80'),
      name: fc.constantFrom('http', 'A', ''),
      protocol: fc.constantFrom(...TEXTS),
    },
    { requiredKeys: [] },
  ),
);
const address = fc.constantFrom('10.0.0.1', 'a.b', 'unix:/a', '127.0.0.1:80', '', 7);
const workload = shaped(
  fc.record(
    { address, ports: tree, labels: tree, serviceAccount: fc.constantFrom('a', 'a/b') },
    { requiredKeys: [] },
  ),
);
const tls = shaped(
  fc.record(
    {
      mode: fc.constantFrom('DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL', 'x'),
      clientCertificate: fc.constantFrom('a', '', '\0', 1),
      caCertificates: fc.constantFrom('a', ''),
      subjectAltNames: listOf(['a', '', 1]),
      insecureSkipVerify: fc.constantFrom(true, false, 'true'),
      credentialName: fc.constantFrom('', 'a'),
    },
    { requiredKeys: [] },
  ),
);
const listener = fc.record(
  {
    port,
    bind: address,
    captureMode: fc.constantFrom('NONE', 'IPTABLES', 'x'),
    defaultEndpoint: address,
    hosts: listOf(['*/*', './a.b', 'a', '~/*', '/']),
    tls: tree,
  },
  { requiredKeys: [] },
);
const spec = fc.record(
  {
    hosts: listOf(['a.b', '*', '*.c', '']),
    host: shaped(fc.constantFrom('a', '*', 'a b')),
    addresses: listOf(['10.0.0.1', '10.0.0.0/8', '/', '10.0.0.0/99']),
    ports: shaped(fc.array(port, { maxLength: 3 })),
    resolution: shaped(fc.constantFrom('NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN')),
    endpoints: shaped(fc.array(workload, { maxLength: 3 })),
    exportTo: listOf(['.', '*', '~', 'default', 'A']),
    trafficPolicy: shaped(
      fc.record(
        {
          tls,
          portLevelSettings: shaped(
            fc.array(fc.record({ port, tls }, { requiredKeys: [] }), { maxLength: 3 }),
          ),
        },
        { requiredKeys: [] },
      ),
    ),
    workloadSelector: tree,
    ingress: shaped(fc.array(shaped(listener), { maxLength: 3 })),
    egress: shaped(fc.array(shaped(listener), { maxLength: 3 })),
    outboundTrafficPolicy: tree,
    clusterIPs: listOf(['None', '10.0.0.1', 'x']),
  },
  { requiredKeys: [] },
);
const document = fc.record(
  {
    apiVersion: fc.constantFrom(
      'security.istio.io/v1',
      'v1',
      'networking.istio.io/v1',
      'discovery.k8s.io/v1',
      'install.istio.io/v1alpha1',
    ),
    kind: fc.constantFrom(
      'PeerAuthentication',
      'Service',
      'List',
      'ConfigMap',
      'MeshConfig',
      'DestinationRule',
      'ServiceEntry',
      'WorkloadEntry',
      'Sidecar',
      'Endpoints',
      'EndpointSlice',
      'IstioOperator',
    ),
    metadata: fc.oneof(fc.constant({ name: 'a', labels: { 'kubernetes.io/service-name': 'a' } }), tree),
    spec: fc.oneof(tree, spec),
    subsets: tree,
    endpoints: tree,
    ports: tree,
    addressType: tree,
    data: tree,
    items: tree,
  },
  { requiredKeys: ['apiVersion', 'kind'] },
);

const yamlText = fc.array(fc.constantFrom(...PIECES), { maxLength: 60 }).map((parts) => parts.join(''));

function load(text: string): void {
  const { problems } = loadDocumentText(text, 'fuzz.yaml');
  const lines = text.split('\n').length;
  for (const problem of problems) {
    assert.ok(problem.line >= 1 && problem.line <= lines + 1 && problem.column >= 1, formatProblem(problem));
    assert.ok(!formatProblem(problem).includes('\n'));
  }
  const input = { file: '/a/settings.yaml', environment: {}, workingDirectory: '/' };
  for (const parse of [parsePosternConfig, parseAgentConfig, parseCaConfig]) {
    const { config, problems: found } = parse(text, input);
    assert.equal(config === null, hasErrors(found));
  }
}

describe('whatever a file holds', () => {
  it('ends in a value or a problem with a place: documents of random shape', () => {
    fc.assert(
      fc.property(document, (value) => load(JSON.stringify(value, null, 1))),
      { numRuns: RUNS },
    );
  });

  it('ends in a value or a problem with a place: pieces of YAML', () => {
    fc.assert(fc.property(yamlText, load), { numRuns: 2 * RUNS });
  });

  it('ends in a value or a problem with a place: any bytes as text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => load(Buffer.from(bytes).toString('latin1'))),
      {
        numRuns: RUNS,
      },
    );
  });

  it('ends in a value or a problem with a place: settings of random shape', () => {
    const settings = fc.dictionary(fc.constantFrom(...WORDS), tree, { maxKeys: 8, noNullPrototype: true });
    fc.assert(
      fc.property(settings, (value) => load(JSON.stringify(value, null, 1))),
      { numRuns: RUNS },
    );
  });

  it('ends in a value or a problem: any environment', () => {
    const keys = [...CONFIG_KEYS, ...AGENT_KEYS, ...CA_KEYS];
    const variables = keys.flatMap((key) => environmentName(key) ?? []);
    const environment = fc.dictionary(fc.oneof(fc.constantFrom(...variables), fc.string()), fc.string());
    fc.assert(
      fc.property(environment, (values) => {
        const input = { file: '/a/settings.yaml', environment: values, workingDirectory: '/' };
        for (const parse of [parsePosternConfig, parseAgentConfig, parseCaConfig]) parse('', input);
      }),
      { numRuns: RUNS },
    );
  });

  it('never leaves a mark on the prototype of objects', () => {
    load('{"__proto__": {"polluted": 1}, "workload": {"labels": {"__proto__": "x", "constructor": "y"}}}');
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  it('reads a duration in bounded time', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('0', '9', '.', 'h', 'm', 's', 'ms'), maxLength: 100 }),
        (text) => {
          const ms = parseDuration(text);
          assert.ok(ms === null || (Number.isSafeInteger(ms) && ms >= 0));
        },
      ),
      { numRuns: 2 * RUNS },
    );
  });
});
