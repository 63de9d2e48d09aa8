import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { get } from './flow-mesh.ts';
import { startRecordingUpstream } from '../support/recording-upstream.ts';
import { httpProvider, policy, PolicyMesh, to } from './policy-mesh.ts';

const DRY = { dryRun: true } as const;

describe('a policy in dry run', () => {
  it('changes no answer; one line and one counter say what would have been', async () => {
    await using mesh = await PolicyMesh.start({
      documents:
        policy('deny-admin', `{action: DENY, rules: ${to('paths', '/admin*')}}`, DRY) +
        policy('allow-get', `{rules: ${to('methods', 'GET')}}`, DRY),
    });
    const rbac = `http.inbound_127.0.0.1_${mesh.app.port}.rbac`;
    const stats = async (...names: readonly string[]): Promise<readonly number[]> =>
      Promise.all(names.map((name) => mesh.stat(`${rbac}.${name}`)));
    const would = (): Promise<readonly number[]> => stats('dry_run_would_allow', 'dry_run_would_deny');

    const allowed = await mesh.ask(get('/info'));
    assert.equal(allowed.status, 200);
    assert.equal(allowed.reached.length, 1);
    assert.deepEqual(mesh.sidecar.logsOf('rbac_dry_run'), [], 'what agrees is not said at info level');
    assert.deepEqual(await would(), [1, 0]);

    const admin = await mesh.ask(get('/admin/x'));
    assert.equal(admin.status, 200);
    assert.equal(admin.reached.length, 1);
    assert.deepEqual(await would(), [1, 1]);
    const line = await mesh.sidecar.waitForLog('rbac_dry_run');
    assert.equal(line['msg'], 'Dry run: would have been denied');
    assert.equal(line['level'], 'info');
    assert.equal(line['policy'], 'ns[foo]-policy[deny-admin]-rule[0]');
    assert.equal(line['why'], 'DENY foo/deny-admin rule 0: paths wanted /admin*, got /admin/x');
    assert.equal(line['path'], '/admin/x');

    const from = mesh.sidecar.logs.length;
    assert.equal((await mesh.ask('POST /info HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n')).status, 200);
    const none = await mesh.sidecar.waitForLog('rbac_dry_run', from);
    assert.equal(none['policy'], 'none');
    assert.match(
      String(none['why']),
      /^1 ALLOW policy applies, no rule matched; closest: foo\/allow-get rule 0, missed on methods: wanted GET, got POST$/,
    );

    assert.deepEqual(
      await stats(
        'istio_dry_run_deny_.shadow_allowed',
        'istio_dry_run_deny_.shadow_denied',
        'istio_dry_run_allow_.shadow_allowed',
        'istio_dry_run_allow_.shadow_denied',
      ),
      [2, 1, 2, 1],
    );
    assert.deepEqual(await stats('allowed', 'denied'), [0, 0], 'nothing was enforced');
  });

  it('says Envoy’s shadow lines at debug level', async () => {
    await using mesh = await PolicyMesh.start({
      documents:
        policy('deny-admin', `{action: DENY, rules: ${to('paths', '/admin*')}}`, DRY) +
        policy('allow', '{}', DRY) +
        policy('deny', `{action: DENY, rules: ${to('paths', '/never')}}`),
    });
    await mesh.admin('POST', '/logging?rbac=debug');
    await mesh.ask(get('/admin'));
    const said = mesh.sidecar.logs
      .filter((line) => /^rbac_(enforced|shadow)$/.test(String(line['code'])))
      .map((line) => line['msg']);
    assert.deepEqual(said, [
      'shadow denied, matched policy ns[foo]-policy[deny-admin]-rule[0]',
      'enforced allowed, matched policy none',
      'shadow denied, matched policy none',
    ]);
  });

  it('never asks the provider of a CUSTOM policy; enforced, the same policy does', async () => {
    await using provider = await startRecordingUpstream();
    const rules = `{action: CUSTOM, provider: {name: opa}, rules: ${to('paths', '/admin*')}}`;
    const opa = httpProvider(provider.port);
    await using mesh = await PolicyMesh.start({ documents: opa + policy('ask', rules, DRY) });
    const shadow = `http.inbound_127.0.0.1_${mesh.app.port}.rbac.istio_ext_authz_.shadow`;
    for (const target of ['/admin', '/other', '/admin/x']) {
      const { status, reached } = await mesh.ask(get(target));
      assert.deepEqual([status, reached.length], [200, 1]);
    }
    assert.deepEqual([await mesh.stat(`${shadow}_denied`), await mesh.stat(`${shadow}_allowed`)], [2, 1]);
    assert.equal(provider.connections.length, 0);
    await mesh.change(opa + policy('ask', rules));
    assert.equal((await mesh.ask(get('/admin'))).status, 200);
    assert.equal(provider.requests.length, 1);
  });

  it('whose CUSTOM provider does not exist denies nothing; enforced, it denies what it matches', async () => {
    const rules = `{action: CUSTOM, provider: {name: nobody}, rules: ${to('paths', '/admin*')}}`;
    await using mesh = await PolicyMesh.start({ documents: policy('ask', rules, DRY) });
    assert.equal((await mesh.ask(get('/admin'))).status, 200);
    await mesh.change(policy('ask', rules));
    const { status, reached } = await mesh.ask(get('/admin'));
    assert.deepEqual([status, reached.length], [403, 0]);
    assert.equal((await mesh.ask(get('/other'))).status, 200);
  });

  it('that does not parse as a boolean is enforced', async () => {
    const broken = policy('deny', `{action: DENY, rules: [{}]}`, DRY).replace('"true"', '"yes please"');
    await using mesh = await PolicyMesh.start({ documents: broken });
    const asked = await mesh.ask(get());
    assert.equal(asked.status, 403);
    assert.deepEqual(asked.reached, []);
  });

  it('on TCP closes nothing', async () => {
    await using mesh = await PolicyMesh.start({
      documents: policy('deny', '{action: DENY, rules: [{}]}', DRY),
      port: 'tcp',
      app: { script: () => {} },
    });
    using client = await mesh.connect(null);
    await client.write('hello');
    const connection = await mesh.app.connection();
    await connection.until((bytes) => bytes.toString() === 'hello', 'hello');
    assert.equal(await mesh.stat('tcp.rbac.dry_run_would_deny'), 1);
    assert.equal((await mesh.sidecar.waitForLog('rbac_dry_run'))['msg'], 'Dry run: would have been denied');
  });
});
