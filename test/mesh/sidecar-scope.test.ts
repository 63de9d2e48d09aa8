import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BuiltSnapshot } from '../../src/mesh/build-snapshot.ts';
import { clusterOfHost } from '../../src/mesh/outbound-chains.ts';
import type { EgressListenerPlan } from '../../src/mesh/plan.ts';
import { buildFor, type Given, outboundOf, SLEEP, warningsOf } from './outbound-fixture.ts';
import {
  peerAuthentication,
  service,
  serviceEntry,
  sidecar,
  workloadEntry,
  workloadSpec,
} from './resource-samples.ts';

type SidecarGiven = Parameters<typeof sidecar>[0];

const MESH: Given = {
  services: [
    service({ ports: [{ name: 'http', port: 8000 }] }),
    service({
      name: 'db',
      namespace: 'bar',
      ports: [
        { name: 'tcp', port: 5432 },
        { name: 'http', port: 80 },
      ],
    }),
    service({ name: 'web', namespace: 'bar', ports: [{ name: 'https', port: 8000 }] }),
  ],
  serviceEntries: [
    serviceEntry({
      ports: [{ number: 8000, protocol: 'HTTP' }],
      endpoints: [workloadSpec({ address: '1.2.3.4' })],
    }),
  ],
  workloadEntries: [workloadEntry({}), workloadEntry({ namespace: 'bar' })],
};
const HTTPBIN = 'outbound|8000||httpbin.foo.svc.cluster.local';
const DB = 'outbound|5432||db.bar.svc.cluster.local';
const DB_HTTP = 'outbound|80||db.bar.svc.cluster.local';
const WEB = 'outbound|8000||web.bar.svc.cluster.local';
const API = 'outbound|8000||api.example.com';

const withSidecars = (...given: readonly SidecarGiven[]): Given => ({
  ...MESH,
  sidecars: given.map(sidecar),
});
const clusters = (...given: readonly SidecarGiven[]): string[] =>
  Object.keys(outboundOf(withSidecars(...given)).clusters).toSorted();
const only = (host: string): NonNullable<SidecarGiven['egress']> => [{ hosts: [host] }];

