/** Hosts and header fields in other words, and names that a client must not be able to speak for this proxy. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { HTTPBIN_ID, SLEEP_ID } from '../flow/flow-mesh.ts';
import { from, policy, PolicyMesh, to, when } from '../flow/policy-mesh.ts';

/** A GET with exactly these fields. */
const head = (...fields: readonly string[]): string => ['GET / HTTP/1.1', ...fields, '', ''].join('\r\n');

interface Row {
  readonly sent: readonly string[] | string;
  readonly status: number;
}

function rowsOf(start: () => Promise<PolicyMesh>, rows: Readonly<Record<string, Row>>): void {
  let mesh: PolicyMesh;
  before(async () => {
    mesh = await start();
  });
  after(() => mesh[Symbol.asyncDispose]());
  for (const [title, { sent, status }] of Object.entries(rows)) {
    it(`${title}: ${status}${status === 200 ? '' : ', and nothing reaches the app'}`, async () => {
      const asked = await mesh.ask(typeof sent === 'string' ? sent : head(...sent));
      assert.equal(asked.status, status);
      assert.equal(asked.reached.length, status === 200 ? 1 : 0);
    });
  }
}

describe('DENY of a host (CVE-2021-39155)', () => {
  rowsOf(
    () =>
      PolicyMesh.start({
        documents: policy('deny', `{action: DENY, rules: ${to('hosts', 'secret.com', '*.internal')}}`),
      }),
    {
      'as it is': { sent: ['host: secret.com'], status: 403 },
      'in capitals': { sent: ['host: Secret.COM'], status: 403 },
      'with a port': { sent: ['host: secret.com:80'], status: 403 },
      'with a dot at its end': { sent: ['host: secret.com.'], status: 403 },
      'with both': { sent: ['host: SECRET.com.:8080'], status: 403 },
      'by a suffix, with a port': { sent: ['host: a.Internal:80'], status: 403 },
      'with userinfo': { sent: ['host: user@secret.com'], status: 400 },
      'as the path of a host': { sent: ['host: a/secret.com'], status: 400 },
      'by an absolute target': {
        sent: 'GET http://secret.com/ HTTP/1.1\r\nhost: secret.com\r\n\r\n',
        status: 403,
      },
      'by an absolute target, scheme in capitals (CVE-2023-35944)': {
        sent: 'GET hTTp://secret.com/ HTTP/1.1\r\nhost: secret.com\r\n\r\n',
        status: 403,
      },
      'in the target, another in Host': {
        sent: 'GET http://secret.com/ HTTP/1.1\r\nhost: other.com\r\n\r\n',
        status: 400,
      },
      'in Host, another in the target': {
        sent: 'GET http://other.com/ HTTP/1.1\r\nhost: secret.com\r\n\r\n',
        status: 400,
      },
      'in the first of two Hosts': { sent: ['host: secret.com', 'host: other.com'], status: 400 },
      'in the second of two Hosts': { sent: ['host: other.com', 'host: secret.com'], status: 400 },
      'twice the same': { sent: ['host: secret.com', 'host: secret.com'], status: 400 },
      'in a list': { sent: ['host: other.com, secret.com'], status: 400 },
      'which another one ends with (CVE-2026-55602)': { sent: ['host: notsecret.com'], status: 200 },
      'which another one begins with': { sent: ['host: secret.com.evil.org'], status: 200 },
    },
  );
});

describe('ALLOW of a host', () => {
  rowsOf(
    () =>
      PolicyMesh.start({ documents: policy('allow', `{rules: ${to('hosts', 'example.com', 'b.com:*')}}`) }),
    {
      'as it is': { sent: ['host: example.com'], status: 200 },
      'in capitals': { sent: ['host: EXAMPLE.com'], status: 200 },
      'with a port that the policy does not name': { sent: ['host: example.com:80'], status: 403 },
      'with a dot at its end': { sent: ['host: example.com.'], status: 403 },
      'with any port, as the policy says': { sent: ['host: b.com:80'], status: 200 },
      'without a port where the policy wants one': { sent: ['host: b.com'], status: 403 },
      'which the name ends with (CVE-2026-55602)': { sent: ['host: evilexample.com'], status: 403 },
      'which the name begins with': { sent: ['host: example.com.evil.org'], status: 403 },
    },
  );
});

