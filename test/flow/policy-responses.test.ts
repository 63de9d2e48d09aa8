import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { get } from './flow-mesh.ts';
import { policy, PolicyMesh, to, when } from './policy-mesh.ts';

const DENY_ADMIN = policy('deny-admin', `{action: DENY, rules: ${to('paths', '/admin*')}}`);
const ALLOW_GET = policy(
  'allow-get',
  `{rules: [{to: [{operation: {methods: ["GET"], paths: ["/info*"]}}]}]}`,
);

/** Dates differ. */
const fixed = (bytes: Buffer): string => bytes.toString('latin1').replace(/date: [^\r]+/, 'date: NOW');

describe('the answer to a denied request', () => {
  it('is Envoy’s to the byte, and the connection goes on', async () => {
    await using mesh = await PolicyMesh.start({ documents: DENY_ADMIN });
    using client = await mesh.connect();
    await client.write(get('/admin/x'));
    const bytes = await client.readUntil('RBAC: access denied');
    assert.equal(
      fixed(bytes),
      [
        'HTTP/1.1 403 Forbidden',
        'content-type: text/plain',
        'date: NOW',
        'server: istio-envoy',
        'content-length: 19',
        '',
        'RBAC: access denied',
      ].join('\r\n'),
    );
    assert.equal((await client.request(get('/'))).status, 200);
    assert.deepEqual(
      mesh.app.requests.map(({ target }) => target),
      ['/'],
    );
  });

  it('has no body for HEAD, and for gRPC over HTTP/1.1 the status of gRPC', async () => {
    await using mesh = await PolicyMesh.start({ documents: DENY_ADMIN });
    using client = await mesh.connect();
    const asked = await client.request('HEAD /admin HTTP/1.1\r\nhost: a\r\n\r\n', 'HEAD');
    assert.equal(asked.status, 403);
    assert.equal(asked.header('content-length'), '19');
    for (const type of ['application/grpc', 'application/grpc+proto']) {
      const { status, headers, body } = await client.request(
        `POST /admin HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\ncontent-length: 0\r\n\r\n`,
      );
      assert.equal(status, 200);
      assert.equal(body.length, 0);
      const fields = new Map(headers);
      assert.equal(fields.get('grpc-status'), '7');
      assert.equal(fields.get('grpc-message'), 'RBAC: access denied');
      assert.equal(fields.get('content-type'), 'application/grpc');
    }
    // As Envoy 1.40 tells gRPC apart.
    for (const type of [
      'application/grpc-web',
      'application/grpc;x=y',
      'application/grpcx',
      'application/json',
    ]) {
      const { status } = await client.request(
        `POST /admin HTTP/1.1\r\nhost: a\r\ncontent-type: ${type}\r\ncontent-length: 0\r\n\r\n`,
      );
      assert.equal(status, 403, type);
    }
    assert.deepEqual(mesh.app.requests, []);
  });

  it('tells the client no policy, and the log which one, with what was wanted and got', async () => {
    await using mesh = await PolicyMesh.start({
      documents: DENY_ADMIN + ALLOW_GET + policy('allow-post', `{rules: ${to('methods', 'POST')}}`),
      settings: 'accessLog: {path: ./access.log, format: text}',
    });
    const byDeny = await mesh.ask(get('/admin/x'));
    const line = await mesh.sidecar.waitForLog('rbac_denied');
    assert.equal(line['details'], 'rbac_access_denied_matched_policy[ns[foo]-policy[deny-admin]-rule[0]]');
    assert.equal(line['why'], 'denied by DENY foo/deny-admin rule 0: paths wanted /admin*, got /admin/x');
    assert.doesNotMatch(JSON.stringify(byDeny.response), /deny-admin/);

    const from = mesh.sidecar.logs.length;
    await mesh.ask(get('/other?access_token=eyJhbGciOi'));
    const none = await mesh.sidecar.waitForLog('rbac_denied', from);
    assert.equal(none['details'], 'rbac_access_denied_matched_policy[none]');
    assert.equal(
      none['why'],
      'denied: 2 ALLOW policies apply, no rule matched; closest: foo/allow-get rule 0, missed on paths: wanted /info*, got /other',
    );
    await mesh.sidecar.drain();
    const entries = readFileSync(mesh.mesh.path('access.log'), 'utf8').trimEnd().split('\n');
    assert.match(
      entries[0]!,
      /403 - rbac_access_denied_matched_policy\[ns\[foo\]-policy\[deny-admin\]-rule\[0\]\] - /,
    );
    assert.match(entries[1]!, /403 - rbac_access_denied_matched_policy\[none\] - /);
  });

  it('never brings a credential into the log, though a policy wants one', async () => {
    await using mesh = await PolicyMesh.start({
      documents: policy(
        'allow',
        `{rules: ${when('request.headers[authorization]', 'Bearer wanted-secret')}}`,
      ),
    });
    const { status } = await mesh.ask(
      get('/?access_token=sent-secret', 'authorization: Bearer sent-secret', 'cookie: sent-secret'),
    );
    assert.equal(status, 403);
    const line = await mesh.sidecar.waitForLog('rbac_denied');
    assert.match(
      String(line['why']),
      /missed on request\.headers\[authorization\]: wanted \[redacted\], got \[redacted\]/,
    );
    assert.doesNotMatch(JSON.stringify(mesh.sidecar.logs), /-secret/);
  });
});

