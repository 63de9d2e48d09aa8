/** What the edge of the workload sees to: x-envoy-*, x-request-id, x-forwarded-proto, the normalised path. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EdgeFieldsFilter } from '../../src/filters/edge-fields.ts';
import { PathNormalizationFilter } from '../../src/filters/path-normalization.ts';
import type { Deny, RequestContext } from '../../src/http/filter.ts';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function edge(fields: string[], tls = false): string[] {
  new EdgeFieldsFilter().onRequest({ head: { fields }, connection: { tls } } as unknown as RequestContext);
  const at = fields.lastIndexOf('x-request-id');
  if (at >= 0 && UUID.test(fields[at + 1]!)) fields[at + 1] = 'UUID';
  return fields;
}

describe('edge fields', () => {
  const cases: readonly (readonly [string, string[], string[], boolean?])[] = [
    ['are added where absent', ['a', 'b'], ['a', 'b', 'x-forwarded-proto', 'http', 'x-request-id', 'UUID']],
    ['say https over TLS', [], ['x-forwarded-proto', 'https', 'x-request-id', 'UUID'], true],
    [
      'x-envoy-* goes',
      ['x-envoy-original-path', '/a', 'x-envoy-', 'b', 'x-envoyage', 'c'],
      ['x-envoyage', 'c', 'x-forwarded-proto', 'http', 'x-request-id', 'UUID'],
    ],
    [
      'a request id stays, the first of several',
      ['x-request-id', 'r1', 'x-request-id', 'r2'],
      ['x-request-id', 'r1', 'x-forwarded-proto', 'http'],
    ],
    [
      'an empty or overlong request id is replaced',
      ['x-request-id', '', 'x-request-id', 'r'.repeat(257)],
      ['x-forwarded-proto', 'http', 'x-request-id', 'UUID'],
    ],
    [
      'x-forwarded-proto is http or https',
      ['x-forwarded-proto', 'gopher', 'x-forwarded-proto', 'https', 'x-request-id', 'r'],
      ['x-forwarded-proto', 'https', 'x-request-id', 'r'],
    ],
    [
      'x-forwarded-for stays',
      ['x-forwarded-for', '1.2.3.4', 'x-request-id', 'r'],
      ['x-forwarded-for', '1.2.3.4', 'x-request-id', 'r', 'x-forwarded-proto', 'http'],
    ],
  ];
  for (const [name, fields, expected, tls] of cases) {
    it(name, () => assert.deepEqual(edge([...fields], tls), expected));
  }
});

describe('path normalisation', () => {
  it('changes the path that everybody after it sees', () => {
    const head = { path: '/a/../b//c?d=/../' };
    const request = { head } as unknown as RequestContext;
    assert.equal(new PathNormalizationFilter('MERGE_SLASHES').onRequest(request).kind, 'continue');
    assert.equal(head.path, '/b/c?d=/../');
  });

  it('denies what cannot be normalised with 400 and no body', () => {
    const head = { path: '/a%00' };
    const verdict = new PathNormalizationFilter('BASE').onRequest({
      head,
    } as unknown as RequestContext) as Deny;
    assert.deepEqual(
      [verdict.kind, verdict.status, verdict.code],
      ['deny', 400, 'path_normalization_failed'],
    );
    assert.equal(head.path, '/a%00');
  });

  it('NONE and "*" change nothing', () => {
    for (const [path, mode] of [
      ['/a/../b', 'NONE'],
      ['*', 'DECODE_AND_MERGE_SLASHES'],
    ] as const) {
      const head = { path };
      new PathNormalizationFilter(mode).onRequest({ head } as unknown as RequestContext);
      assert.equal(head.path, path);
    }
  });
});
