import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { AccessLogEntry } from '../../src/observe/access-log-entry.ts';
import { compileAccessLogFormat } from '../../src/observe/access-log-format.ts';
import type { FormatLine } from '../../src/observe/access-log-format.ts';

function compile(encoding: 'TEXT' | 'JSON', format = ''): FormatLine {
  const compiled = compileAccessLogFormat(encoding, format);
  assert.ok(compiled.ok, compiled.ok ? '' : compiled.error);
  return compiled.line;
}

function entryOf(values: Partial<AccessLogEntry>): AccessLogEntry {
  return Object.assign(new AccessLogEntry(), values);
}

/** The denied request of istio.io's own sample line. */
const DENIED = entryOf({
  startTimeMs: Date.UTC(2025, 2, 4, 5, 6, 7, 89),
  method: 'GET',
  originalPath: '/status/200',
  protocol: 'HTTP/1.1',
  responseCode: 403,
  responseCodeDetails: 'rbac_access_denied_matched_policy[ns[starfleet]-policy[probe-deny-status]-rule[0]]',
  bytesSent: 19,
  requestId: 'cf84',
  userAgent: 'curl/8.11.1',
  authority: 'probe:8000',
  upstreamCluster: 'inbound|8080||',
  downstreamLocalAddress: '10.244.0.14:8080',
  downstreamRemoteAddress: '10.244.0.12:52784',
  requestedServerName: 'outbound_.8000_._.probe.starfleet.svc.cluster.local',
  routeName: 'default',
});

describe('access-log format', () => {
  it('writes the default text line of Istio', () => {
    assert.equal(
      compile('TEXT')(DENIED),
      '[2025-03-04T05:06:07.089Z] "GET /status/200 HTTP/1.1" 403 - ' +
        'rbac_access_denied_matched_policy[ns[starfleet]-policy[probe-deny-status]-rule[0]] - "-" 0 19 0 - "-" ' +
        '"curl/8.11.1" "cf84" "probe:8000" "-" inbound|8080|| - 10.244.0.14:8080 10.244.0.12:52784 ' +
        'outbound_.8000_._.probe.starfleet.svc.cluster.local default\n',
    );
  });

  it('writes the default JSON object of Istio, null for what is missing', () => {
    const line = compile('JSON')(DENIED);
    assert.ok(line.endsWith('}\n'));
    assert.deepEqual(JSON.parse(line), {
      start_time: '2025-03-04T05:06:07.089Z',
      route_name: 'default',
      method: 'GET',
      path: '/status/200',
      protocol: 'HTTP/1.1',
      response_code: 403,
      response_flags: '-',
      response_code_details: DENIED.responseCodeDetails,
      connection_termination_details: null,
      bytes_received: 0,
      bytes_sent: 19,
      duration: 0,
      upstream_service_time: null,
      x_forwarded_for: null,
      user_agent: 'curl/8.11.1',
      request_id: 'cf84',
      authority: 'probe:8000',
      upstream_host: null,
      upstream_cluster: 'inbound|8080||',
      upstream_local_address: null,
      downstream_local_address: '10.244.0.14:8080',
      downstream_remote_address: '10.244.0.12:52784',
      requested_server_name: 'outbound_.8000_._.probe.starfleet.svc.cluster.local',
      upstream_transport_failure_reason: null,
    });
  });

  it('writes a TCP connection as Envoy does', () => {
    const line = compile('TEXT')(
      entryOf({ bytesReceived: 5, bytesSent: 7, durationMs: 12.7, responseFlags: 'NR' }),
    );
    assert.equal(
      line,
      '[1970-01-01T00:00:00.000Z] "- - -" 0 NR - - "-" 5 7 12 - "-" "-" "-" "-" "-" - - - - - -\n',
    );
  });

  const withFields = entryOf({
    startTimeMs: Date.UTC(2026, 0, 2, 15, 4, 5, 67),
    originalPath: '/a//b',
    path: '/a/b',
    method: 'GET',
    responseCode: 200,
    requestFields: ['x-one', '1', 'x-two', '22', 'x-one', 'again', 'user-agent', 'listed'],
    responseFields: ['server', 'app'],
    responseTrailers: ['grpc-status', '0'],
    downstreamRemoteAddress: '[2001:db8::1]:443',
    upstreamServiceTimeMs: 0,
    connectionId: 7,
    peerUri: 'spiffe://td/ns/a/sa/b',
  });
  const operators: readonly (readonly [string, string])[] = [
    ['%REQ(X-ONE)%', '1'],
    ['%REQ(X-NONE?X-TWO)%', '22'],
    ['%REQ(x-two):1%', '2'],
    ['%REQ(X-NONE)%', '-'],
    ['%REQ(USER-AGENT)%', 'listed'],
    ['%REQ(:PATH)% %REQ(X-ENVOY-ORIGINAL-PATH)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%', '/a/b /a//b /a//b'],
    ['%RESP(SERVER)% %RESP(:STATUS)% %TRAILER(GRPC-STATUS)%', 'app 200 0'],
    ['%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%', '0'],
    ['%START_TIME(%Y/%m/%dT%H:%M:%S.%3f%z %s)%', '2026/01/02T15:04:05.067+0000 1767366245'],
    ['%START_TIME(%b %e %I:%M %p %j)%', 'Jan  2 03:04 PM 002'],
    ['%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT% %DOWNSTREAM_REMOTE_PORT%', '2001:db8::1 443'],
    ['%UPSTREAM_REMOTE_PORT% %UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', '- -'],
    ['%CONNECTION_ID% %DOWNSTREAM_PEER_URI_SAN%', '7 spiffe://td/ns/a/sa/b'],
    ['100%% of %RESPONSE_CODE%', '100% of 200'],
    ['%DYNAMIC_METADATA(a:b)%', '-'],
  ];
  for (const [format, expected] of operators) {
    it(`fills ${format}`, () => assert.equal(compile('TEXT', format)(withFields), `${expected}\n`));
  }

  const refused: readonly (readonly ['TEXT' | 'JSON', string])[] = [
    ['TEXT', '%NO_SUCH_OPERATOR%'],
    ['TEXT', '%constructor%'],
    ['TEXT', '%PROTOCOL'],
    ['TEXT', '50% of'],
    ['TEXT', '%REQ%'],
    ['TEXT', '%REQ()%'],
    ['TEXT', '%REQ(A?B?C)%'],
    ['TEXT', '%PROTOCOL(x)%'],
    ['TEXT', '%START_TIME(%Q)%'],
    ['JSON', '%PROTOCOL%'],
    ['JSON', '["%PROTOCOL%"]'],
    ['JSON', '{"a":{"b":"%NO_SUCH%"}}'],
  ];
  for (const [encoding, format] of refused) {
    it(`refuses ${encoding} ${format}`, () => {
      const compiled = compileAccessLogFormat(encoding, format);
      assert.equal(compiled.ok, false);
      assert.ok(!compiled.ok && compiled.error.length > 0);
    });
  }

  it('names the operators that are never filled', () => {
    const compiled = compileAccessLogFormat('TEXT', '%TRACE_ID% %PROTOCOL% %TRACE_ID%');
    assert.deepEqual(compiled.ok && compiled.neverFilled, ['TRACE_ID']);
  });

  it('keeps the types of a JSON format object', () => {
    const format = JSON.stringify({
      code: '%RESPONSE_CODE%',
      none: '%REQ(X-NONE)%',
      mixed: 'code "%RESPONSE_CODE%" %REQ(X-NONE)% 100%%',
      nested: { list: ['%REQ(X-ONE)%', 1, true, null] },
      __proto__x: 'plain',
    });
    assert.deepEqual(JSON.parse(compile('JSON', format)(withFields)), {
      code: 200,
      none: null,
      mixed: 'code "200" - 100%',
      nested: { list: ['1', 1, true, null] },
      __proto__x: 'plain',
    });
  });
});

