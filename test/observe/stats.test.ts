import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { collectStats } from '../../src/observe/collect-stats.ts';
import type { StatsInput } from '../../src/observe/collect-stats.ts';
import { ControlCounters } from '../../src/observe/control-counters.ts';
import { Counters, MAX_SCOPES, MAX_TRAFFIC_LABEL_SETS, sumCounters } from '../../src/observe/counters.ts';
import { answerStats, renderPrometheus } from '../../src/observe/render-stats.ts';
import { MAX_RESPONSE_SERIES } from '../../src/observe/traffic-counters.ts';
import type { TrafficLabels } from '../../src/observe/traffic-counters.ts';

function labels(sourcePrincipal: string): TrafficLabels {
  return {
    reporter: 'destination',
    sourcePrincipal,
    sourceWorkloadNamespace: 'foo',
    destinationPrincipal: 'spiffe://cluster.local/ns/foo/sa/httpbin',
    destinationWorkload: 'httpbin-1',
    destinationWorkloadNamespace: 'foo',
    destinationApp: 'httpbin',
    destinationVersion: 'v1',
    destinationService: 'httpbin.foo.svc.cluster.local',
    destinationServiceName: 'httpbin',
    destinationServiceNamespace: '',
    requestProtocol: 'http',
    connectionSecurityPolicy: 'mutual_tls',
  };
}

function filled(): Counters {
  const counters = new Counters();
  const listener = counters.listener('0.0.0.0_15001');
  listener.cxTotal = 5;
  listener.cxActive = 2;
  listener.addHandshake('TLSv1.3', 'TLS_AES_128_GCM_SHA256', false);
  listener.addHandshake('TLSv1.3', 'TLS_AES_128_GCM_SHA256', true);
  listener.addRefused('sniff_timeout');
  const http = counters.httpScope('inbound_0.0.0.0_8080');
  for (const status of [100, 200, 204, 301, 404, 503]) http.addResponse(status);
  http.addCodecRefused('bad_host');
  counters.tunnelScope('inbound|9000||').cxTotal = 1;
  counters.cluster('inbound|8080||').cxConnectFail = 1;
  const requests = counters.requestCounter(labels('spiffe://cluster.local/ns/foo/sa/sleep'));
  requests.add(200, '-', 0.4);
  requests.add(200, '-', 7);
  requests.add(503, 'UF', 4_000_000);
  const tcp = counters.tcpCounter({ ...labels('unknown"\\\n'), requestProtocol: 'tcp' });
  tcp.connectionsOpened = 1;
  tcp.sentBytes = 10;
  return counters;
}

function input(counters = filled()): StatsInput {
  const control = new ControlCounters();
  control.startedAtMs = 0;
  control.generation = 3;
  control.certificateNotAfterMs = 10 * 86_400_000 + 5_000;
  control.rootNotAfterMs = 100 * 86_400_000;
  return { counters: sumCounters([counters]), control, ready: true, nowMs: 5_000 };
}

const text = async (query: string): Promise<string> =>
  (await answerStats(input(), new URLSearchParams(query))).body;

