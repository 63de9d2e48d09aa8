import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { clusterOf, endpointsOf, type Given, outboundOf, SLEEP, warningsOf } from './outbound-fixture.ts';
import { service, serviceEndpoints, serviceEntry, workloadEntry, workloadSpec } from './resource-samples.ts';

const NAME = 'outbound|80||httpbin.foo.svc.cluster.local';
const of = (given: Given, name = NAME): string[] => endpointsOf(clusterOf(given, name));
const plain = (
  address: string,
  more: Parameters<typeof workloadEntry>[0] = {},
): ReturnType<typeof workloadEntry> => workloadEntry({ name: address, address, ...more });

/** targetPort, ports of the WorkloadEntry, the endpoint's port; null: it is no endpoint. */
const TARGETS: readonly (readonly [number | string, Readonly<Record<string, number>>, number | null])[] = [
  [80, {}, 80],
  [8080, {}, 8080],
  [8080, { http: 9090 }, 9090],
  [8080, { other: 9090 }, 8080],
  ['web', { web: 9090 }, 9090],
  ['web', { web: 9090, http: 7070 }, 9090],
  ['web', { http: 7070 }, 7070],
  ['web', {}, null],
  ['constructor', {}, null],
];

describe('the endpoints of a Service', () => {
  for (const [targetPort, ports, wanted] of TARGETS) {
    it(`with targetPort ${targetPort} are at ${wanted} of a workload with ports ${JSON.stringify(ports)}`, () => {
      const given: Given = {
        services: [service({ ports: [{ name: 'http', port: 80, targetPort }] })],
        workloadEntries: [plain('10.0.0.2', { ports })],
      };
      assert.deepEqual(of(given), wanted === null ? [] : [`10.0.0.2:${wanted}`]);
      const odd = ['unresolved_target_port spec.ports[0].targetPort', 'no_endpoints spec.selector'];
      assert.deepEqual(warningsOf(given), wanted === null ? odd : []);
    });
  }

  it('are the workloads of its namespace that have every label of its selector', () => {
    const given: Given = {
      services: [
        service({ selector: { app: 'httpbin', version: 'v1' }, ports: [{ name: 'http', port: 80 }] }),
      ],
      workloadEntries: [
        plain('10.0.0.1', { labels: { version: 'v1' } }),
        plain('10.0.0.2', { labels: { version: 'v2' } }),
        plain('10.0.0.3'),
        plain('10.0.0.4', { labels: { version: 'v1' }, app: 'other' }),
        plain('10.0.0.5', { labels: { version: 'v1' }, namespace: 'bar' }),
        plain('10.0.0.6', { labels: { version: 'v1', extra: 'x' }, weight: 7 }),
      ],
    };
    assert.deepEqual(of(given), ['10.0.0.1:80', '10.0.0.6:80']);
    assert.deepEqual(
      clusterOf(given, NAME).endpoints.map(({ weight }) => weight),
      [1, 7],
    );
  });

  it('are those of Endpoints and EndpointSlices, each once, by the name of the port', () => {
    const given: Given = {
      services: [
        service({
          selector: null,
          ports: [
            { name: 'http', port: 80 },
            { name: 'tcp', port: 90 },
          ],
        }),
      ],
      serviceEndpoints: [
        serviceEndpoints({
          subsets: [
            {
              addresses: ['10.0.0.1', 'FD00:0::1'],
              ports: [
                { name: 'tcp', port: 9090 },
                { name: 'http', port: 8080 },
              ],
            },
          ],
        }),
        serviceEndpoints({
          name: 'slice',
          subsets: [{ addresses: ['10.0.0.1', '10.0.0.3'], ports: [{ name: 'http', port: 8080 }] }],
        }),
        serviceEndpoints({
          namespace: 'bar',
          subsets: [{ addresses: ['10.9.9.9'], ports: [{ name: 'http', port: 8080 }] }],
        }),
      ],
    };
    assert.deepEqual(of(given), ['10.0.0.1:8080', 'fd00::1:8080', '10.0.0.3:8080']);
    assert.deepEqual(of(given, 'outbound|90||httpbin.foo.svc.cluster.local'), [
      '10.0.0.1:9090',
      'fd00::1:9090',
    ]);
  });

  it('need no name of the port where there is one only', () => {
    const given: Given = {
      services: [service({ selector: null, ports: [{ port: 80 }] })],
      serviceEndpoints: [
        serviceEndpoints({ subsets: [{ addresses: ['10.0.0.1'], ports: [{ name: '', port: 8080 }] }] }),
      ],
    };
    assert.deepEqual(of(given), ['10.0.0.1:8080']);
  });

  it('are its name where it is an ExternalName, at the port that clients use', () => {
    const given: Given = {
      services: [
        service({
          selector: null,
          externalName: 'API.example.com.',
          ports: [{ name: 'http', port: 80, targetPort: 9 }],
        }),
      ],
    };
    assert.deepEqual(of(given), ['api.example.com:80']);
    assert.deepEqual(warningsOf(given), ['external_name spec.externalName']);
  });

  it('are those of the service that an ExternalName stands for', () => {
    const given: Given = {
      services: [
        service({ name: 'other', selector: null, externalName: 'httpbin.foo.svc.cluster.local', ports: [] }),
        service({ ports: [{ name: 'http', port: 80 }] }),
      ],
      workloadEntries: [plain('10.0.0.2')],
    };
    const { clusters, ports } = outboundOf(given);
    assert.deepEqual(Object.keys(clusters), [NAME]);
    assert.equal(ports[80]?.http?.hosts['other.foo.svc.cluster.local:80'], NAME);
    assert.equal(ports[80]?.http?.hosts['other'], NAME);
    assert.deepEqual(warningsOf(given), []);
  });

  it('are missed: a warning, but not for the workload’s own Service', () => {
    const given: Given = { services: [service({ ports: [{ name: 'http', port: 80 }] })] };
    assert.deepEqual(warningsOf(given), ['no_endpoints spec.selector']);
    assert.deepEqual(warningsOf(given, { ...SLEEP, labels: { app: 'httpbin' } }), []);
    const without = { services: [service({ selector: null, ports: [{ name: 'http', port: 80 }] })] };
    assert.deepEqual(warningsOf(without), ['no_endpoints spec']);
  });
});

