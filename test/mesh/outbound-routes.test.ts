import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { OutboundPortPlan } from '../../src/mesh/plan.ts';
import { clusterOfHost } from '../../src/mesh/outbound-chains.ts';
import { type Given, outboundOf, SLEEP, warningsOf } from './outbound-fixture.ts';
import { service, serviceEntry, workloadEntry, workloadSpec } from './resource-samples.ts';

const HTTPBIN = service({ clusterIps: ['10.96.0.1', 'FD00::1'], ports: [{ name: 'http', port: 8000 }] });
const CLUSTER = 'outbound|8000||httpbin.foo.svc.cluster.local';
const WORKLOAD = workloadEntry({ address: '10.0.0.2' });
const planOf = (given: Given, port: number, workload = SLEEP): OutboundPortPlan => {
  const plan = outboundOf({ workloadEntries: [WORKLOAD], ...given }, workload).ports[port];
  if (plan === undefined) throw new Error(`no plan of port ${port}`);
  return plan;
};
const clusterOf = (given: Given, port: number, host: string, workload = SLEEP): string => {
  const table = planOf(given, port, workload).http;
  if (table === null) throw new Error(`nothing on port ${port} speaks HTTP`);
  return clusterOfHost(table, host);
};
const external = (given: Partial<Parameters<typeof serviceEntry>[0]>): ReturnType<typeof serviceEntry> =>
  serviceEntry({
    endpoints: [workloadSpec({ address: '1.2.3.4' })],
    ports: [{ number: 8000, protocol: 'HTTP' }],
    ...given,
  });

describe('Host names a service', () => {
  const names: readonly (readonly [string, boolean, boolean])[] = [
    // Host; from the same namespace; from another
    ['httpbin', true, false],
    ['httpbin.foo', true, true],
    ['httpbin.foo.svc', true, true],
    ['httpbin.foo.svc.cluster.local', true, true],
    ['10.96.0.1', true, true],
    ['[fd00::1]', true, true],
    ['httpbin.bar', false, false],
    ['httpbin.foo.svc.cluster', false, false],
    ['x.httpbin.foo.svc.cluster.local', false, false],
    ['10.0.0.2', false, false],
    ['__proto__', false, false],
    ['constructor', false, false],
    ['', false, false],
    ['.', false, false],
  ];
  for (const [name, own, other] of names) {
    it(`"${name}", with any port, a trailing dot and in capitals alike`, () => {
      const given = { services: [HTTPBIN] };
      const spellings = [name, `${name}:8000`, `${name}:`, name.toUpperCase(), `${name.toUpperCase()}:8000`];
      // Istio ignores the port in Host: whoever dials a listener at a port of its own writes that one.
      spellings.push(`${name}:18000`);
      if (/[a-z_]$/.test(name)) spellings.push(`${name}.`, `${name}.:8000`);
      for (const host of spellings) {
        assert.equal(clusterOf(given, 8000, host), own ? CLUSTER : '', `${host} from its namespace`);
        const bar = { ...SLEEP, namespace: 'bar' };
        assert.equal(clusterOf(given, 8000, host, bar), other ? CLUSTER : '', `${host} from another`);
      }
    });
  }

  it('of a ServiceEntry by its hosts, those of Kubernetes with their short names', () => {
    const given = {
      serviceEntries: [
        external({ location: 'MESH_INTERNAL', hosts: ['a.foo.svc.cluster.local', 'b.example.com'] }),
      ],
    };
    for (const host of ['a', 'a.foo', 'a.foo.svc:8000', 'a.foo.svc.cluster.local']) {
      assert.equal(clusterOf(given, 8000, host), 'outbound|8000||a.foo.svc.cluster.local', host);
    }
    assert.equal(clusterOf(given, 8000, 'b.example.com'), 'outbound|8000||b.example.com');
    assert.equal(clusterOf(given, 8000, 'b'), '');
  });

  it('below a wildcard, the longest one', () => {
    const given = {
      serviceEntries: [
        external({ name: 'a', hosts: ['*.com'] }),
        external({ name: 'b', hosts: ['*.example.com'] }),
        external({ name: 'c', hosts: ['api.example.com'] }),
      ],
    };
    for (const [host, wanted] of [
      ['api.example.com', 'api.example.com'],
      ['www.example.com', '*.example.com'],
      ['a.b.example.com:8000', '*.example.com'],
      ['A.B.Example.com.:99', '*.example.com'],
      ['example.com', '*.com'],
      ['xexample.com', '*.com'],
    ] as const) {
      assert.equal(clusterOf(given, 8000, host), `outbound|8000||${wanted}`, host);
    }
    assert.equal(clusterOf(given, 8000, '.com'), '');
    assert.equal(clusterOf(given, 8000, 'a.org'), '');
  });

  it('by its full name before another one’s short name', () => {
    const given = { serviceEntries: [external({ hosts: ['httpbin.foo'] })], services: [HTTPBIN] };
    assert.equal(clusterOf(given, 8000, 'httpbin.foo'), 'outbound|8000||httpbin.foo');
    assert.equal(clusterOf(given, 8000, 'httpbin'), CLUSTER);
  });

  it('and single instances of a headless one', () => {
    const given = { services: [service({ headless: true, ports: [{ name: 'http', port: 8000 }] })] };
    for (const host of ['httpbin', 'pod-0.httpbin', 'pod-0.httpbin.foo.svc.cluster.local:8000']) {
      assert.equal(clusterOf(given, 8000, host), CLUSTER, host);
    }
    assert.deepEqual(planOf(given, 8000).byAddress, {});
  });
});