/** Attacker model: a peer chooses every byte of these values and wants to write a log line of its own. */
describe('hostile values in the access log', () => {
  const everyUnit = Array.from({ length: 0x300 }, (_, unit) => String.fromCharCode(unit));
  const hostile = [
    ...everyUnit,
    '\ud800',
    '\udfff',
    '\u2028',
    'a\ud800b',
    '"\n[2025-01-01T00:00:00.000Z] "GET / HTTP/1.1" 200',
  ];
  const fields = [
    'method',
    'originalPath',
    'authority',
    'userAgent',
    'requestId',
    'xForwardedFor',
    'requestedServerName',
    'routeName',
    'responseCodeDetails',
    'connectionTerminationDetails',
    'upstreamTransportFailureReason',
    'upstreamCluster',
  ] as const;

  for (const field of fields) {
    it(`cannot break a text line through ${field}`, () => {
      const line = compile('TEXT');
      const quotes = line(entryOf({ [field]: 'x' })).split('"').length;
      for (const value of hostile) {
        const text = line(entryOf({ [field]: value }));
        assert.match(text, /^[\x20-\x7e]*\n$/, JSON.stringify(value));
        assert.equal(text.split('"').length, quotes, JSON.stringify(value));
      }
    });

    it(`cannot break a JSON line through ${field}`, () => {
      const line = compile('JSON');
      const mixed = compile('JSON', '{"a":"<%REQ(:PATH)%> %REQ(USER-AGENT)% %ROUTE_NAME%"}');
      for (const value of hostile) {
        for (const text of [line(entryOf({ [field]: value })), mixed(entryOf({ [field]: value }))]) {
          assert.equal(text.indexOf('\n'), text.length - 1);
          assert.ok(text.isWellFormed());
          // oxlint-disable-next-line no-control-regex -- they are what is looked for
          assert.doesNotMatch(text.slice(0, -1), /[\0-\x1f\x7f-\x9f\u2028\u2029]/);
          JSON.parse(text);
        }
      }
    });
  }

  it('keeps unquoted values in one word', () => {
    const line = compile('TEXT', '%REQUESTED_SERVER_NAME%|%RESPONSE_CODE_DETAILS%');
    assert.equal(
      line(entryOf({ requestedServerName: 'a b"c\nd.e', responseCodeDetails: 'x y\tz' })),
      'a_b_c_d.e|x_y_z\n',
    );
  });

  it('escapes text so that it can be told apart', () => {
    const line = compile('TEXT', '%REQ(USER-AGENT)%');
    assert.equal(
      line(entryOf({ userAgent: 'a"b\\c\n\0\xe9\u20ac' })),
      'a\\x22b\\x5Cc\\x0A\\x00\\xE9\\u20AC\n',
    );
  });

  it('shows header bytes that are UTF-8 as such in JSON, others as Latin-1', () => {
    const line = compile('JSON', '{"a":"%REQ(USER-AGENT)%"}');
    const utf8AsLatin1 = Buffer.from('é€', 'utf8').toString('latin1');
    assert.deepEqual(JSON.parse(line(entryOf({ userAgent: utf8AsLatin1 }))), { a: 'é€' });
    assert.deepEqual(JSON.parse(line(entryOf({ userAgent: '\xe9"' }))), { a: 'é"' });
  });
});