describe('DENY by a header', () => {
  rowsOf(
    () =>
      PolicyMesh.start({
        documents: policy(
          'deny',
          `{action: DENY, rules: ${when('request.headers[X-Role]', 'admin', '*-root', 'user,guest')}}`,
        ),
      }),
    {
      'as it is': { sent: ['host: a', 'x-role: admin'], status: 403 },
      'name in capitals': { sent: ['host: a', 'X-ROLE: admin'], status: 403 },
      'second of two (CVE-2020-25017)': { sent: ['host: a', 'x-role: user', 'x-role: admin'], status: 403 },
      'first of two': { sent: ['host: a', 'x-role: admin', 'x-role: user'], status: 403 },
      'two that are joined what the policy says': {
        sent: ['host: a', 'x-role: user', 'x-role: guest'],
        status: 403,
      },
      'blanks after it (CVE-2019-18802)': { sent: ['host: a', 'x-role: admin\t '], status: 403 },
      'blanks before it': { sent: ['host: a', 'x-role: \t admin'], status: 403 },
      'bytes beyond ASCII before it (CVE-2026-73552)': {
        sent: ['host: a', 'x-role: \x80\xff-root'],
        status: 403,
      },
      'another value': { sent: ['host: a', 'x-role: user'], status: 200 },
      'a value that begins with it': { sent: ['host: a', 'x-role: administrator'], status: 200 },
      'a NUL in it (CVE-2019-9900)': { sent: ['host: a', 'x-role: admin\0'], status: 400 },
    },
  );
});

describe('ALLOW by a header', () => {
  rowsOf(
    () =>
      PolicyMesh.start({
        documents: policy('allow', `{rules: ${when('request.headers[x-role]', 'admin')}}`),
      }),
    {
      'the value alone': { sent: ['host: a', 'x-role: admin'], status: 200 },
      'one of two values, as Envoy takes it': {
        sent: ['host: a', 'x-role: user', 'x-role: admin'],
        status: 200,
      },
      'a list in one value': { sent: ['host: a', 'x-role: user,admin'], status: 403 },
      'an underscore for the dash': { sent: ['host: a', 'x_role: admin'], status: 403 },
      'a name that Connection takes away': {
        sent: ['host: a', 'connection: x-role', 'x-role: admin'],
        status: 403,
      },
      'in trailers': {
        sent: 'POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx-role: admin\r\n\r\n',
        status: 403,
      },
    },
  );
});

function blocks(field: string): () => Promise<PolicyMesh> {
  return () => PolicyMesh.start({ documents: policy('allow', `{rules: ${from(field, '10.0.0.0/8')}}`) });
}

describe('an address that a client writes itself', () => {
  const FORGED = ['host: a', 'x-forwarded-for: 192.0.2.1, 10.1.2.3'];

  describe('ipBlocks', () => {
    rowsOf(blocks('ipBlocks'), {
      'is not looked at: the direct peer counts': { sent: FORGED, status: 403 },
    });
  });
  describe('remoteIpBlocks', () => {
    rowsOf(blocks('remoteIpBlocks'), {
      'is the last of x-forwarded-for, as in an Istio sidecar, whose callers are trusted with it': {
        sent: FORGED,
        status: 200,
      },
      'is not one before the last': {
        sent: ['host: a', 'x-forwarded-for: 10.1.2.3, 192.0.2.1'],
        status: 403,
      },
      'is the direct peer without one': { sent: ['host: a'], status: 403 },
    });
  });
});

