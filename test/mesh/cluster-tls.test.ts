import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClientTls } from '../../src/config/resources.ts';
import { clusterOf, endpointsOf, type Given, warningsOf } from './outbound-fixture.ts';
import {
  destinationRule,
  peerAuthentication,
  service,
  serviceEndpoints,
  serviceEntry,
  workloadEntry,
  workloadSpec,
} from './resource-samples.ts';

const NAME = 'outbound|8000||httpbin.foo.svc.cluster.local';
const SNI = 'outbound_.8000_._.httpbin.foo.svc.cluster.local';
const HTTPBIN = service({ ports: [{ name: 'http', port: 8000, targetPort: 8080 }] });
const MESHED = workloadEntry({ address: '10.0.0.2', serviceAccount: 'httpbin' });
const BARE = workloadEntry({ name: 'httpbin-2', address: '10.0.0.3' });
const MIXED: Given = { services: [HTTPBIN], workloadEntries: [MESHED, BARE] };
const ID = 'spiffe://cluster.local/ns/foo/sa/httpbin';

/** How TLS is spoken under a rule, and to which endpoints. */
function shown(given: Given, name = NAME): unknown {
  const cluster = clusterOf(given, name);
  return [cluster.tls, endpointsOf(cluster), cluster.tlsFrom];
}

const ruled = (tls: Partial<ClientTls>): Given => ({
  ...MIXED,
  destinationRules: [destinationRule({ tls })],
});
const istio = (given: Partial<{ sni: string; subjectAltNames: readonly string[] }> = {}): unknown => ({
  kind: 'istio',
  sni: SNI,
  subjectAltNames: [ID],
  ...given,
});
const external = (given: Record<string, unknown>): unknown => ({
  kind: 'external',
  sni: '',
  subjectAltNames: [],
  verify: 'name',
  caCertificates: '',
  clientCertificate: '',
  privateKey: '',
  ...given,
});
const ALL = ['10.0.0.2:8080 tls', '10.0.0.3:8080 tls'];
const NONE = ['10.0.0.2:8080', '10.0.0.3:8080'];
const FILES = { clientCertificate: '/c.pem', privateKey: '/k.pem', caCertificates: '/ca.pem' };

/** What the rule says; what comes of it. */
const MODES: readonly (readonly [string, Partial<ClientTls>, unknown, readonly string[]])[] = [
  ['DISABLE', { mode: 'DISABLE', sni: 'x', ...FILES }, null, NONE],
  ['ISTIO_MUTUAL', { mode: 'ISTIO_MUTUAL' }, istio(), ALL],
  ['ISTIO_MUTUAL, files ignored', { mode: 'ISTIO_MUTUAL', ...FILES }, istio(), ALL],
  ['ISTIO_MUTUAL with sni', { mode: 'ISTIO_MUTUAL', sni: 'own.name' }, istio({ sni: 'own.name' }), ALL],
  [
    'ISTIO_MUTUAL with subjectAltNames',
    { mode: 'ISTIO_MUTUAL', subjectAltNames: ['spiffe://a/b'] },
    istio({ subjectAltNames: ['spiffe://a/b'] }),
    ALL,
  ],
  ['ISTIO_MUTUAL with no subjectAltNames', { mode: 'ISTIO_MUTUAL', subjectAltNames: [] }, istio(), ALL],
  ['SIMPLE', { mode: 'SIMPLE' }, external({}), ALL],
  ['SIMPLE with files', { mode: 'SIMPLE', ...FILES }, external({ caCertificates: '/ca.pem' }), ALL],
  ['SIMPLE with sni', { mode: 'SIMPLE', sni: 'a.b' }, external({ sni: 'a.b', verify: 'chain' }), ALL],
  [
    'SIMPLE with subjectAltNames',
    { mode: 'SIMPLE', subjectAltNames: ['a.b'] },
    external({ subjectAltNames: ['a.b'], verify: 'chain' }),
    ALL,
  ],
  [
    'SIMPLE, insecureSkipVerify',
    { mode: 'SIMPLE', insecureSkipVerify: true },
    external({ verify: 'none' }),
    ALL,
  ],
  ['MUTUAL', { mode: 'MUTUAL', ...FILES }, external(FILES), ALL],
];

