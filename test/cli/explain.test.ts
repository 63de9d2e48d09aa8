/** `postern explain` as a process: flags, streams, exit codes. */
import assert from 'node:assert/strict';
import { after, describe, it } from 'node:test';
import { explainCommand } from '../../src/cli/explain-command.ts';
import type { Explanation } from '../../src/explain/explanation.ts';
import { runPostern } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { TestIssuer } from '../support/test-tokens.ts';
import { runCommand } from './run-command.ts';

const POLICIES = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: allow-get, namespace: foo}
spec:
  selector: {matchLabels: {app: httpbin}}
  rules: [{to: [{operation: {paths: ["/info*"]}}]}]
`;

const folder = new TempFolder();
const policies = folder.write('mesh/policies.yaml', POLICIES);
const request = folder.write('request.yaml', 'request: {path: /info}\n');
const denied = folder.write('denied.yaml', 'request: {path: /admin}\n');
after(() => folder.remove());

const TARGET = ['--config', policies, '--workload', 'foo/httpbin', '--labels', 'app=httpbin,version=v1'];

type Ran = Awaited<ReturnType<typeof runPostern>>;
const explain = (args: readonly string[], input?: string): Promise<Ran> =>
  runPostern(['explain', ...args], { cwd: folder.path, ...(input === undefined ? {} : { input }) });
const jsonOf = ({ stdout }: Ran): Explanation => JSON.parse(stdout) as Explanation;

describe('postern explain', () => {
  it('exits 0 for what is allowed and 1 for what is denied, with text on stdout', async () => {
    const allowed = await explain([...TARGET, '--request', request]);
    assert.deepEqual([allowed.code, allowed.stderr], [0, '']);
    assert.match(
      allowed.stdout,
      /\nallowed by ALLOW foo\/allow-get rule 0: paths wanted \/info\*, got \/info\n$/,
    );
    const refused = await explain([...TARGET, '--request', denied]);
    assert.deepEqual([refused.code, refused.stderr], [1, '']);
    assert.match(refused.stdout, /\ndenied: 1 ALLOW policy applies, .*got \/admin\nthe client gets 403 /);
  });

  it('prints an object for one request, and an array for several from standard input', async () => {
    const one = await explain([...TARGET, '--request', request, '--output', 'json']);
    assert.deepEqual([one.code, jsonOf(one).verdict], [0, 'allow']);
    const input = 'request: {path: /info}\n---\nrequest: {path: /admin}\n';
    const two = await explain([...TARGET, '--request', '-', '--output', 'json'], input);
    const answers = JSON.parse(two.stdout) as Explanation[];
    assert.deepEqual([two.code, ...answers.map(({ verdict }) => verdict)], [1, 'allow', 'deny']);
  });

  it('takes several documents and folders, and a postern.yaml with its workload', async () => {
    const strict = folder.write(
      'more/strict.yaml',
      'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: foo}\nspec: {mtls: {mode: STRICT}}\n',
    );
    for (const config of [
      ['--config', 'mesh', '--config', strict],
      ['--config', 'mesh', 'more'],
    ]) {
      const ran = await explain([
        ...config,
        '--workload',
        'foo/httpbin',
        '--request',
        request,
        '--output',
        'json',
      ]);
      assert.deepEqual([ran.code, jsonOf(ran).arrival.mode], [1, 'STRICT']);
    }
    const postern = folder.write(
      'postern.yaml',
      `workload: {namespace: foo, serviceAccount: httpbin, labels: {app: httpbin}}
identity: {files: {certificateChain: c.pem, privateKey: k.pem, trustBundle: r.pem}}
config: [./mesh]
`,
    );
    const ran = await explain(['--config', postern, '--request', denied, '--output', 'json']);
    assert.deepEqual([ran.code, jsonOf(ran).closest?.policy], [1, 'foo/allow-get']);
    const other = await explain(['--config', postern, '--workload', 'foo/other', '--request', denied]);
    assert.equal(other.code, 0);
  });

  it('selects by labels and names the account', async () => {
    const unlabelled = await explain([
      '--config',
      policies,
      '--workload',
      'foo/httpbin',
      '--request',
      denied,
    ]);
    assert.equal(unlabelled.code, 0);
    const xfcc = folder.write(
      'xfcc.yaml',
      'apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: by, namespace: foo}\nspec: {rules: [{when: [{key: "request.headers[x-forwarded-client-cert]", values: ["By=spiffe://cluster.local/ns/foo/sa/other;*"]}]}]}\n',
    );
    const mesh = folder.write('mesh-request.yaml', 'from: {principal: cluster.local/ns/foo/sa/sleep}\n');
    const args = ['--config', xfcc, '--workload', 'foo/httpbin', '--request', mesh];
    assert.equal((await explain(args)).code, 1);
    assert.equal((await explain([...args, '--service-account', 'other'])).code, 0);
  });

  it('verifies a token with a key set from a file, and is undecided without', async () => {
    const issuer = new TestIssuer('https://issuer.example?a=b');
    const jwt = folder.write(
      'jwt.yaml',
      `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {jwtRules: [{issuer: "${issuer.issuer}", jwksUri: "https://issuer.example/keys"}]}