const tcp = (name: string, clusterIps: readonly string[], portName = 'tcp'): ReturnType<typeof service> =>
  service({ name, clusterIps, ports: [{ name: portName, port: 9000 }] });

const cluster = (name: string): string => `outbound|9000||${name}.foo.svc.cluster.local`;

const shown = (given: Given): unknown => {
  const { byAddress, bySni, http, httpOnly, any } = planOf(given, 9000);
  const addresses = Object.entries(byAddress).map(
    ([ip, route]) => `${ip} ${route.protocol} ${route.cluster}`,
  );
  return { addresses, bySni, http: http !== null, httpOnly, any };
};

const inBlock = (name: string, block: string): ReturnType<typeof serviceEntry> =>
  external({
    name,
    hosts: [`${name}.example.com`],
    addresses: [block],
    ports: [{ number: 9000, protocol: 'TCP' }],
  });

describe('a destination port', () => {
  it('tells TCP services by address', () => {
    assert.deepEqual(shown({ services: [tcp('a', ['10.96.0.1', 'FD00::1']), tcp('b', ['10.96.0.2'])] }), {
      addresses: [
        `10.96.0.1 tcp ${cluster('a')}`,
        `fd00::1 tcp ${cluster('a')}`,
        `10.96.0.2 tcp ${cluster('b')}`,
      ],
      bySni: null,
      http: false,
      httpOnly: false,
      any: '',
    });
  });

  it('tells detected services by address, and HTTP on them by nothing else', () => {
    const given = { services: [tcp('a', ['10.96.0.1'], '')] };
    assert.deepEqual(shown(given), {
      addresses: [`10.96.0.1 auto ${cluster('a')}`],
      bySni: null,
      http: true,
      httpOnly: false,
      any: '',
    });
    const { routes } = planOf(given, 9000).byAddress['10.96.0.1']!;
    assert.equal(routes?.name, 'a.foo.svc.cluster.local:9000');
    for (const host of ['whatever', 'x:1', '']) assert.equal(clusterOfHost(routes, host), cluster('a'));
  });

  it('tells single instances of a headless TCP Service by their addresses', () => {
    const headless = service({ name: 'a', headless: true, ports: [{ name: 'tcp', port: 9000 }] });
    assert.deepEqual(planOf({ services: [headless] }, 9000).byAddress, {
      '10.0.0.2': { cluster: cluster('a'), protocol: 'tcp', routes: null },
    });
    assert.equal(planOf({ services: [headless], workloadEntries: [] }, 9000).any, '');
  });

  it('lets the first of two services have an address, and warns', () => {
    const given = {
      services: [tcp('a', ['10.96.0.1']), tcp('b', ['10.96.0.1'])],
      workloadEntries: [WORKLOAD],
    };
    assert.equal(planOf(given, 9000).byAddress['10.96.0.1']?.cluster, cluster('a'));
    assert.deepEqual(warningsOf(given), ['port_conflict spec.ports[0]']);
  });

  it('gives one TCP service without address what nothing tells; a second is warned of', () => {
    const given = {
      services: [tcp('a', []), tcp('b', []), tcp('c', ['10.96.0.3'])],
      workloadEntries: [WORKLOAD],
    };
    assert.deepEqual(shown(given), {
      addresses: [`10.96.0.3 tcp ${cluster('c')}`],
      bySni: null,
      http: false,
      httpOnly: false,
      any: cluster('a'),
    });
    assert.deepEqual(warningsOf(given), ['port_conflict spec.ports[0]']);
  });

  it('may be shared by HTTP and one TCP service without address, with a warning', () => {
    const given = { services: [tcp('a', [], 'http'), tcp('b', [])], workloadEntries: [WORKLOAD] };
    assert.deepEqual(shown(given), {
      addresses: [],
      bySni: null,
      http: true,
      httpOnly: true,
      any: cluster('b'),
    });
    assert.deepEqual(warningsOf(given), ['port_conflict spec.ports[0]']);
  });

  it('tells TLS services without address by SNI, and those with one by it', () => {
    const given: Given = {
      services: [tcp('a', [], 'https'), tcp('b', ['10.96.0.2'], 'tls')],
      serviceEntries: [
        external({ hosts: ['*.example.com', 'api.example.com'], ports: [{ number: 9000, protocol: 'TLS' }] }),
      ],
    };
    assert.deepEqual(shown(given), {
      addresses: [`10.96.0.2 tcp ${cluster('b')}`],
      bySni: {
        'a.foo.svc.cluster.local': cluster('a'),
        '*.example.com': 'outbound|9000||*.example.com',
        'api.example.com': 'outbound|9000||api.example.com',
      },
      http: false,
      httpOnly: false,
      any: '',
    });
  });

  it('tells CIDR blocks, the smallest first', () => {
    const given = { serviceEntries: [inBlock('wide', '10.0.0.0/8'), inBlock('narrow', '10.1.0.0/16')] };
    const plan = planOf(given, 9000);
    assert.deepEqual(
      plan.byBlock.map(({ first, last, route }) => [first, last, route.cluster]),
      [
        ['0a010000', '0a01ffff', 'outbound|9000||narrow.example.com'],
        ['0a000000', '0affffff', 'outbound|9000||wide.example.com'],
      ],
    );
    assert.equal(plan.any, '');
  });

  it('warns of addresses that are none', () => {
    const given = { serviceEntries: [external({ addresses: ['nonsense', '10.0.0.0/40', '10.0.0.1'] })] };
    assert.deepEqual(warningsOf(given), ['unusable_address spec.addresses']);
  });

  it('is not known where services have it by UDP only', () => {
    const given = { services: [service({ ports: [{ name: 'dns', port: 53, protocol: 'UDP' }] })] };
    assert.deepEqual(outboundOf(given).ports, {});
  });

  it('declared HTTP/2 is told by Host as HTTP, with a warning unless inbound has warned', () => {
    const given = {
      services: [service({ ports: [{ name: 'grpc', port: 9000 }] })],
      workloadEntries: [WORKLOAD],
    };
    assert.deepEqual(shown(given), { addresses: [], bySni: null, http: true, httpOnly: true, any: '' });
    assert.deepEqual(warningsOf(given), ['http2_not_supported spec.ports[0]']);
    const own = { ...SLEEP, labels: { app: 'httpbin' } };
    assert.deepEqual(warningsOf(given, own), ['http2_not_supported spec.ports[0].name']);
  });
});