describe('the Sidecar of a workload', () => {
  const policy = (...given: readonly SidecarGiven[]): string =>
    outboundOf(withSidecars(...given)).unknownDestinations;
  const strict = { outboundTrafficPolicy: 'REGISTRY_ONLY' } as const;
  const rows: readonly (readonly [string, readonly SidecarGiven[], boolean])[] = [
    ['one of its namespace', [strict], true],
    ['one that selects it', [{ ...strict, workloadSelector: { app: 'sleep' } }], true],
    [
      'one that selects it before one of the namespace',
      [{}, { ...strict, workloadSelector: { app: 'sleep' } }],
      true,
    ],
    ['none that selects others', [{ ...strict, workloadSelector: { app: 'other' } }], false],
    ['one of the root namespace', [{ ...strict, namespace: 'istio-system' }], true],
    ['one of its namespace before the root’s', [{ ...strict, namespace: 'istio-system' }, {}], false],
    [
      'none of the root with a selector',
      [{ ...strict, namespace: 'istio-system', workloadSelector: { app: 'sleep' } }],
      false,
    ],
    ['none of other namespaces', [{ ...strict, namespace: 'bar' }], false],
    ['the oldest of two', [{ ...strict, name: 'a' }, { name: 'b' }], true],
  ];
  for (const [what, given, registryOnly] of rows) {
    it(`is ${what}`, () => {
      assert.equal(policy(...given), registryOnly ? 'REGISTRY_ONLY' : 'ALLOW_ANY');
    });
  }

  it('leaves the policy for unknown destinations to MeshConfig where it says nothing', () => {
    const meshConfig = { outboundTrafficPolicy: 'REGISTRY_ONLY' } as const;
    assert.equal(outboundOf({ ...withSidecars({}), meshConfig }).unknownDestinations, 'REGISTRY_ONLY');
    const allows = withSidecars({ outboundTrafficPolicy: 'ALLOW_ANY' });
    assert.equal(outboundOf({ ...allows, meshConfig }).unknownDestinations, 'ALLOW_ANY');
  });

  it('is warned of where a younger one is ignored, or its namespace was left out', () => {
    assert.deepEqual(warningsOf(withSidecars({ name: 'a' }, { name: 'b' })), ['shadowed metadata.name']);
    assert.deepEqual(warningsOf(withSidecars({ namespace: 'default', namespaceGiven: false })), [
      'selects_nothing metadata',
    ]);
  });

  const imports: readonly (readonly [string, readonly string[]])[] = [
    ['*/*', [HTTPBIN, DB, DB_HTTP, WEB, API]],
    ['./*', [HTTPBIN, API]],
    ['foo/*', [HTTPBIN, API]],
    ['bar/*', [DB, DB_HTTP, WEB]],
    ['~/*', []],
    ['*/httpbin.foo.svc.cluster.local', [HTTPBIN]],
    ['./httpbin.foo.svc.cluster.local', [HTTPBIN]],
    ['bar/httpbin.foo.svc.cluster.local', []],
    ['*/*.bar.svc.cluster.local', [DB, DB_HTTP, WEB]],
    ['./*.example.com', [API]],
    ['*/*.com', [API]],
  ];
  for (const [host, wanted] of imports) {
    it(`with egress hosts "${host}" lets through ${wanted.length} clusters`, () => {
      assert.deepEqual(clusters({ egress: only(host) }), wanted.toSorted());
    });
  }

  it('without egress lets everything through', () => {
    assert.equal(clusters({}).length, 5);
    assert.equal(clusters({ egress: [] }).length, 5);
  });

  it('has entries for one port of redirected connections, before the one for the rest', () => {
    const { ports } = outboundOf(
      withSidecars({
        egress: [
          { port: { number: 8000, protocol: 'HTTP' }, hosts: ['./*.example.com'] },
          { hosts: ['*/*.cluster.local'] },
        ],
      }),
    );
    assert.deepEqual(Object.keys(ports), ['80', '5432', '8000']);
    assert.equal(clusterOfHost(ports[8000]!.http!, 'api.example.com'), API);
    assert.equal(clusterOfHost(ports[8000]!.http!, 'httpbin'), '');
    assert.equal(ports[8000]!.bySni, null);
  });
});

const listenersOf = (...egress: NonNullable<SidecarGiven['egress']>): readonly EgressListenerPlan[] =>
  outboundOf(withSidecars({ egress })).listeners;

const listenerOf = (...egress: NonNullable<SidecarGiven['egress']>): EgressListenerPlan => {
  const [listener, ...more] = listenersOf(...egress);
  if (listener === undefined || more.length > 0) throw new Error(`${more.length + 1} listeners`);
  return listener;
};

const egressOf = (
  number: number,
  protocol: 'HTTP' | 'HTTP_PROXY' | 'GRPC' | 'TLS' | 'HTTPS' | 'TCP' | 'MYSQL' | null,
  more: Partial<NonNullable<SidecarGiven['egress']>[number]> = {},
): NonNullable<SidecarGiven['egress']>[number] => ({
  port: { number, protocol },
  captureMode: 'NONE',
  ...more,
});