`,
    );
    folder.write('keys.json', issuer.jwks());
    const token = folder.write('token.yaml', `jwt: {token: ${await issuer.token()}}\n`);
    const args = ['--config', jwt, '--workload', 'foo/httpbin', '--request', token];
    const undecided = await explain(args);
    assert.equal(undecided.code, 1);
    assert.match(undecided.stdout, /^undecided: .*--jwks https:\/\/issuer\.example\?a=b=FILE$/m);
    const verified = await explain([...args, '--jwks', `${issuer.issuer}=keys.json`]);
    assert.equal(verified.code, 0, verified.stdout);
  });

  it('says warnings on stderr and answers nevertheless', async () => {
    const warned = folder.write('warned.yaml', POLICIES.replace('rules: [', 'action: DENY\n  rules: ['));
    const ran = await explain(['--config', warned, '--workload', 'foo/httpbin', '--request', request]);
    assert.equal(ran.code, 0);
    assert.match(ran.stderr, /^warning: .*warned\.yaml:\d+:\d+: /);
  });

  it('prints nothing on stdout where it exits 2, and where to look', async () => {
    const { code, stderr, stdout } = await explain([...TARGET, '--reqest', request]);
    assert.deepEqual([code, stdout], [2, '']);
    assert.equal(
      stderr,
      'postern: unknown flag "--reqest", did you mean "--request"?; see postern explain --help\n',
    );
  });

  describe('exits 2', () => {
    const bad = folder.write('bad.yaml', 'reqest: {path: /}\n');
    const broken = folder.write('broken.yaml', POLICIES.replace('paths', 'pats'));
    const empty = folder.write('keys-bad.json', '[]');
    for (const [what, args, says] of [
      ['without documents', ['--workload', 'a/b', '--request', request], /add --config PATH/],
      ['without a request', ['--config', policies, '--workload', 'a/b'], /add --request FILE/],
      ['without a workload', ['--config', policies, '--request', request], /add --workload NAMESPACE\/NAME/],
      [
        'for half a workload',
        ['--config', policies, '--workload', 'foo', '--request', request],
        /write NAMESPACE\/NAME/,
      ],
      [
        'for labels of nobody',
        ['--config', policies, '--labels', 'a=b', '--request', request],
        /without --workload/,
      ],
      ['for labels that are none', [...TARGET, '--labels', 'a', '--request', request], /write k=v,k=v/],
      ['for a request file that is not there', [...TARGET, '--request', 'nowhere'], /there is no such file/],
      [
        'for an unknown key',
        [...TARGET, '--request', bad],
        /bad\.yaml:1:1: reqest: .*did you mean "request"\?/,
      ],
      [
        'for documents that are not there',
        ['--config', 'nowhere', '--workload', 'a/b', '--request', request],
        /no such file/,
      ],
      [
        'for documents with an error',
        ['--config', broken, '--workload', 'a/b', '--request', request],
        /broken\.yaml:6:\d+: .*did you mean "paths"\?/,
      ],
      ['for --jwks without a file', [...TARGET, '--request', request, '--jwks', 'a'], /write ISSUER=FILE/],
      [
        'for --jwks that is no key set',
        [...TARGET, '--request', request, '--jwks', `a=${empty}`],
        /no JSON key set/,
      ],
      [
        'for an unknown form',
        [...TARGET, '--request', request, '--output', 'yaml'],
        /Cannot print as "yaml"/,
      ],
    ] as const) {
      it(what, async (t) => {
        const { code, stderr } = await runCommand(t, explainCommand, args);
        assert.equal(code, 2, stderr);
        assert.match(stderr, says);
      });
    }
  });
});