const entryOf = (given: Partial<Parameters<typeof serviceEntry>[0]>): Given => ({
  serviceEntries: [
    serviceEntry({ ports: [{ number: 443, name: 'tls', protocol: 'TLS', targetPort: 8443 }], ...given }),
  ],
  workloadEntries: [
    plain('10.0.0.2'),
    plain('10.0.0.3', { ports: { tls: 1 } }),
    plain('10.0.0.4', { namespace: 'bar' }),
  ],
});

describe('the endpoints of a ServiceEntry', () => {
  const NAMED = 'outbound|443||api.example.com';

  it('are those stated, at the targetPort or a port of their own', () => {
    const endpoints = [
      workloadSpec({ address: '1.2.3.4' }),
      workloadSpec({ address: 'b.example.com', ports: { tls: 9 } }),
    ];
    assert.deepEqual(of(entryOf({ endpoints }), NAMED), ['1.2.3.4:8443', 'b.example.com:9']);
  });

  it('are the workloads of its namespace that it selects', () => {
    assert.deepEqual(of(entryOf({ workloadSelector: { app: 'httpbin' } }), NAMED), [
      '10.0.0.2:8443',
      '10.0.0.3:1',
    ]);
    const none = entryOf({ workloadSelector: { app: 'gone' } });
    assert.deepEqual(of(none, NAMED), []);
    assert.deepEqual(warningsOf(none), ['no_endpoints spec.workloadSelector']);
  });

  it('are each host itself by DNS where none is stated', () => {
    for (const resolution of ['DNS', 'DNS_ROUND_ROBIN'] as const) {
      const given = entryOf({ resolution, hosts: ['api.example.com', 'b.example.com'] });
      assert.deepEqual(of(given, NAMED), ['api.example.com:8443']);
      assert.deepEqual(of(given, 'outbound|443||b.example.com'), ['b.example.com:8443']);
      const stated = entryOf({ resolution, endpoints: [workloadSpec({ address: 'c.example.com' })] });
      assert.deepEqual(of(stated, NAMED), ['c.example.com:8443']);
    }
  });

  it('are none with resolution NONE: dialled where the client meant to go', () => {
    const given = entryOf({ resolution: 'NONE' });
    const cluster = clusterOf(given, NAMED);
    assert.deepEqual([cluster.discovery, cluster.endpoints], ['original-destination', []]);
    assert.deepEqual(warningsOf(given), []);
  });

  it('are missed: a warning', () => {
    assert.deepEqual(warningsOf(entryOf({})), ['no_endpoints spec']);
    assert.deepEqual(warningsOf(entryOf({ resolution: 'DNS', hosts: ['*.example.com'] })), [
      'no_endpoints spec',
    ]);
  });

  it('leave out what cannot be dialled, with a warning', () => {
    const given = entryOf({
      endpoints: [
        workloadSpec({ address: 'unix:///a.sock' }),
        workloadSpec({ address: '' }),
        workloadSpec({ address: '1.2.3.4' }),
      ],
    });
    assert.deepEqual(of(given, NAMED), ['1.2.3.4:8443']);
    assert.deepEqual(warningsOf(given), [
      'unusable_address spec.endpoints[0].address',
      'unusable_address spec.endpoints[1].address',
    ]);
  });
});