describe('what reaches the app of a request with a header that was judged', () => {
  it('is every value, once each and in order', async () => {
    await using mesh = await PolicyMesh.start({
      documents: policy('deny', `{action: DENY, rules: ${when('request.headers[x-role]', 'admin')}}`),
    });
    const { reached } = await mesh.ask(head('host: a', 'x-role: a', 'x-b: 1', 'x-role: b,c'));
    const roles = reached[0]?.headers.filter(([name]) => name === 'x-role');
    assert.deepEqual(roles, [
      ['x-role', 'a'],
      ['x-role', 'b,c'],
    ]);
  });

  it('is not a header that Connection took away before it was judged: DENY and app see the same', async () => {
    await using mesh = await PolicyMesh.start({
      documents: policy('deny', `{action: DENY, rules: ${when('request.headers[x-role]', 'admin')}}`),
    });
    const { status, reached } = await mesh.ask(head('host: a', 'connection: x-role', 'x-role: admin'));
    assert.equal(status, 200);
    assert.equal(reached[0]?.header('x-role'), undefined);
  });
});

describe('names that only this proxy may speak under', () => {
  const ADMIN = 'By=spiffe://cluster.local/ns/foo/sa/httpbin;URI=spiffe://cluster.local/ns/foo/sa/admin';
  let mesh: PolicyMesh;
  before(async () => {
    mesh = await PolicyMesh.start({
      documents:
        policy(
          'deny-sleep',
          `{action: DENY, rules: ${from('principals', 'cluster.local/ns/foo/sa/admin')}}`,
        ) +
        policy(
          'allow',
          `{rules: [{from: [{source: {principals: ["cluster.local/ns/foo/sa/sleep"]}}]}, {to: [{operation: {paths: ["/open"]}}]}]}`,
        ),
    });
  });
  after(() => mesh[Symbol.asyncDispose]());

  for (const [title, fields] of [
    ['x-forwarded-client-cert', [`x-forwarded-client-cert: ${ADMIN}`]],
    ['an open quote before our element', [`x-forwarded-client-cert: By=a;Subject="`]],
    ['underscores for dashes (CVE-2024-45410)', [`X_Forwarded_Client_Cert: ${ADMIN}`]],
    ['some of the dashes', [`x-forwarded_client-cert: ${ADMIN}`]],
    ['a name that Connection lists (CVE-2022-31813)', ['connection: close, X-Forwarded-Client-Cert']],
    ['both', [`x-forwarded-client-cert: ${ADMIN}`, 'connection: x-forwarded-client-cert']],
  ] as const) {
    it(`${title}: the last element is ours, and says who it is`, async () => {
      const { status, reached } = await mesh.ask(head('host: a', ...fields));
      assert.equal(status, 200);
      const all = reached[0]!.headers.filter(
        ([name]) => name.toLowerCase().replaceAll('_', '-') === 'x-forwarded-client-cert',
      );
      assert.equal(all.length, 1);
      const last = all[0]![1].split(',').at(-1)!;
      assert.ok(last.startsWith(`By=${HTTPBIN_ID};`) && last.endsWith(`;URI=${SLEEP_ID}`), last);
    });

    it(`${title}: makes nobody of somebody in plaintext`, async () => {
      const denied = await mesh.ask(head('host: a', ...fields), null);
      assert.equal(denied.status, 403);
      assert.deepEqual(denied.reached, []);
      const open = await mesh.ask(['GET /open HTTP/1.1', 'host: a', ...fields, '', ''].join('\r\n'), null);
      assert.equal(open.status, 200);
      assert.doesNotMatch(open.reached[0]!.head.replaceAll('_', '-'), /forwarded-client-cert/i);
    });
  }

  it('x-envoy-* from a client neither steers us nor reaches the app (CVE-2023-27487, CVE-2024-45806)', async () => {
    const { reached } = await mesh.ask(
      head(
        'host: a',
        'x-envoy-original-path: /open',
        'x-envoy-internal: true',
        'X_Envoy_Internal: true',
        'x-envoy-decorator-operation: x',
      ),
      mesh.mesh.sleep,
    );
    assert.doesNotMatch(reached[0]!.head, /envoy/i);
    const denied = await mesh.ask(head('host: a', 'x-envoy-original-path: /open'), null);
    assert.equal(denied.status, 403);
    assert.deepEqual(denied.reached, []);
  });
});
