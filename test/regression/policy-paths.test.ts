/**
 * Paths that name a denied place in other words. Each row says what the app may see: nothing, or the very path that
 * was judged.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { get, meshConfig } from '../flow/flow-mesh.ts';
import { httpProvider, policy, PolicyMesh, to } from '../flow/policy-mesh.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';

/** The target as sent; what reaches the app, or the status without anything reaching it. */
type Row = readonly [sent: string, seen: string | 400 | 403 | 404];

interface Group {
  readonly title: string;
  readonly normalization: 'NONE' | 'DEFAULT' | 'BASE' | 'MERGE_SLASHES' | 'DECODE_AND_MERGE_SLASHES';
  readonly documents: string;
  readonly rows: readonly Row[];
}

const deny = (...paths: readonly string[]): string =>
  policy('deny', `{action: DENY, rules: ${to('paths', ...paths)}}`);
const allow = (...paths: readonly string[]): string => policy('allow', `{rules: ${to('paths', ...paths)}}`);

const GROUPS: readonly Group[] = [
  {
    title: 'repeated slashes (CVE-2021-31920, CVE-2021-29492)',
    normalization: 'MERGE_SLASHES',
    documents: deny('/admin', '/admin/*'),
    rows: [
      ['/admin', 403],
      ['//admin', 403],
      ['/.//admin', 403],
      ['/./admin', 403],
      ['/admin/', 403],
      ['/admin//', 403],
      ['///admin//x?y=//z', 403],
      ['//public//x?y=//z', '/public/x?y=//z'],
    ],
  },
  {
    title: 'repeated slashes that the mode leaves alone',
    normalization: 'BASE',
    documents: deny('/admin'),
    // A different path for policy and for app alike.
    rows: [
      ['//admin', '//admin'],
      ['/admin', 403],
    ],
  },
  {
    title: 'escaped slashes',
    normalization: 'DECODE_AND_MERGE_SLASHES',
    documents: deny('/admin*', '/a/b'),
    rows: [
      ['/public%2f..%2fadmin', 403],
      ['/public%2F..%2Fadmin', 403],
      ['/public%5c..%5Cadmin', 403],
      ['/a%5cb', 403],
      ['/a%2fb', 403],
      ['/public%2f%2fx', '/public/x'],
      // Decoded once, not until nothing is left.
      ['/public%252f..%252fadmin', '/public%252f..%252fadmin'],
    ],
  },
  {
    title: 'dot segments (CVE-2019-9901)',
    normalization: 'DEFAULT',
    documents: deny('/private', '/private/*'),
    rows: [
      ['/public/../private', 403],
      ['/public/%2E%2e/private', 403],
      ['/public/.%2e/private', 403],
      ['/../../private', 403],
      ['/private/.', 403],
      ['/private/x/..', 403],
      ['/public/../public/./x', '/public/x'],
    ],
  },
  {
    title: 'backslashes',
    normalization: 'BASE',
    documents: deny('/c', '/priv*'),
    rows: [
      ['/a/..\\c', 403],
      ['/pub/..\\priv', 403],
      ['\\priv', 400],
      ['/pub\\x', '/pub/x'],
    ],
  },
  {
    title: 'fragments (CVE-2021-32779, CVE-2021-39156)',
    normalization: 'NONE',
    documents: deny('/user/profile'),
    rows: [
      ['/user/profile#x', 403],
      ['/user/profile#', 403],
      ['/user/profile#?a', 403],
      ['/user/other#/user/profile', '/user/other'],
      ['http://httpbin.foo/user/profile#x', 403],
    ],
  },
  {
    title: 'a query in an exact match (CVE-2020-8595)',
    normalization: 'DEFAULT',
    documents: deny('/protected'),
    rows: [
      ['/protected?', 403],
      ['/protected?a', 403],
      ['/protected#', 403],
      ['/protected?#', 403],
      ['/x?/protected', '/x?/protected'],
    ],
  },
  {
    title: 'an ALLOW that a query must not satisfy',
    normalization: 'DEFAULT',
    documents: allow('/info*', '*.png'),
    rows: [
      ['/admin?/info', 403],
      ['/admin?x=.png', 403],
      ['/admin#.png', 403],
      ['/admin%3f.png', '/admin%3f.png'],
      ['/info?/admin', '/info?/admin'],
    ],
  },
  {
    title: 'matrix parameters: nothing is cut from a segment, for policy and app alike (documented)',
    normalization: 'DEFAULT',
    documents: deny('/admin/*'),
    rows: [
      ['/admin;x=y/action', '/admin;x=y/action'],
      ['/pub;a/../admin/x', 403],
      ['/pub/..;/admin/x', 403],
      ['/pub/%2e%2e;/admin/x', '/pub/..;/admin/x'],
    ],
  },
  {
    title: 'templates (CVE-2025-46821, CVE-2024-23323): a star of the request is a letter',
    normalization: 'NONE',
    documents: allow('/foo/{*}', '/files/{**}/end'),
    rows: [
      ['/foo/*', '/foo/*'],
      ['/foo/a', '/foo/a'],
      ['/foo/', 403],
      ['/foo', 403],
      ['/foo/a/b', 403],
      ['/foo/{*}', 403],
      ['/foo/**', '/foo/**'],
      ['/*/a', 403],
      ['/files/a/b/end', '/files/a/b/end'],
      ['/files/a/b/end/x', 403],
      ['/foo/a?/b', '/foo/a?/b'],
    ],
  },
  {
    title: 'targets that are no path',
    normalization: 'DEFAULT',
    documents: deny('/pkg.Svc/Method'),
    // CVE-2026-33186: without its slash it is no path that a rule could have missed.
    rows: [
      ['pkg.Svc/Method', 400],
      ['*', 400],
      ['http:/pkg.Svc/Method', 400],
      ['', 400],
      ['/pkg.Svc/Method', 403],
    ],
  },
  {
    title: 'a path that looks like an authority (CVE-2026-26205, CVE-2022-35949)',
    normalization: 'DEFAULT',
    documents: deny('/secret'),
    rows: [
      ['//admin/secret', '//admin/secret'],
      ['//httpbin.foo/secret', '//httpbin.foo/secret'],
      ['http://httpbin.foo//secret', '//secret'],
    ],
  },
  {
    title: 'escapes that would become structure if they were decoded and put back',
    normalization: 'DEFAULT',
    documents: deny('/private*'),
    rows: [
      ['/t/a%2F..%23', '/t/a%2F..%23'],
      ['/t/a%2f..%2fprivate', '/t/a%2f..%2fprivate'],
      ['/t/%0d%0aGET%20/private%20HTTP/1.1', '/t/%0d%0aGET%20/private%20HTTP/1.1'],
      ['/t/%3fx', '/t/%3fx'],
      ['/%70rivate', 403],
      ['/%2570rivate', '/%2570rivate'],
    ],
  },
];