describe('counters', () => {
  it('add up over workers after a structured clone', () => {
    const sum = sumCounters([
      structuredClone<Counters>(filled()),
      structuredClone<Counters>(filled()),
      new Counters(),
    ]);
    assert.equal(sum.listeners['0.0.0.0_15001']?.cxTotal, 10);
    assert.equal(sum.listeners['0.0.0.0_15001']?.sslVersions['TLSv1.3'], 4);
    assert.equal(sum.listeners['0.0.0.0_15001']?.refused['sniff_timeout'], 2);
    const [pair] = Object.values(sum.requests);
    assert.equal(pair?.labels.sourcePrincipal, 'spiffe://cluster.local/ns/foo/sa/sleep');
    assert.deepEqual(Object.values(pair.responses), [
      { code: '200', flags: '-', count: 4 },
      { code: '503', flags: 'UF', count: 2 },
    ]);
    assert.equal(pair.durationBuckets.at(-1), 2);
    assert.equal(pair.durationCount, 6);
  });

  it('do not change what they were summed from', () => {
    const counters = filled();
    sumCounters([counters, counters]);
    assert.equal(counters.listener('0.0.0.0_15001').cxTotal, 5);
  });

  it('are the same object for the same scope, also for names of Object.prototype', () => {
    const counters = new Counters();
    counters.cluster('__proto__').cxTotal = 1;
    counters.cluster('constructor').cxTotal = 2;
    assert.equal(counters.cluster('__proto__').cxTotal, 1);
    const sum = sumCounters([counters, counters]);
    assert.equal(sum.clusters['constructor']?.cxTotal, 4);
  });

  it('keep a bounded number of scopes, label sets and response series', () => {
    const counters = new Counters();
    for (let i = 0; i < MAX_SCOPES + 10; i++) counters.httpScope(`port ${i}`).rqTotal++;
    assert.equal(Object.keys(counters.http).length, MAX_SCOPES + 1);
    assert.equal(counters.http['other']?.rqTotal, 10);
    for (let i = 0; i < MAX_TRAFFIC_LABEL_SETS + 10; i++)
      counters.requestCounter(labels(`spiffe://td/${i}`)).add(200, '-', 1);
    assert.equal(Object.keys(counters.requests).length, MAX_TRAFFIC_LABEL_SETS + 1);
    assert.equal(counters.requests['other']?.labels.sourcePrincipal, 'other');
    assert.equal(counters.requests['other']?.durationCount, 10);
    const one = counters.requestCounter(labels('spiffe://td/0'));
    for (let code = 100; code < 1_000; code++) one.add(code, '-', 1);
    assert.equal(Object.keys(one.responses).length, MAX_RESPONSE_SERIES + 1);
    let total = 0;
    for (const series of Object.values(one.responses)) total += series.count;
    assert.equal(total, 901);
  });
});

describe('/stats', () => {
  it('uses the names of Envoy', async () => {
    const body = await text('');
    for (const line of [
      'listener.0.0.0.0_15001.downstream_cx_total: 5',
      'listener.0.0.0.0_15001.ssl.handshake: 2',
      'listener.0.0.0.0_15001.ssl.session_reused: 1',
      'listener.0.0.0.0_15001.ssl.versions.TLSv1.3: 2',
      'listener.0.0.0.0_15001.ssl.ciphers.TLS_AES_128_GCM_SHA256: 2',
      'listener.0.0.0.0_15001.no_filter_chain_match: 0',
      'listener.0.0.0.0_15001.refused.sniff_timeout: 1',
      'http.inbound_0.0.0.0_8080.downstream_rq_2xx: 2',
      'http.inbound_0.0.0.0_8080.codec_refused.bad_host: 1',
      'cluster.inbound|8080||.upstream_cx_connect_fail: 1',
      'tcp.inbound|9000||.downstream_cx_total: 1',
      'server.live: 1',
      'server.uptime: 5',
      'server.days_until_first_cert_expiring: 10',
    ]) {
      assert.ok(body.split('\n').includes(line), line);
    }
    const names = body
      .trimEnd()
      .split('\n')
      .map((line) => line.slice(0, line.lastIndexOf(':')));
    assert.deepEqual(names, names.toSorted());
    assert.equal(new Set(names).size, names.length);
  });

  it('filters, leaves out the unused and speaks JSON', async () => {
    assert.equal(
      await text('filter=rq_%5B45%5Dxx'),
      'http.inbound_0.0.0.0_8080.downstream_rq_4xx: 1\nhttp.inbound_0.0.0.0_8080.downstream_rq_5xx: 1\n',
    );
    assert.doesNotMatch(await text('usedonly'), /: 0\n/);
    assert.deepEqual(JSON.parse(await text('format=json&filter=generation')), {
      stats: [{ name: 'config.generation', value: 3 }],
    });
  });

  for (const query of [
    'filter=(',
    `filter=${encodeURIComponent('(.*)*(.*)*(.*)*(.*)*x{9}$')}`,
    `filter=${'a'.repeat(300)}`,
    'format=html',
  ]) {
    it(`refuses ?${query.slice(0, 40)} instead of hanging on it`, async () => {
      const started = performance.now();
      const answer = await answerStats(input(), new URLSearchParams(query));
      assert.equal(answer.status, 400, answer.body.slice(0, 200));
      assert.ok(performance.now() - started < 3_000);
    });
  }
});