const namesake = (name: string, namespace: string): ReturnType<typeof serviceEntry> =>
  serviceEntry({
    name,
    namespace,
    hosts: ['httpbin.foo.svc.cluster.local'],
    ports: [{ number: 80, protocol: 'HTTP' }],
    endpoints: [workloadSpec({})],
  });

const sourceOf = (given: Given): string => clusterOf(given, NAME).from;

const isSeen = (exportTo: readonly string[], namespace: string): boolean => {
  const plan = outboundOf({
    services: [service({ namespace, exportTo, ports: [{ name: 'http', port: 80 }] })],
    serviceEntries: [serviceEntry({ namespace, exportTo, ports: [{ number: 80, protocol: 'HTTP' }] })],
  });
  const count = Object.keys(plan.clusters).length;
  assert.equal(count === 0 || count === 2, true);
  return count === 2;
};

describe('a cluster', () => {
  it('is of one service port, and says where it is from', () => {
    const given: Given = {
      services: [
        service({
          ports: [
            { name: 'http', port: 80 },
            { name: 'dns', port: 53, protocol: 'UDP' },
          ],
        }),
      ],
      workloadEntries: [plain('10.0.0.2')],
    };
    assert.deepEqual(outboundOf(given).clusters, {
      [NAME]: {
        name: NAME,
        host: 'httpbin.foo.svc.cluster.local',
        port: 80,
        protocol: 'http',
        service: { namespace: 'foo', name: 'httpbin' },
        from: 'Service foo/httpbin port http',
        tlsFrom: 'auto mTLS',
        discovery: 'endpoints',
        endpoints: [{ host: '10.0.0.2', port: 80, tls: false, weight: 1 }],
        tls: null,
      },
    });
  });

  it('is the first service’s of a host and port: a Service, then the client’s own ServiceEntry, then the oldest', () => {
    const entries = [namesake('stranger', 'bar'), namesake('own', 'foo'), namesake('second', 'baz')];
    assert.equal(
      sourceOf({ serviceEntries: [entries[0]!, entries[2]!] }),
      'ServiceEntry bar/stranger port 80',
    );
    assert.equal(sourceOf({ serviceEntries: entries }), 'ServiceEntry foo/own port 80');
    const all: Given = {
      serviceEntries: entries,
      services: [service({ ports: [{ name: 'http', port: 80 }] })],
      workloadEntries: [plain('10.0.0.2')],
    };
    assert.equal(sourceOf(all), 'Service foo/httpbin port http');
    assert.deepEqual(warningsOf(all), Array(3).fill('duplicate_host spec.ports[0]'));
  });

  it('with ports that differ is of both services of a host', () => {
    const entries = [80, 81].map((number) =>
      serviceEntry({
        name: `of-${number}`,
        ports: [{ number, protocol: 'HTTP' }],
        endpoints: [workloadSpec({})],
      }),
    );
    assert.deepEqual(Object.keys(outboundOf({ serviceEntries: entries }).clusters), [
      'outbound|80||api.example.com',
      'outbound|81||api.example.com',
    ]);
    assert.deepEqual(warningsOf({ serviceEntries: entries }), []);
  });

  it('of a host named like a property of objects is one like any other', () => {
    const given: Given = {
      serviceEntries: [
        serviceEntry({
          hosts: ['__proto__', 'constructor'],
          ports: [{ number: 80, protocol: 'HTTP' }],
          endpoints: [workloadSpec({})],
        }),
      ],
    };
    const { clusters, ports } = structuredClone(outboundOf(given));
    assert.deepEqual(Object.keys(clusters), ['outbound|80||__proto__', 'outbound|80||constructor']);
    assert.equal(Object.hasOwn(ports[80]!.http!.hosts, '__proto__'), true);
  });

  it('is of services that the client’s namespace may see', () => {
    const rows: readonly (readonly [readonly string[], boolean, boolean])[] = [
      [[], true, true],
      [['*'], true, true],
      [['.'], true, false],
      [['foo'], true, true],
      [['baz', 'foo'], true, true],
      [['bar'], false, false],
      [['~'], false, false],
    ];
    for (const [exportTo, fromOwn, fromOther] of rows) {
      assert.deepEqual(
        [isSeen(exportTo, 'foo'), isSeen(exportTo, 'bar')],
        [fromOwn, fromOther],
        exportTo.join(' '),
      );
    }
  });
});