const withPort = (port: number, tls: Partial<ClientTls> | null): Given => ({
  ...MIXED,
  destinationRules: [destinationRule({ tls: { mode: 'DISABLE' }, ports: { [port]: tls } })],
});

const withEntry = (tls: Partial<ClientTls>): Given => ({
  serviceEntries: [
    serviceEntry({
      ports: [{ number: 443, protocol: 'HTTP' }],
      endpoints: [workloadSpec({ address: '1.2.3.4' })],
      subjectAltNames: ['se.example.com'],
    }),
  ],
  destinationRules: [destinationRule({ host: 'api.example.com', tls: { mode: 'SIMPLE', ...tls } })],
});

const tlsOf = (tls: Partial<ClientTls>): unknown =>
  clusterOf(withEntry(tls), 'outbound|443||api.example.com').tls;

describe('a DestinationRule', () => {
  for (const [what, tls, wanted, endpoints] of MODES) {
    it(`of mode ${what} decides for every endpoint`, () => {
      assert.deepEqual(shown(ruled(tls)), [wanted, endpoints, 'DestinationRule foo/httpbin']);
    });
  }

  it('without tls leaves it to auto mTLS', () => {
    const without = { ...MIXED, destinationRules: [destinationRule({ tls: null })] };
    assert.deepEqual(shown(without), [istio(), ['10.0.0.2:8080 tls', '10.0.0.3:8080'], 'auto mTLS']);
  });

  it('has its whole policy replaced by an entry for the port, field by field not inherited', () => {
    assert.deepEqual(shown(withPort(8000, null)), [
      istio(),
      ['10.0.0.2:8080 tls', '10.0.0.3:8080'],
      'auto mTLS',
    ]);
    assert.deepEqual(shown(withPort(8000, { mode: 'ISTIO_MUTUAL' })), [
      istio(),
      ALL,
      'DestinationRule foo/httpbin',
    ]);
    // The service's port counts, never the endpoint's.
    assert.deepEqual(shown(withPort(8080, null)), [null, NONE, 'DestinationRule foo/httpbin']);
  });

  it('warns of ISTIO_MUTUAL with an endpoint without sidecar, once', () => {
    assert.deepEqual(warningsOf(ruled({ mode: 'ISTIO_MUTUAL' })), ['no_sidecar spec.trafficPolicy']);
    const meshed = { ...ruled({ mode: 'ISTIO_MUTUAL' }), workloadEntries: [MESHED] };
    assert.deepEqual(warningsOf(meshed), []);
  });

  it('of SIMPLE takes the names of the ServiceEntry where it has none, and then still compares the name', () => {
    assert.deepEqual(tlsOf({}), external({ subjectAltNames: ['se.example.com'] }));
    assert.deepEqual(
      tlsOf({ subjectAltNames: ['x.y'] }),
      external({ subjectAltNames: ['x.y'], verify: 'chain' }),
    );
    assert.deepEqual(tlsOf({ insecureSkipVerify: true }), external({ verify: 'none' }));
  });
});

/** What the endpoint says of itself; whether it is spoken to in mTLS. */
const SIDECARS: readonly (readonly [string, Parameters<typeof workloadSpec>[0], boolean])[] = [
  ['tlsMode: istio', { tlsMode: 'istio' }, true],
  ['tlsMode: disabled', { tlsMode: 'disabled' }, false],
  ['an empty tlsMode', { tlsMode: '' }, false],
  ['tlsMode: disabled and a serviceAccount', { tlsMode: 'disabled', serviceAccount: 'httpbin' }, false],
  ['a serviceAccount', { serviceAccount: 'httpbin' }, true],
  ['neither', {}, false],
];