describe('the order of actions', () => {
  it('is DENY, then ALLOW; AUDIT changes nothing', async () => {
    await using mesh = await PolicyMesh.start({ documents: '' });
    const all = '[{}]';
    for (const [documents, status, details] of [
      ['', 200, ''],
      [
        policy('a', `{action: DENY, rules: ${all}}`) + policy('b', `{rules: ${all}}`),
        403,
        'ns[foo]-policy[a]-rule[0]',
      ],
      [policy('a', '{}'), 403, 'none'],
      [policy('a', '{}') + policy('b', `{rules: ${all}}`), 200, ''],
      [policy('a', `{action: DENY, rules: ${to('paths', '/x')}}`), 200, ''],
      [policy('a', `{action: AUDIT, rules: ${all}}`), 200, ''],
      [policy('a', `{action: AUDIT, rules: ${all}}`) + policy('b', '{}'), 403, 'none'],
      // The name with the smallest key is told, whatever the order of the documents.
      [
        policy('z', `{action: DENY, rules: ${all}}`) + policy('b', `{action: DENY, rules: ${all}}`),
        403,
        'ns[foo]-policy[b]-rule[0]',
      ],
      // Policies of the root namespace are merged with the workload's.
      [policy('a', '{}', { namespace: 'istio-system' }) + policy('b', `{rules: ${all}}`), 200, ''],
      [
        policy('a', `{action: DENY, rules: ${all}}`, { namespace: 'istio-system' }) +
          policy('b', `{rules: ${all}}`),
        403,
        'ns[istio-system]-policy[a]-rule[0]',
      ],
      [policy('a', '{}', { namespace: 'bar' }), 200, ''],
      // Each after one that denies: what changes nothing for this workload is no new configuration.
      [policy('a', '{selector: {matchLabels: {app: httpbin}}}'), 403, 'none'],
      [policy('a', '{selector: {matchLabels: {app: other}}}'), 200, ''],
    ] as const) {
      await mesh.change(documents);
      const from = mesh.sidecar.logs.length;
      const asked = await mesh.ask(get('/'));
      assert.equal(asked.status, status, documents);
      assert.equal(asked.reached.length, status === 200 ? 1 : 0, documents);
      if (status === 200) continue;
      const line = await mesh.sidecar.waitForLog('rbac_denied', from);
      assert.equal(line['details'], `rbac_access_denied_matched_policy[${details}]`, documents);
    }
  });

  it('names rule[10] before rule[2], as Envoy’s sorted map does', async () => {
    const rules = Array.from(
      { length: 11 },
      (_, at) => `{to: [{operation: {paths: ["/${at === 2 || at === 10 ? 'x' : 'other'}"]}}]}`,
    );
    await using mesh = await PolicyMesh.start({
      documents: policy('deny', `{action: DENY, rules: [${rules.join(', ')}]}`),
    });
    assert.equal((await mesh.ask(get('/x'))).status, 403);
    const line = await mesh.sidecar.waitForLog('rbac_denied');
    assert.equal(line['details'], 'rbac_access_denied_matched_policy[ns[foo]-policy[deny]-rule[10]]');
  });
});

describe('what the rbac logger and the counters say', () => {
  it('are Envoy’s lines at debug level, one for each filter that Envoy would have', async () => {
    await using mesh = await PolicyMesh.start({
      documents:
        DENY_ADMIN + ALLOW_GET + policy('audit', `{action: AUDIT, rules: ${to('paths', '/info/x')}}`),
    });
    const prefix = `http.inbound_127.0.0.1_${mesh.app.port}.rbac`;
    const { status } = await mesh.ask(get('/info'));
    assert.equal(status, 200);
    assert.equal(mesh.sidecar.logs.filter((line) => line['logger'] === 'rbac').length, 0);
    assert.equal(await mesh.stat(`${prefix}.allowed`), 3);
    assert.match(await mesh.admin('POST', '/logging?rbac=debug'), /rbac: debug/);

    const said = async (target: string): Promise<readonly unknown[]> => {
      const from = mesh.sidecar.logs.length;
      await mesh.ask(get(target));
      return mesh.sidecar.logs
        .slice(from)
        .filter((line) => /^rbac_(enforced|audited|shadow)$/.test(String(line['code'])))
        .map((line) => line['msg']);
    };
    assert.deepEqual(await said('/info/x'), [
      'enforced allowed, matched policy ns[foo]-policy[audit]-rule[0]',
      'enforced allowed, matched policy none',
      'enforced allowed, matched policy ns[foo]-policy[allow-get]-rule[0]',
    ]);
    assert.equal(mesh.sidecar.logsOf('rbac_audited')[0]?.['access_log_hint'], true);
    assert.deepEqual(await said('/admin'), [
      'enforced allowed, matched policy none',
      'enforced denied, matched policy ns[foo]-policy[deny-admin]-rule[0]',
    ]);
    assert.deepEqual(await said('/other'), [
      'enforced allowed, matched policy none',
      'enforced allowed, matched policy none',
      'enforced denied, matched policy none',
    ]);
    assert.equal(await mesh.stat(`${prefix}.allowed`), 3 + 3 + 1 + 2);
    assert.equal(await mesh.stat(`${prefix}.denied`), 2);
    const scrape = await mesh.admin('GET', '/stats/prometheus');
    assert.match(
      scrape,
      new RegExp(
        `envoy_http_inbound_127_0_0_1_${mesh.app.port}_rbac\\{[^}]*authz_enforce_result="denied"\\} 2\n`,
      ),
    );
  });
});