for (const { title, normalization, documents, rows } of GROUPS) {
  describe(title, () => {
    let mesh: PolicyMesh;
    before(async () => {
      const settings = meshConfig(`pathNormalization: {normalization: ${normalization}}`);
      mesh = await PolicyMesh.start({ documents: documents + settings });
    });
    after(() => mesh[Symbol.asyncDispose]());
    for (const [sent, seen] of rows) {
      it(`${JSON.stringify(sent)} under ${normalization}: ${typeof seen === 'number' ? `${seen}, and nothing reaches the app` : `the app sees ${seen}`}`, async () => {
        const { status, targets, reached } = await mesh.ask(get(sent));
        assert.equal(status, typeof seen === 'number' ? seen : 200);
        assert.deepEqual(targets, typeof seen === 'number' ? [] : [seen]);
        // Nothing of the path may end up as the host.
        for (const request of reached) assert.equal(request.header('host'), 'httpbin.foo');
      });
    }
  });
}

describe('requests without a path, with policies of every action in force', () => {
  let mesh: PolicyMesh;
  before(async () => {
    mesh = await PolicyMesh.start({
      documents:
        policy('deny', `{action: DENY, rules: ${to('paths', '/x')}}`) +
        policy('allow', `{rules: ${to('methods', 'GET', 'OPTIONS', 'CONNECT')}}`) +
        policy('audit', `{action: AUDIT, rules: ${to('paths', '*')}}`),
    });
  });
  after(() => mesh[Symbol.asyncDispose]());

  it('CONNECT is answered here, and the process lives', async () => {
    const { status, reached } = await mesh.ask('CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n');
    assert.equal(status, 404);
    assert.deepEqual(reached, []);
  });

  it('OPTIONS * is judged like any other request', async () => {
    const asked = await mesh.ask('OPTIONS * HTTP/1.1\r\nhost: httpbin.foo\r\n\r\n');
    assert.equal(asked.status, 200);
    assert.deepEqual(asked.targets, ['*']);
    await mesh.change(policy('allow', `{rules: ${to('paths', '/*')}}`));
    assert.equal((await mesh.ask('OPTIONS * HTTP/1.1\r\nhost: httpbin.foo\r\n\r\n')).status, 403);
    assert.equal((await mesh.ask(get('/'))).status, 200);
  });
});

describe('requests without a path, with ext_authz in force (CVE-2026-73547)', () => {
  it('are asked about like any other, or answered here, and the process lives', async () => {
    await using provider = await startRecordingUpstream({
      answer: ({ method }) =>
        method === 'OPTIONS'
          ? 'HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n'
          : 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n',
    });
    await using mesh = await PolicyMesh.start({
      documents:
        httpProvider(provider.port) + policy('ask', '{action: CUSTOM, provider: {name: opa}, rules: [{}]}'),
    });
    const asterisk = await mesh.ask('OPTIONS * HTTP/1.1\r\nhost: httpbin.foo\r\n\r\n');
    assert.deepEqual([asterisk.status, asterisk.targets], [403, []]);
    const connect = await mesh.ask('CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n');
    assert.ok(connect.status >= 400);
    assert.deepEqual(connect.reached, []);
    const absolute = await mesh.ask('OPTIONS http://httpbin.foo HTTP/1.1\r\nhost: httpbin.foo\r\n\r\n');
    assert.deepEqual([absolute.status, absolute.targets], [403, []]);
    assert.equal((await mesh.ask(get('/'))).status, 200);
    // CVE-2026-26205: what the provider is asked about is the path, and no host made of it.
    assert.equal((await mesh.ask(get('//admin/secret'))).status, 200);
    const asked = provider.requests.at(-1)!;
    assert.equal(asked.target, '//admin/secret');
    assert.equal(asked.header('host'), 'httpbin.foo');
  });
});

describe('long patterns and long paths', () => {
  it('take no more time than reading them', async () => {
    const template = `/{*}${'/a/{*}'.repeat(60)}/{**}/end`;
    await using mesh = await PolicyMesh.start({
      documents: policy('allow', `{rules: ${to('paths', template, '*aaaaaaaaab', 'aaaa*')}}`),
    });
    const started = performance.now();
    for (const path of [`/${'a/'.repeat(25_000)}`, `/${'a'.repeat(50_000)}`, `${'/a/x'.repeat(12_000)}/en`]) {
      const { status, reached } = await mesh.ask(get(path));
      assert.equal(status, 403);
      assert.deepEqual(reached, []);
    }
    // A matcher that backtracks needs years for these.
    assert.ok(performance.now() - started < 2_000);
  });
});
