/** Request files: what they may say, what they mean where they do not, and what is said of mistakes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readExplainRequests } from '../../src/explain/read-explain-request.ts';

function read(text: string): ReturnType<typeof readExplainRequests>['requests'][number] {
  const { problems, requests } = readExplainRequests(text, 'r.yaml');
  assert.deepEqual(problems, []);
  return requests[0]!;
}

describe('a request file', () => {
  it('means GET / at localhost in plaintext where it says nothing else', () => {
    const { extAuthz, ...rest } = read('to: {}');
    assert.deepEqual(rest, {
      to: { port: null, ip: '' },
      from: { sans: null, ip: '' },
      tls: null,
      http: { method: 'GET', path: '/', host: 'localhost', headers: [], jwt: null },
    });
    assert.equal(extAuthz('opa'), null);
  });

  it('holds every key that there is', () => {
    const { extAuthz, ...rest } = read(`
to: {port: 8080, ip: 10.0.0.2}
from: {principal: cluster.local/ns/foo/sa/sleep, ip: 10.0.0.9}
tls: {sni: example.com, alpn: [istio-http/1.1]}
request: {method: PUT, path: "/a?b=c", host: "a.b:80", headers: {x-role: [a, b], X-One: "1"}}
jwt: {claims: {iss: a, sub: b, groups: [x], nested: {deep: [1, true, null]}}}
extAuthz: {opa: deny, other: error}
`);
    assert.deepEqual(rest, {
      to: { port: 8080, ip: '10.0.0.2' },
      from: { sans: ['spiffe://cluster.local/ns/foo/sa/sleep'], ip: '10.0.0.9' },
      tls: { sni: 'example.com', alpn: ['istio-http/1.1'] },
      http: {
        method: 'PUT',
        path: '/a?b=c',
        host: 'a.b:80',
        headers: ['x-role', 'a', 'x-role', 'b', 'X-One', '1'],
        jwt: {
          kind: 'claims',
          claims: { iss: 'a', sub: 'b', groups: ['x'], nested: { deep: [1, true, null] } },
        },
      },
    });
    assert.deepEqual(['opa', 'other', 'third'].map(extAuthz), ['deny', 'error', null]);
  });

  it('takes a principal with and without spiffe://, and a certificate as it is', () => {
    for (const [from, sans] of [
      ['{principal: spiffe://td/ns/a/sa/b}', ['spiffe://td/ns/a/sa/b']],
      ['{principal: td/ns/a/sa/b}', ['spiffe://td/ns/a/sa/b']],
      ['{sans: ["spiffe://td/x", "https://b", "dns.name"]}', ['spiffe://td/x', 'https://b', 'dns.name']],
      ['{sans: []}', []],
      ['{ip: 10.0.0.1}', null],
      ['plaintext', null],
    ] as const) {
      assert.deepEqual(read(`from: ${from}`).from.sans, sans, from);
    }
  });

  it('takes any name of a header that is no key of the request', () => {
    const { http } = read('request: {headers: {constructor: a, toString: b}}');
    assert.deepEqual(http?.headers, ['constructor', 'a', 'toString', 'b']);
  });

  it('takes one answer for all providers', () => {
    assert.equal(read('extAuthz: allow').extAuthz('any'), 'allow');
  });

  it('holds a TCP connection, and several documents', () => {
    assert.equal(read('tcp: true').http, null);
    assert.notEqual(read('tcp: false').http, null);
    const { requests } = readExplainRequests(
      'tcp: true\n---\nrequest: {path: /a}\n---\nfrom: plaintext\n',
      'r',
    );
    assert.deepEqual(
      requests.map(({ http }) => http?.path),
      [undefined, '/a', '/'],
    );
  });

  for (const [text, place, code, says] of [
    ['reqest: {path: /a}', '1:1', 'unknown_field', /did you mean "request"/],
    ['request: {pth: /a}', '1:11', 'unknown_field', /did you mean "path"/],
    ['to:\n  prot: 1', '2:3', 'unknown_field', /did you mean "port"/],
    ['to: {port: 0}', '1:12', 'out_of_range', /1 to 65535/],
    ['to: {port: "80"}', '1:12', 'wrong_type', /whole number/],
    ['to: {ip: nowhere}', '1:10', 'bad_value', /IP address/],
    ['from: plain', '1:7', 'bad_value', /"plaintext"/],
    ['from: {principle: a}', '1:8', 'unknown_field', /did you mean "principal"/],
    ['from: {principal: "cluster.local/ns/foo bar"}', '1:19', 'bad_value', /the path has " "/],
    ['from: {principal: a/b, sans: [x]}', '1:24', 'conflict', /principal and sans/],
    ['tls: {snii: a}', '1:7', 'unknown_field', /did you mean "sni"/],
    ['request: {headers: {host: a}}', '1:21', 'conflict', /request\.host/],
    ['from: {principal: }', '1:8', 'missing_field', /principal has no value/],
    ['from: {sans: }', '1:8', 'missing_field', /sans has no value/],
    ['request: {path: }', '1:11', 'missing_field', /path has no value/],
    ['request: {headers: {x: }}', '1:21', 'missing_field', /x has no value/],
    ['extAuthz: {opa: }', '1:12', 'missing_field', /opa has no value/],
    ['request: {headers: {x: 1}}', '1:24', 'wrong_type', /write "1" in quotes/],
    ['jwt: {}', '1:1', 'conflict', /exactly one of claims and token/],
    ['jwt: {claims: {}, token: a}', '1:1', 'conflict', /exactly one/],
    ['jwt: {claims: {iss: 1}}', '1:21', 'wrong_type', /1 is not text/],
    ['extAuthz: maybe', '1:11', 'bad_value', /allow, deny, error/],
    ['extAuthz: {opa: alow}', '1:17', 'bad_value', /did you mean "allow"/],
    ['tcp: true\nrequest: {path: /}', '2:1', 'conflict', /TCP/],
    ['tcp: true\njwt: {token: a}', '2:1', 'conflict', /TCP/],
    ['[1]', '1:1', 'not_a_document', /not a mapping/],
    ['a: [', '1:5', 'syntax', /./],
    ['', '1:1', 'empty', /no request/],
  ] as const) {
    it(`refuses ${JSON.stringify(text)} at ${place}`, () => {
      const { problems, requests } = readExplainRequests(text, 'r.yaml');
      assert.deepEqual(requests, []);
      const [problem] = problems;
      assert.ok(problem !== undefined);
      assert.deepEqual(
        [`${problem.line}:${problem.column}`, problem.code, problem.severity],
        [place, code, 'error'],
      );
      assert.match(`${problem.message}; ${problem.fix}`, says);
    });
  }
});