describe('an egress listener', () => {
  it('is opened on 127.0.0.1, or where it binds, and is told by its port', () => {
    assert.deepEqual(
      listenersOf(
        egressOf(8000, 'HTTP'),
        egressOf(8000, 'HTTP', { bind: '127.0.0.2' }),
        egressOf(0, 'HTTP_PROXY'),
        egressOf(0, null),
      ).map(({ key, bind, port }) => [key, bind, port]),
      [
        ['8000', '127.0.0.1', 8000],
        ['127.0.0.2:8000', '127.0.0.2', 8000],
        ['0', '127.0.0.1', 0],
        ['127.0.0.1:0', '127.0.0.1', 0],
      ],
    );
  });

  it('is opened where a bind is given, whatever the captureMode; other entries open none', () => {
    assert.equal(
      listenerOf(egressOf(8000, 'HTTP', { captureMode: 'DEFAULT', bind: '127.0.0.3' })).bind,
      '127.0.0.3',
    );
    assert.deepEqual(listenersOf(egressOf(8000, 'HTTP', { captureMode: 'DEFAULT' })), []);
    assert.deepEqual(listenersOf(egressOf(8000, 'HTTP', { captureMode: 'IPTABLES' })), []);
  });

  for (const protocol of ['HTTP', 'GRPC'] as const) {
    it(`of ${protocol} takes the HTTP services that have its port, within its hosts`, () => {
      const { routes } = listenerOf(egressOf(8000, protocol));
      assert.deepEqual(
        { ...routes, http: null },
        {
          byAddress: {},
          byBlock: [],
          bySni: null,
          http: null,
          httpOnly: true,
          any: '',
        },
      );
      assert.equal(clusterOfHost(routes.http!, 'httpbin:18000'), HTTPBIN);
      assert.equal(clusterOfHost(routes.http!, 'api.example.com'), API);
      assert.equal(clusterOfHost(routes.http!, 'web.bar'), '');
      assert.equal(clusterOfHost(routes.http!, 'db.bar'), '');
      const within = listenerOf(egressOf(8000, protocol, { hosts: ['./*.cluster.local'] })).routes.http!;
      assert.equal(clusterOfHost(within, 'httpbin'), HTTPBIN);
      assert.equal(clusterOfHost(within, 'api.example.com'), '');
    });
  }

  for (const [number, protocol] of [
    [15_080, 'HTTP_PROXY'],
    [0, 'HTTP'],
    [0, null],
  ] as const) {
    it(`of ${protocol} on port ${number} takes HTTP services of all ports by name and port`, () => {
      const table = listenerOf(egressOf(number, protocol)).routes.http!;
      for (const [host, wanted] of [
        ['httpbin', HTTPBIN],
        ['httpbin:8000', HTTPBIN],
        ['httpbin:8001', ''],
        ['db.bar:80', DB_HTTP],
        ['db.bar', DB_HTTP],
        ['db.bar:5432', ''],
        ['api.example.com', API],
      ] as const) {
        assert.equal(clusterOfHost(table, host), wanted, host);
      }
    });
  }

  for (const protocol of ['TLS', 'HTTPS'] as const) {
    it(`of ${protocol} takes services by SNI`, () => {
      const { routes } = listenerOf(egressOf(8000, protocol, { hosts: ['bar/*'] }));
      assert.deepEqual(
        [routes.bySni, routes.http, routes.any],
        [{ 'web.bar.svc.cluster.local': WEB }, null, ''],
      );
    });
  }

  for (const protocol of ['TCP', 'MYSQL'] as const) {
    it(`of ${protocol} is the first service's that has its port`, () => {
      const { routes } = listenerOf(egressOf(5432, protocol));
      assert.deepEqual([routes.any, routes.bySni, routes.http], [DB, null, null]);
      assert.equal(listenerOf(egressOf(1, protocol)).routes.any, '');
    });
  }

  it('of TCP is warned of where several services have its port', () => {
    const given = withSidecars({ egress: [egressOf(8000, 'TCP', { hosts: ['*/*.cluster.local'] })] });
    assert.equal(outboundOf(given).listeners[0]?.routes.any, HTTPBIN);
    assert.deepEqual(warningsOf(given), ['port_conflict spec.ports[0]']);
  });

  it('of no stated protocol tells by Host, by SNI and by what is left', () => {
    const { routes } = listenerOf(egressOf(8000, null));
    assert.equal(clusterOfHost(routes.http!, 'httpbin'), HTTPBIN);
    assert.deepEqual([routes.bySni, routes.any], [{ 'web.bar.svc.cluster.local': WEB }, '']);
    assert.equal(listenerOf(egressOf(5432, null)).routes.any, DB);
  });

  it('that lets through nothing with its port is opened and warned of', () => {
    for (const [number, protocol] of [
      [9999, 'HTTP'],
      [9999, 'TLS'],
      [9999, 'TCP'],
      [9999, null],
      [5432, 'HTTP'],
    ] as const) {
      const egress = [egressOf(number, protocol)];
      assert.equal(listenersOf(...egress).length, 1);
      assert.deepEqual(warningsOf(withSidecars({ egress })), ['selects_nothing spec.egress[0].hosts']);
    }
  });

  it('that cannot be opened as written is warned of', () => {
    const rows: readonly (readonly [NonNullable<SidecarGiven['egress']>, string])[] = [
      [[{ captureMode: 'NONE', hosts: ['*/*'] }], 'unusable_listener spec.egress[0]'],
      [[egressOf(8000, 'HTTP', { bind: 'unix:///a.sock' })], 'unusable_listener spec.egress[0].bind'],
      [[egressOf(8000, 'HTTP'), egressOf(8000, 'HTTP')], 'unusable_listener spec.egress[1]'],
    ];
    for (const [egress, warning] of rows) assert.deepEqual(warningsOf(withSidecars({ egress })), [warning]);
  });
});