describe('/stats/prometheus', () => {
  it('is valid: HELP and TYPE once before each family, no series twice, values that are numbers', async () => {
    const body = await renderPrometheus(input());
    const types = new Map<string, string>();
    const series = new Set<string>();
    let family = '';
    for (const line of body.split('\n')) {
      if (line === '') continue;
      const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram)$/.exec(line);
      if (type !== null) {
        assert.ok(!types.has(type[1]!), line);
        types.set(type[1]!, type[2]!);
        family = type[1]!;
        continue;
      }
      if (line.startsWith('#')) {
        assert.match(line, /^# HELP [a-zA-Z_:][\w:]* \S/);
        continue;
      }
      const sample =
        /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[\d.e+]+)$/.exec(line);
      assert.ok(sample !== null, line);
      const name =
        types.get(family) === 'histogram' ? sample[1]!.replace(/_(bucket|sum|count)$/, '') : sample[1]!;
      assert.equal(name, family);
      assert.ok(!series.has(sample[1]! + (sample[2] ?? '')), line);
      series.add(sample[1]! + (sample[2] ?? ''));
    }
    assert.ok(series.size > 50);
  });

  it('uses the names and labels of Envoy and Istio', async () => {
    const body = await renderPrometheus(input());
    for (const expected of [
      'envoy_listener_ssl_handshake{envoy_listener_address="0.0.0.0_15001"} 2',
      'envoy_listener_ssl_versions{envoy_listener_address="0.0.0.0_15001",envoy_ssl_version="TLSv1.3"} 2',
      'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="inbound_0.0.0.0_8080",envoy_response_code_class="2"} 2',
      'envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name="inbound|8080||"} 1',
      'postern_connections_refused_total{envoy_listener_address="0.0.0.0_15001",code="sniff_timeout"} 1',
      'istio_agent_cert_expiry_seconds{resource_name="default"} 864000',
      'postern_config_reloads_total{result="refused"} 0',
      'istio_request_duration_milliseconds_count{',
    ]) {
      assert.ok(body.includes(`\n${expected}`), expected);
    }
    assert.match(
      body,
      /\nistio_requests_total\{reporter="destination",source_principal="spiffe:\/\/cluster.local\/ns\/foo\/sa\/sleep",.*destination_service_namespace="unknown",request_protocol="http",connection_security_policy="mutual_tls",response_code="503",response_flags="UF"\} 1\n/,
    );
    assert.match(
      body,
      /\nistio_tcp_connections_opened_total\{.*source_principal="unknown\\"\\\\\\n".*\} 1\n/,
    );
    const buckets = [...body.matchAll(/_milliseconds_bucket\{.*le="([^"]+)"\} (\d+)/g)].map(
      ([, le, value]) => `${le}=${value}`,
    );
    assert.deepEqual(buckets.slice(0, 4), ['0.5=1', '1=1', '5=1', '10=2']);
    assert.deepEqual(buckets.slice(-2), ['3600000=2', '+Inf=3']);
  });

  it('has one type and help for each metric', () => {
    const seen = new Map<string, string>();
    for (const sample of collectStats(input())) {
      const described = `${sample.type} ${sample.help}`;
      assert.equal(seen.get(sample.metric) ?? described, described, sample.metric);
      seen.set(sample.metric, described);
    }
  });
});