describe('auto mTLS', () => {
  for (const [what, spec, tls] of SIDECARS) {
    it(`${tls ? 'is' : 'is not'} spoken to a WorkloadEntry, or an endpoint, with ${what}`, () => {
      const wanted = [`10.0.0.2:8080${tls ? ' tls' : ''}`];
      const selected = { services: [HTTPBIN], workloadEntries: [workloadEntry(spec)] };
      assert.deepEqual(endpointsOf(clusterOf(selected, NAME)), wanted);
      const entry = serviceEntry({
        hosts: ['httpbin.foo.svc.cluster.local'],
        location: 'MESH_INTERNAL',
        ports: [{ number: 8000, name: 'http', protocol: 'HTTP', targetPort: 8080 }],
        endpoints: [workloadSpec(spec)],
      });
      assert.deepEqual(endpointsOf(clusterOf({ serviceEntries: [entry] }, NAME)), wanted);
    });
  }

  it('is decided for each endpoint, and the cluster has no TLS if none wants it', () => {
    assert.deepEqual(shown(MIXED), [istio(), ['10.0.0.2:8080 tls', '10.0.0.3:8080'], 'auto mTLS']);
    assert.equal(clusterOf({ services: [HTTPBIN], workloadEntries: [BARE] }, NAME).tls, null);
  });

  it('is off with enableAutoMtls: false', () => {
    const off = { ...MIXED, meshConfig: { enableAutoMtls: false } };
    assert.deepEqual(shown(off), [null, NONE, 'auto mTLS is off']);
  });

  const policies: readonly (readonly [string, Parameters<typeof peerAuthentication>[0], string, boolean])[] =
    [
      ['STRICT', { mode: 'STRICT' }, 'auto mTLS', true],
      ['PERMISSIVE', { mode: 'PERMISSIVE' }, 'auto mTLS', true],
      ['UNSET', { mode: 'UNSET' }, 'auto mTLS', true],
      ['DISABLE for the namespace', { mode: 'DISABLE' }, 'PeerAuthentication foo/default', false],
      [
        'DISABLE for the mesh',
        { namespace: 'istio-system', mode: 'DISABLE' },
        'PeerAuthentication istio-system/default',
        false,
      ],
      ['DISABLE for its labels', { name: 'w', app: 'httpbin', mode: 'DISABLE' }, 'auto mTLS', false],
      ['DISABLE for other labels', { name: 'w', app: 'other', mode: 'DISABLE' }, 'auto mTLS', true],
      [
        'DISABLE for its own port',
        { name: 'w', app: 'httpbin', ports: { 8080: 'DISABLE' } },
        'auto mTLS',
        false,
      ],
      [
        'DISABLE for the service port',
        { name: 'w', app: 'httpbin', ports: { 8000: 'DISABLE' } },
        'auto mTLS',
        true,
      ],
      ['DISABLE in another namespace', { namespace: 'bar', mode: 'DISABLE' }, 'auto mTLS', true],
    ];
  for (const [what, policy, tlsFrom, tls] of policies) {
    it(`${tls ? 'is' : 'is not'} spoken under a PeerAuthentication of ${what}`, () => {
      const given: Given = {
        services: [HTTPBIN],
        workloadEntries: [MESHED],
        peerAuthentications: [peerAuthentication(policy)],
      };
      const cluster = clusterOf(given, NAME);
      assert.deepEqual(endpointsOf(cluster), [`10.0.0.2:8080${tls ? ' tls' : ''}`]);
      assert.equal(cluster.tlsFrom, tlsFrom);
      assert.equal(cluster.tls === null, !tls);
    });
  }

  it('looks at the namespace of the endpoint, not at the client’s', () => {
    const given: Given = {
      services: [service({ namespace: 'bar', ports: [{ name: 'http', port: 8000 }] })],
      workloadEntries: [workloadEntry({ namespace: 'bar', serviceAccount: 'httpbin' })],
      peerAuthentications: [peerAuthentication({ mode: 'DISABLE' })],
    };
    const cluster = clusterOf(given, 'outbound|8000||httpbin.bar.svc.cluster.local');
    assert.deepEqual(endpointsOf(cluster), ['10.0.0.2:8000 tls']);
    assert.deepEqual(cluster.tls, {
      kind: 'istio',
      sni: 'outbound_.8000_._.httpbin.bar.svc.cluster.local',
      subjectAltNames: ['spiffe://cluster.local/ns/bar/sa/httpbin'],
    });
  });

  it('is never spoken to MESH_EXTERNAL, nor by resolution NONE or DNS without endpoints', () => {
    const cases = [
      { location: 'MESH_EXTERNAL', resolution: 'STATIC', endpoints: [workloadSpec({ serviceAccount: 'a' })] },
      { location: 'MESH_INTERNAL', resolution: 'NONE' },
      { location: 'MESH_INTERNAL', resolution: 'DNS' },
    ] as const;
    for (const given of cases) {
      const entry = serviceEntry({ ...given, ports: [{ number: 80, protocol: 'HTTP' }] });
      const cluster = clusterOf({ serviceEntries: [entry] }, 'outbound|80||api.example.com');
      assert.equal(cluster.tls, null);
      assert.equal(
        cluster.endpoints.some(({ tls }) => tls),
        false,
      );
    }
  });

  it('is spoken to a headless Service only if every instance has a sidecar, and it has one', () => {
    const headless = service({ headless: true, ports: [{ name: 'tcp', port: 8000 }] });
    const tlsWith = (workloadEntries: Given['workloadEntries'] & object): unknown => {
      const { tls, discovery } = clusterOf({ services: [headless], workloadEntries }, NAME);
      assert.equal(discovery, 'original-destination');
      return tls;
    };
    assert.deepEqual(tlsWith([MESHED]), istio());
    assert.equal(tlsWith([MESHED, BARE]), null);
    assert.equal(tlsWith([]), null);
  });
});

