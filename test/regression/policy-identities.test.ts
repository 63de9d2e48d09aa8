/** Who a peer is for the policies is what its certificate says, and nothing that merely looks like it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { get, MESH_ALPN } from '../flow/flow-mesh.ts';
import { from, policy, PolicyMesh } from '../flow/policy-mesh.ts';

const td = 'spiffe://cluster.local';

function allow(field: string, ...values: readonly string[]): string {
  return policy('allow', `{rules: ${from(field, ...values)}}`);
}

interface Row {
  readonly title: string;
  readonly documents: string;
  readonly spiffeId: string;
  readonly status: 200 | 403;
}

describe('an identity that a pattern must not take for another', () => {
  let mesh: PolicyMesh;
  before(async () => {
    mesh = await PolicyMesh.start({ documents: '' });
  });
  after(() => mesh[Symbol.asyncDispose]());

  const rows: readonly Row[] = [
    {
      title: 'a dot in a service account is a dot (CVE-2026-39350)',
      documents: allow('serviceAccounts', 'foo/a.b'),
      spiffeId: `${td}/ns/foo/sa/axb`,
      status: 403,
    },
    {
      title: 'the service account itself',
      documents: allow('serviceAccounts', 'foo/a.b'),
      spiffeId: `${td}/ns/foo/sa/a.b`,
      status: 200,
    },
    {
      title: 'a dot in a namespace is a dot',
      documents: allow('namespaces', 'f.o'),
      spiffeId: `${td}/ns/foo/sa/a`,
      status: 403,
    },
    {
      title: 'a namespace is a whole segment',
      documents: allow('namespaces', 'foo'),
      spiffeId: `${td}/ns/foo2/sa/a`,
      status: 403,
    },
    {
      title: 'a namespace that the path names further behind',
      documents: allow('namespaces', 'foo'),
      spiffeId: `${td}/ns/bar/sa/foo`,
      status: 403,
    },
    {
      title: 'a suffix is compared with the whole identity (CVE-2020-16844)',
      documents: policy('deny', `{action: DENY, rules: ${from('principals', '*/ns/n/sa/f')}}`),
      spiffeId: `${td}/ns/n/sa/f`,
      status: 403,
    },
    {
      title: 'a prefix does not need spiffe:// either',
      documents: policy('deny', `{action: DENY, rules: ${from('principals', 'cluster.local/ns/n/*')}}`),
      spiffeId: `${td}/ns/n/sa/f`,
      status: 403,
    },
    {
      title: 'an exact principal is not a prefix',
      documents: allow('principals', 'cluster.local/ns/foo/sa/a'),
      spiffeId: `${td}/ns/foo/sa/ab`,
      status: 403,
    },
  ];
  for (const { title, documents, spiffeId, status } of rows) {
    it(title, async () => {
      await mesh.change(documents);
      const asked = await mesh.ask(get(), await mesh.mesh.ca.issue({ spiffeId }));
      assert.equal(asked.status, status);
      assert.equal(asked.reached.length, status === 200 ? 1 : 0);
    });
  }

  it('in plaintext nobody is anybody: *, a suffix and a namespace deny, and not* allows', async () => {
    for (const documents of [
      allow('principals', '*'),
      allow('principals', '*sa/a'),
      allow('namespaces', '*'),
    ]) {
      await mesh.change(documents);
      const asked = await mesh.ask(get(), null);
      assert.equal(asked.status, 403);
      assert.deepEqual(asked.reached, []);
      assert.equal(
        (await mesh.ask(get(), await mesh.mesh.ca.issue({ spiffeId: `${td}/ns/foo/sa/a` }))).status,
        200,
      );
    }
    await mesh.change(allow('notPrincipals', '*'));
    assert.equal((await mesh.ask(get(), null)).status, 200);
    assert.equal((await mesh.ask(get())).status, 403);
  });
});

describe('a certificate that writes into the elements of others (CVE-2023-27493)', () => {
  for (const [title, options] of [
    [
      'a separator in a DNS name',
      { spiffeId: `${td}/ns/foo/sa/sleep`, dnsNames: [`a,By=x;URI=${td}/ns/foo/sa/admin`] },
    ],
    ['a quote in a DNS name', { spiffeId: `${td}/ns/foo/sa/sleep`, dnsNames: ['a"b'] }],
    ['line ends in a URI', { uris: [`${td}/ns/foo/sa/sleep\r\nx-a: b`] }],
    ['a NUL in a URI', { uris: [`${td}/ns/foo/sa/admin\0`] }],
    ['a separator in a URI', { uris: [`${td}/ns/foo/sa/sleep;URI=${td}/ns/foo/sa/admin`] }],
  ] as const) {
    it(`${title} is refused before any policy`, async () => {
      await using mesh = await PolicyMesh.start({
        documents: policy('allow', `{rules: ${from('namespaces', 'foo')}}`),
      });
      const issued = await mesh.mesh.ca.issue(options);
      await assert.rejects(async () => {
        using client = await mesh.connect(issued, MESH_ALPN);
        await client.request(get());
      });
      assert.equal(mesh.app.connections.length, 0);
    });
  }
});
