import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Service } from '../../src/config/resources.ts';
import { protocolOfPort, servicePorts, serviceWarnings } from '../../src/mesh/services.ts';
import { HTTPBIN, service, servicePort } from './resource-samples.ts';

/** Name, appProtocol, port number, protocol. */
const PROTOCOLS: readonly (readonly [string, string | null, number, string])[] = [
  ['http', null, 8000, 'http'],
  ['http-web', null, 8000, 'http'],
  ['HTTP-Web', null, 8000, 'http'],
  ['http2', null, 8000, 'http2'],
  ['http2-web', null, 8000, 'http2'],
  ['grpc', null, 8000, 'http2'],
  ['grpc-api', null, 8000, 'http2'],
  ['grpc-web', null, 8000, 'http2'],
  ['grpc-web-api', null, 8000, 'http2'],
  ['tcp', null, 8000, 'tcp'],
  ['tcp-echo', null, 8000, 'tcp'],
  ['tls', null, 8000, 'tcp'],
  ['https', null, 8000, 'tcp'],
  ['https-web', null, 8000, 'tcp'],
  ['mongo', null, 8000, 'tcp'],
  ['mysql', null, 8000, 'tcp'],
  ['redis-cache', null, 8000, 'tcp'],
  ['', null, 8000, 'auto'],
  ['web', null, 8000, 'auto'],
  ['httpx', null, 8000, 'auto'],
  ['my-http', null, 8000, 'auto'],
  ['constructor', null, 8000, 'auto'],
  ['', null, 80, 'auto'],
  ['', null, 25, 'tcp'],
  ['dns', null, 53, 'tcp'],
  ['', null, 3306, 'tcp'],
  ['db', null, 27_017, 'tcp'],
  ['http', null, 3306, 'http'],
  ['tcp', 'http', 8000, 'http'],
  ['http', 'tcp', 8000, 'tcp'],
  ['http', 'GRPC', 8000, 'http2'],
  ['http', 'kubernetes.io/h2c', 8000, 'http2'],
  ['tcp', 'kubernetes.io/ws', 8000, 'http'],
  ['http', 'kubernetes.io/wss', 8000, 'tcp'],
  ['http', 'example.com/own', 8000, 'auto'],
  ['http', 'example.com/own', 3306, 'tcp'],
];

const shown = (services: readonly Service[]): string[] =>
  [...servicePorts(services, HTTPBIN).ports].map(
    ([port, named]) => `${port} ${named.protocol} ${named.protocolFrom}`,
  );
const codes = (services: readonly Service[]): string[] =>
  servicePorts(services, HTTPBIN).warnings.map((warning) => warning.code);

describe('the protocol of a Service port', () => {
  for (const [name, appProtocol, port, protocol] of PROTOCOLS) {
    it(`is ${protocol} for name "${name}", appProtocol ${appProtocol}, port ${port}`, () => {
      assert.equal(protocolOfPort(servicePort({ name, appProtocol, port })), protocol);
    });
  }
});

describe('the Services of a workload', () => {
  it('are those of its namespace whose selector its labels match', () => {
    const services = [
      service({ ports: [{ name: 'http', port: 8000, targetPort: 8080 }] }),
      service({
        name: 'all',
        selector: { app: 'httpbin', version: 'v2' },
        ports: [{ name: 'tcp', port: 1 }],
      }),
      service({ name: 'empty', selector: {}, ports: [{ name: 'tcp', port: 2 }] }),
      service({ name: 'none', selector: null, ports: [{ name: 'tcp', port: 3 }] }),
      service({ name: 'other', namespace: 'bar', ports: [{ name: 'tcp', port: 4 }] }),
    ];
    assert.deepEqual(shown(services), ['8080 http Service foo/httpbin port http']);
    assert.deepEqual(codes(services), []);
  });

  it('name the workload port by targetPort, or by port without one', () => {
    assert.deepEqual(
      shown([
        service({
          ports: [
            { name: 'tcp', port: 9000 },
            { name: 'http', port: 80, targetPort: 8080 },
          ],
        }),
      ]),
      ['9000 tcp Service foo/httpbin port tcp', '8080 http Service foo/httpbin port http'],
    );
  });

  it('are shown by number where the port has no name', () => {
    assert.deepEqual(shown([service({ ports: [{ port: 9000 }] })]), [
      '9000 auto Service foo/httpbin port 9000',
    ]);
  });

  it('say nothing by a port of another transport', () => {
    const services = [
      service({
        ports: [
          { name: 'http-udp', port: 53, protocol: 'UDP' },
          { name: 'http-sctp', port: 54, protocol: 'SCTP' },
          { name: 'grpc', port: 55, protocol: 'UDP' },
        ],
      }),
    ];
    assert.deepEqual(shown(services), []);
    assert.deepEqual(codes(services), []);
  });

  it('warn of a targetPort by name, and leave the port unnamed', () => {
    const services = [service({ ports: [{ name: 'http', port: 80, targetPort: 'web' }] })];
    assert.deepEqual(shown(services), []);
    assert.deepEqual(codes(services), ['unresolved_target_port']);
  });

  it('let the oldest win on a workload port, and warn of one that disagrees', () => {
    const services = [
      service({ name: 'old', ports: [{ name: 'http', port: 80, targetPort: 8080 }] }),
      service({ name: 'same', ports: [{ name: 'http-web', port: 81, targetPort: 8080 }] }),
      service({ name: 'young', ports: [{ name: 'tcp', port: 82, targetPort: 8080 }] }),
    ];
    assert.deepEqual(shown(services), ['8080 http Service foo/old port http']);
    const { warnings } = servicePorts(services, HTTPBIN);
    assert.deepEqual(
      warnings.map((warning) => [warning.code, warning.path]),
      [['port_conflict', 'spec.ports[0]']],
    );
    assert.match(warnings[0]!.message, /Service foo\/young port tcp.*Service foo\/old port http/);
  });

  it('let the first port of a Service win', () => {
    const services = [
      service({
        ports: [
          { name: 'tcp', port: 80, targetPort: 8080 },
          { name: 'http', port: 81, targetPort: 8080 },
        ],
      }),
    ];
    assert.deepEqual(shown(services), ['8080 tcp Service foo/httpbin port tcp']);
    assert.deepEqual(codes(services), ['port_conflict']);
  });

  it('warn of HTTP/2 ports', () => {
    for (const port of [
      { name: 'http2' },
      { name: 'grpc' },
      { name: 'grpc-web' },
      { name: 'a', appProtocol: 'grpc' },
    ]) {
      const declared = service({ ports: [port] });
      assert.deepEqual(codes([declared]), ['http2_not_supported']);
      assert.deepEqual(
        serviceWarnings(declared).map((warning) => warning.path),
        ['appProtocol' in port ? 'spec.ports[0].appProtocol' : 'spec.ports[0].name'],
      );
    }
  });

  it('warn of one that misses the workload only because its namespace was left out', () => {
    const placed = { namespace: 'default', namespaceGiven: false };
    assert.deepEqual(codes([service({ ...placed, ports: [{ name: 'http' }] })]), ['selects_nothing']);
    assert.deepEqual(
      codes([service({ ...placed, selector: { app: 'sleep' }, ports: [{ name: 'http' }] })]),
      [],
    );
  });
});