const identitiesOf = (given: Given, name = NAME): readonly string[] | undefined =>
  clusterOf(given, name).tls?.subjectAltNames;

describe('the expected identities of a service', () => {
  it('are the service accounts of all its endpoints, of every port', () => {
    const given: Given = {
      services: [
        service({
          ports: [
            { name: 'http', port: 8000, targetPort: 'web' },
            { name: 'tcp', port: 9000, targetPort: 'raw' },
          ],
        }),
      ],
      workloadEntries: [
        workloadEntry({ name: 'a', address: '10.0.0.1', serviceAccount: 'one', ports: { web: 1 } }),
        workloadEntry({ name: 'b', address: '10.0.0.2', serviceAccount: 'two', ports: { raw: 2 } }),
        workloadEntry({ name: 'c', address: '10.0.0.3', tlsMode: 'istio', ports: { web: 3, raw: 3 } }),
      ],
    };
    const both = ['spiffe://cluster.local/ns/foo/sa/one', 'spiffe://cluster.local/ns/foo/sa/two'];
    assert.deepEqual(identitiesOf(given), both);
    assert.deepEqual(identitiesOf(given, 'outbound|9000||httpbin.foo.svc.cluster.local'), both);
  });

  it('stand under every trust domain of the mesh', () => {
    const meshConfig = { trustDomain: 'td.one', trustDomainAliases: ['td.two', 'td.three'] };
    assert.deepEqual(identitiesOf({ ...MIXED, meshConfig }), [
      'spiffe://td.one/ns/foo/sa/httpbin',
      'spiffe://td.two/ns/foo/sa/httpbin',
      'spiffe://td.three/ns/foo/sa/httpbin',
    ]);
  });

  it('have the subjectAltNames of the ServiceEntry besides', () => {
    const entry = serviceEntry({
      hosts: ['httpbin.foo.svc.cluster.local'],
      location: 'MESH_INTERNAL',
      ports: [{ number: 8000, protocol: 'HTTP' }],
      endpoints: [workloadSpec({ serviceAccount: 'httpbin' })],
      subjectAltNames: ['spiffe://other/ns/x/sa/y', 'plain.name'],
    });
    assert.deepEqual(
      identitiesOf({ serviceEntries: [entry], meshConfig: { trustDomainAliases: ['td.two'] } }),
      [
        ID,
        'spiffe://other/ns/x/sa/y',
        'plain.name',
        'spiffe://td.two/ns/foo/sa/httpbin',
        'spiffe://td.two/ns/x/sa/y',
      ],
    );
  });

  it('are none where no endpoint states a service account: any member of the mesh', () => {
    const given = { services: [HTTPBIN], workloadEntries: [workloadEntry({ tlsMode: 'istio' })] };
    assert.deepEqual(identitiesOf(given), []);
  });

  it('come with a WorkloadEntry whose address equals one of Endpoints', () => {
    const given: Given = {
      services: [service({ selector: null, ports: [{ name: 'http', port: 8000 }] })],
      serviceEndpoints: [
        serviceEndpoints({
          subsets: [{ addresses: ['10.0.0.2', '10.0.0.9'], ports: [{ name: 'http', port: 8080 }] }],
        }),
      ],
      workloadEntries: [MESHED],
    };
    const cluster = clusterOf(given, NAME);
    assert.deepEqual(endpointsOf(cluster), ['10.0.0.2:8080 tls', '10.0.0.9:8080']);
    assert.deepEqual(cluster.tls?.subjectAltNames, [ID]);
  });
});
