/** Policies on TCP: decided after the handshake and before the app is dialled, by what is known of a connection. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { from, policy, PolicyMesh, to, when } from '../flow/policy-mesh.ts';

/** What Istio's clients offer before TCP. */
const TCP_ALPN: readonly string[] = ['istio-peer-exchange', 'istio'];

const HTTP_ONLY: readonly (readonly [title: string, rules: string])[] = [
  ['hosts', to('hosts', 'a')],
  ['methods', to('methods', 'GET')],
  ['paths', to('paths', '/admin')],
  ['notPaths', to('notPaths', '/admin')],
  ['requestPrincipals', from('requestPrincipals', '*')],
  ['request.headers', when('request.headers[x-a]', 'b')],
  ['request.auth.principal', when('request.auth.principal', '*')],
  ['request.auth.audiences', when('request.auth.audiences', 'a')],
  ['request.auth.presenter', when('request.auth.presenter', 'a')],
  ['request.auth.claims', when('request.auth.claims[groups]', 'a')],
];

const WITH_PORT = (port: number): string => `[{to: [{operation: {methods: ["GET"], ports: ["${port}"]}}]}]`;

describe('policies on a TCP port', () => {
  let mesh: PolicyMesh;
  before(async () => {
    mesh = await PolicyMesh.start({
      documents: '',
      port: 'tcp',
      app: { script: ({ socket }) => socket.on('end', () => socket.end()) },
    });
  });
  after(() => mesh[Symbol.asyncDispose]());

  /** Whether `hello` comes to the app over a new connection. */
  async function isAllowed(documents: string, plaintext = false): Promise<boolean> {
    await mesh.change(documents);
    const dialled = mesh.app.connections.length;
    using client = await mesh.connect(plaintext ? null : mesh.mesh.sleep, TCP_ALPN);
    await client.write('hello');
    const ended = client.readToEnd().then(() => 'denied' as const);
    const came = mesh.app.connection(dialled).then(
      async (connection) => {
        await connection.until((bytes) => bytes.toString() === 'hello', 'hello');
        return 'allowed' as const;
      },
      () => 'denied' as const,
    );
    const outcome = await Promise.race([ended, came]);
    assert.equal(
      mesh.app.connections.length,
      dialled + (outcome === 'allowed' ? 1 : 0),
      'the app is dialled only if allowed',
    );
    client.close();
    // A change of policies would find it open.
    if (outcome === 'allowed') await mesh.app.connections[dialled]!.ended();
    await ended.catch(() => {});
    return outcome === 'allowed';
  }

  it('ALLOW and DENY by identity, address, namespace and port', async () => {
    const { port } = mesh.app;
    for (const [documents, mtls, plain] of [
      ['', true, true],
      [policy('a', '{}'), false, false],
      [policy('a', '{rules: [{}]}'), true, true],
      [policy('a', `{rules: ${from('principals', 'cluster.local/ns/foo/sa/sleep')}}`), true, false],
      [policy('a', `{rules: ${from('notPrincipals', '*')}}`), false, true],
      [policy('a', `{action: DENY, rules: ${from('principals', '*/ns/foo/sa/sleep')}}`), false, true],
      [policy('a', `{action: DENY, rules: ${from('namespaces', 'foo')}}`), false, true],
      [policy('a', `{rules: ${from('ipBlocks', '127.0.0.0/8')}}`), true, true],
      [policy('a', `{rules: ${from('remoteIpBlocks', '10.0.0.0/8')}}`), false, false],
      [policy('a', `{rules: ${to('ports', String(port))}}`), true, true],
      [policy('a', `{rules: ${to('ports', '80')}}`), false, false],
      [policy('a', `{action: DENY, rules: ${when('destination.ip', '127.0.0.1')}}`), false, false],
    ] as const) {
      assert.equal(await isAllowed(documents), mtls, documents);
      assert.equal(await isAllowed(documents, true), plain, `plaintext, ${documents}`);
    }
  });

  for (const [title, rules] of HTTP_ONLY) {
    it(`a rule with ${title}: ALLOW never matches, DENY matches every connection`, async () => {
      assert.equal(await isAllowed(policy('a', `{rules: ${rules}}`)), false);
      assert.equal(await isAllowed(policy('a', `{action: DENY, rules: ${rules}}`)), false);
      assert.equal(await isAllowed(policy('a', `{action: AUDIT, rules: ${rules}}`)), true);
    });
  }

  it('the rest of a DENY rule with an HTTP-only field still applies; an ALLOW rule beside it too', async () => {
    const { port } = mesh.app;
    assert.equal(await isAllowed(policy('a', `{action: DENY, rules: ${WITH_PORT(port)}}`)), false);
    assert.equal(await isAllowed(policy('a', `{action: DENY, rules: ${WITH_PORT(80)}}`)), true);
    const both = `{rules: [{to: [{operation: {methods: ["GET"]}}]}, {to: [{operation: {ports: ["${port}"]}}]}]}`;
    assert.equal(await isAllowed(policy('a', both)), true);
  });

  it('says in counters and log what it decided, and what the client would have to change', async () => {
    const denied = await mesh.stat('tcp.rbac.denied');
    const allowed = await mesh.stat('tcp.rbac.allowed');
    const at = mesh.sidecar.logs.length;
    assert.equal(await isAllowed(policy('only-bar', `{rules: ${from('namespaces', 'bar')}}`)), false);
    assert.equal(await mesh.stat('tcp.rbac.denied'), denied + 1);
    const line = await mesh.sidecar.waitForLog('rbac_denied', at);
    assert.equal(line['details'], 'rbac_access_denied_matched_policy[none]');
    assert.match(
      String(line['why']),
      /^denied: 1 ALLOW policy applies, no rule matched; closest: foo\/only-bar rule 0, missed on namespaces: wanted bar, got cluster\.local\/ns\/foo\/sa\/sleep$/,
    );
    assert.equal(await isAllowed(policy('a', '{rules: [{}]}')), true);
    assert.equal(await mesh.stat('tcp.rbac.allowed'), allowed + 1);
  });
});

describe('a server that speaks first', () => {
  it('is not dialled for a peer that a policy denies, though the peer said nothing', async () => {
    await using mesh = await PolicyMesh.start({
      documents: policy('a', `{action: DENY, rules: ${from('namespaces', 'foo')}}`),
      port: 'tcp',
      settings: 'accessLog: {path: ./access.log, format: json}',
      app: { script: ({ socket }) => socket.write('welcome') },
    });
    using client = await mesh.connect(mesh.mesh.sleep, TCP_ALPN);
    const { bytes } = await client.readToEnd();
    assert.equal(bytes.toString(), '');
    assert.equal(mesh.app.connections.length, 0);
    await mesh.sidecar.drain();
    const entry = JSON.parse(readFileSync(mesh.mesh.path('access.log'), 'utf8')) as Record<string, unknown>;
    assert.equal(
      entry['connection_termination_details'],
      'rbac_access_denied_matched_policy[ns[foo]-policy[a]-rule[0]]',
    );
    assert.deepEqual([entry['response_code'], entry['response_flags']], [0, '-']);
  });
});
