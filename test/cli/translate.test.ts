/** `postern translate` as a user runs it. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parse } from 'yaml';
import { translateCommand } from '../../src/cli/translate-command.ts';
import { runPostern } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { TestCa } from '../support/test-ca.ts';
import { runCommand } from './run-command.ts';

const DOCUMENTS = `
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: own, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  rules: [{from: [{source: {serviceAccounts: [sleep]}}]}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: foo}
spec: {jwtRules: [{issuer: "https://iss.example"}]}
`;

interface Printed {
  readonly inbound: Readonly<
    Record<
      string,
      Readonly<
        Record<'listenerFilters' | 'filterChains' | 'httpFilters' | 'networkFilters', readonly object[]>
      >
    >
  >;
}

const WORKLOAD = ['--workload', 'foo/httpbin', '--labels', 'app=httpbin'];

describe('translate', () => {
  let folder: TempFolder;
  let mesh: string;

  before(() => {
    folder = new TempFolder();
    mesh = folder.write('mesh/all.yaml', DOCUMENTS);
  });

  after(() => folder.remove());

  it('prints the ports of the workload as JSON, and says whose keys are not there', async () => {
    const { code, stderr, stdout } = await runPostern(['translate', '--config', mesh, ...WORKLOAD]);
    assert.equal(code, 0, stderr);
    const { inbound } = JSON.parse(stdout) as Printed;
    assert.deepEqual(Object.keys(inbound), ['0', '8080']);
    assert.deepEqual(Object.keys(inbound['8080']!), [
      'listenerFilters',
      'filterChains',
      'httpFilters',
      'networkFilters',
    ]);
    assert.match(stdout, /"ns\[foo\]-policy\[own\]-rule\[0\]"/);
    assert.match(stdout, /"inbound\|8080\|\|"/);
    assert.match(stdout, /key-set-not-fetched/);
    assert.match(stderr, /^warning: .*"https:\/\/iss\.example".* --jwks https:\/\/iss\.example=FILE\n$/);
  });

  it('prints the same as YAML', async () => {
    const json = await runPostern(['translate', '--config', mesh, ...WORKLOAD]);
    const yaml = await runPostern(['translate', '--config', mesh, ...WORKLOAD, '--output', 'yaml']);
    assert.doesNotMatch(yaml.stdout, /^ *[&*][a-z0-9]/m);
    assert.deepEqual(parse(yaml.stdout), JSON.parse(json.stdout));
  });

  it('selects by labels, reads several paths, and has the keys that it is given', async () => {
    const more = folder.write(
      'more.yaml',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: more, namespace: foo}\nspec: {}\n',
    );
    const keys = folder.write('keys.json', '{"keys":[{"kty":"oct","kid":"given"}]}');
    const args = ['--workload', 'foo/other', '--jwks', `https://iss.example=${keys}`];
    const { code, stderr, stdout } = await runPostern([
      'translate',
      '--config',
      mesh,
      '--config',
      more,
      ...args,
    ]);
    assert.equal(code, 0, stderr);
    assert.doesNotMatch(stderr, /refused/);
    assert.doesNotMatch(stdout, /policy\[own\]/);
    assert.match(stdout, /ns\[foo\]-policy\[more\]-rule\[0\]/);
    assert.match(stdout, /\\"kid\\":\\"given\\"/);
  });

  it('names certificates by SDS, and prints a private key only when it is asked to', async () => {
    const ca = await TestCa.create('cluster.local');
    const own = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
    folder.write('id/chain.pem', own.chainPem);
    folder.write('id/key.pem', own.keyPem);
    folder.write('id/root.pem', ca.rootPem);
    const paths = '{certificateChain: chain.pem, privateKey: key.pem, trustBundle: root.pem}';
    const file = folder.write('id/secrets.yaml', paths);
    const bySds = await runPostern(['translate', '--config', mesh, ...WORKLOAD]);
    assert.doesNotMatch(bySds.stdout, /PRIVATE KEY/);
    assert.match(bySds.stdout, /"ROOTCA"/);
    const inline = await runPostern(['translate', '--config', mesh, ...WORKLOAD, '--inline-secrets', file]);
    assert.equal(inline.code, 0, inline.stderr);
    assert.match(inline.stdout, /PRIVATE KEY/);
    assert.doesNotMatch(inline.stdout, /"ROOTCA"/);

    folder.write('id/key.pem', (await ca.issue({})).keyPem);
    const wrong = await runPostern(['translate', '--config', mesh, ...WORKLOAD, '--inline-secrets', file]);
    assert.equal(wrong.code, 1);
    assert.equal(wrong.stdout, '');
    assert.match(wrong.stderr, /the private key does not fit/);
    assert.doesNotMatch(wrong.stderr, /PRIVATE KEY/);
  });

  it('takes workload and documents from a postern.yaml', async () => {
    const file = folder.write(
      'postern.yaml',
      'workload: {namespace: foo, serviceAccount: httpbin, labels: {app: httpbin}}\n' +
        'identity: {sds: "unix:./agent.sock"}\nconfig: [./mesh]\n',
    );
    const { code, stderr, stdout } = await runPostern(['translate', '--config', file]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /policy\[own\]/);
  });

  it('exits 1 with every error of the documents, and prints nothing', async () => {
    const bad = folder.write(
      'bad.yaml',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: bad, namespace: foo}\n' +
        'spec: {action: DENY}\n',
    );
    const { code, stderr, stdout } = await runPostern(['translate', '--config', bad, ...WORKLOAD]);
    assert.equal(code, 1);
    assert.equal(stdout, '');
    assert.match(stderr, /bad\.yaml:[0-9]+:[0-9]+: /);
  });

  it('exits 2 for what it cannot be asked', async (t) => {
    const empty = folder.write('empty.yaml', '{certificateChain: a.pem, key: b.pem}');
    const rows = [
      [[], /--config PATH/],
      [['--config', mesh], /--workload NAMESPACE\/NAME/],
      [['--config', mesh, '--workload', 'httpbin'], /"httpbin": write NAMESPACE\/NAME/],
      [['--config', mesh, '--labels', 'a=b'], /--workload/],
      [['--config', mesh, ...WORKLOAD, '--output', 'xml'], /"xml": give --output json or --output yaml/],
      [['--config', mesh, ...WORKLOAD, '--inline-secrets', empty], /privateKey is missing/],
      [['--config', mesh, ...WORKLOAD, '--inline-secrets', '/nowhere'], /\/nowhere/],
    ] as const;
    for (const [args, says] of rows) {
      const { code, stderr } = await runCommand(t, translateCommand, args);
      assert.equal(code, 2, stderr);
      assert.match(stderr, says);
    }
  });
});
