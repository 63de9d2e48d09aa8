/** The bytes of a check: what the library itself would write for the same message, however they are made. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { requestCheck } from '../../src/filters/ext-authz-check-request.ts';
import type { CheckedBody } from '../../src/filters/ext-authz-answer.ts';
import type { RequestContext } from '../../src/http/filter.ts';
import { CheckRequestSchema } from '../../src/wire/gen/envoy/service/auth/v3/external_auth_pb.ts';
import { PEER } from '../http/proxy-fixture.ts';
import { connectionFacts } from '../support/connection-facts.ts';

const FACTS = connectionFacts({ remote: { ip: 'fd00::3', port: 33_333 }, peer: PEER });

function requestOf(head: Partial<RequestContext['head']>): RequestContext {
  return {
    connection: FACTS,
    head: {
      method: 'POST',
      rawTarget: '/a?b',
      path: '/a?b',
      authority: 'httpbin.foo',
      version: '1.1',
      fields: [],
      bodyLength: 0,
      statesEmptyBody: false,
      expectContinue: false,
      acceptsTrailers: false,
      ...head,
    },
    originalPath: '/a?b',
    requestId: '',
    token: null,
    readBody: () => Promise.reject(new Error('no body')),
  };
}

describe('the bytes of a check', () => {
  for (const [what, head, body, packAsBytes] of [
    ['a bare request', {}, null, false],
    ['HTTP/1.0 without Host', { version: '1.0', authority: '' }, null, false],
    [
      'copies, empty and foreign bytes',
      { fields: ['x', 'a', 'y', '', 'x', '\u00e9', 'z', '\u00c3\u00a9'] },
      null,
      false,
    ],
    ['framing', { bodyLength: 70_000, acceptsTrailers: true }, null, false],
    ['a stated empty body', { statesEmptyBody: true }, null, false],
    ['a body as text', { bodyLength: 3 }, { bytes: Buffer.from('a\u00e9'), partial: false }, false],
    ['a body as bytes', { bodyLength: 900 }, { bytes: Buffer.alloc(200, 255), partial: true }, true],
    ['a chunked body cut short', { bodyLength: -1 }, { bytes: Buffer.from('abc'), partial: true }, false],
    ['an empty body', {}, { bytes: Buffer.alloc(0), partial: false }, true],
  ] as [string, Partial<RequestContext['head']>, CheckedBody | null, boolean][]) {
    it(`are those of the library: ${what}`, () => {
      const request = requestOf(head);
      for (const own of ['spiffe://cluster.local/ns/foo/sa/httpbin', 'spiffe://other.td/ns/foo/sa/httpbin']) {
        const bytes = requestCheck(request, body, packAsBytes, own);
        const message = fromBinary(CheckRequestSchema, bytes);
        assert.deepEqual(Buffer.from(bytes), Buffer.from(toBinary(CheckRequestSchema, message)));
        assert.equal(message.$unknown, undefined);
        const { destination, request: sent, source } = message.attributes!;
        assert.equal(destination?.principal, own, 'the identity of now');
        assert.equal(source?.principal, PEER.spiffeId);
        const http = sent!.http!;
        assert.deepEqual(
          [http.method, http.path, http.host, http.headers[':path']],
          ['POST', '/a?b', request.head.authority, '/a?b'],
        );
      }
    });
  }

  it('say of a field what all its copies say, in the place of the first', () => {
    const bytes = requestCheck(
      requestOf({ fields: ['x', 'a', 'y', '1', 'x', '', 'x', 'c'] }),
      null,
      false,
      '',
    );
    const { headers } = fromBinary(CheckRequestSchema, bytes).attributes!.request!.http!;
    assert.equal(headers['x'], 'a,,c');
    assert.equal(headers['y'], '1');
  });
});