const inboundOf = (
  ingress: NonNullable<SidecarGiven['ingress']>,
  more: Given = {},
): BuiltSnapshot['snapshot']['inbound'] & { readonly odd: readonly string[] } => {
  const { snapshot, warnings } = buildFor({ sidecars: [sidecar({ ingress })], ...more });
  return { ...snapshot.inbound, odd: warnings.map(({ code, path }) => `${code} ${path}`) };
};

const ingressPort = (
  number: number,
  protocol: 'HTTP' | 'GRPC' | 'TCP' | 'TLS' | null = 'HTTP',
): { number: number; protocol: typeof protocol; name: string } => ({
  number,
  protocol,
  name: 'web',
});

const oddOfRedirected = (host: string, at: number): readonly string[] => {
  const { listeners, ports, odd } = inboundOf([
    { port: ingressPort(8080), defaultEndpoint: { host, port: at } },
  ]);
  assert.deepEqual(listeners, []);
  assert.equal(ports[8080]?.protocol, 'http');
  return odd;
};

describe('an ingress listener', () => {
  const NONE = { captureMode: 'NONE' } as const;

  it('is opened where it binds, 0.0.0.0 by default, and leads to the app', () => {
    const { listeners, odd } = inboundOf([
      { port: ingressPort(8080), ...NONE, defaultEndpoint: { host: '127.0.0.9', port: 9090 } },
      {
        port: ingressPort(8081),
        ...NONE,
        bind: '127.0.0.2',
        defaultEndpoint: { host: '0.0.0.0', port: 9091 },
      },
      { port: ingressPort(8082), ...NONE, bind: '127.0.0.2' },
      { port: ingressPort(0), ...NONE, defaultEndpoint: { host: '::', port: 9093 } },
      { port: ingressPort(8084), bind: '127.0.0.2' },
      { port: ingressPort(8080), ...NONE, bind: '127.0.0.3' },
    ]);
    assert.deepEqual(
      listeners.map(({ key, bind, port: at, workloadPort, appTarget }) => [
        key,
        `${bind}:${at}`,
        workloadPort,
        `${appTarget.host}:${appTarget.port}`,
      ]),
      [
        ['8080', '0.0.0.0:8080', 8080, '127.0.0.9:9090'],
        ['8081', '127.0.0.2:8081', 8081, '127.0.0.1:9091'],
        ['8082', '127.0.0.2:8082', 8082, '127.0.0.1:8082'],
        ['0', '0.0.0.0:0', 9093, '127.0.0.1:9093'],
        ['8084', '127.0.0.2:8084', 8084, '127.0.0.1:8084'],
        ['127.0.0.3:8080', '127.0.0.3:8080', 8080, '127.0.0.1:8080'],
      ],
    );
    assert.deepEqual(odd, []);
  });

  for (const [protocol, wanted] of [
    ['HTTP', 'http'],
    ['GRPC', 'http2'],
    ['TCP', 'tcp'],
    ['TLS', 'tcp'],
    [null, 'auto'],
  ] as const) {
    it(`of protocol ${protocol} has a plan for its port, ${wanted}, in the mode of PeerAuthentication`, () => {
      const { ports } = inboundOf([{ port: ingressPort(8080, protocol), ...NONE, bind: '127.0.0.2' }], {
        peerAuthentications: [
          peerAuthentication({ mode: 'STRICT' }),
          peerAuthentication({ name: 'w', app: 'sleep', ports: { 8080: 'PERMISSIVE' } }),
        ],
      });
      assert.deepEqual(ports[8080], {
        port: 8080,
        protocol: wanted,
        mode: 'PERMISSIVE',
        modeFrom: 'PeerAuthentication foo/w portLevelMtls 8080',
        protocolFrom: protocol === null ? '' : 'Sidecar foo/default port web',
        cluster: 'inbound|8080||',
        service: null,
      });
    });
  }

  it('goes before a Service of the same port where it states a protocol', () => {
    const services = [
      service({ selector: { app: 'sleep' }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] }),
    ];
    const protocol = (stated: 'TCP' | null): string =>
      inboundOf([{ port: ingressPort(8080, stated) }], { services }).ports[8080]!.protocol;
    assert.equal(protocol('TCP'), 'tcp');
    assert.equal(protocol(null), 'http');
  });

  it('that cannot be opened as written is warned of', () => {
    const rows: readonly (readonly [NonNullable<SidecarGiven['ingress']>[number], string])[] = [
      [{ port: ingressPort(0), ...NONE }, 'unusable_listener spec.ingress[0]'],
      [{ port: ingressPort(8080), ...NONE }, 'unusable_listener spec.ingress[0]'],
      [{ port: ingressPort(8080), ...NONE, bind: 'localhost' }, 'unusable_listener spec.ingress[0].bind'],
      [
        {
          port: ingressPort(8080),
          ...NONE,
          bind: '127.0.0.1',
          defaultEndpoint: { host: '0.0.0.0', port: 8080 },
        },
        'unusable_listener spec.ingress[0]',
      ],
    ];
    for (const [ingress, warning] of rows) {
      const { listeners, odd } = inboundOf([ingress]);
      assert.deepEqual([listeners, odd], [[], [warning]]);
    }
  });

  it('is not one for redirected connections, whose other endpoint is warned of', () => {
    assert.deepEqual(oddOfRedirected('127.0.0.1', 8080), []);
    assert.deepEqual(oddOfRedirected('127.0.0.1', 9090), [
      'unusable_listener spec.ingress[0].defaultEndpoint',
    ]);
  });

  it('keeps an egress listener from its place', () => {
    const given = sidecar({
      ingress: [
        {
          port: ingressPort(8080),
          ...NONE,
          bind: '127.0.0.1',
          defaultEndpoint: { host: '127.0.0.1', port: 9090 },
        },
      ],
      egress: [{ port: { number: 8080, protocol: 'HTTP' }, captureMode: 'NONE' }],
    });
    const { snapshot, warnings } = buildFor({ sidecars: [given] }, SLEEP);
    assert.deepEqual([snapshot.inbound.listeners.length, snapshot.outbound.listeners.length], [1, 0]);
    assert.deepEqual(
      warnings.map(({ code, path }) => `${code} ${path}`),
      ['unusable_listener spec.egress[0]'],
    );
  });
});
