import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { describe, it } from 'node:test';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { createSdsSecrets } from '../../src/identity/sds-client.ts';
import { runPostern, spawnPostern, type PosternProcess } from '../support/spawn-postern.ts';
import { TempFolder } from '../support/temp-folder.ts';

interface Ready {
  readonly ready: true;
  readonly pid: number;
  readonly sockets?: readonly string[];
  readonly ports: Readonly<Record<string, number>>;
}

const CA_YAML = `
listen: {port: 0}
root: {selfSigned: {folder: ./ca}}
tokens:
  - development: {publicKey: ./token.key.pub}
admin: {port: 0}
`;

async function readyOf(process: PosternProcess): Promise<Ready> {
  return process.ready() as Promise<unknown> as Promise<Ready>;
}

function agentYaml(caPort: number): string {
  return `
workload: {namespace: foo, serviceAccount: httpbin}
socket: {path: ./run/agent.sock}
ca: {address: '127.0.0.1:${caPort}', root: ./ca/root-cert.pem}
token: {file: ./token}
readiness: {port: 0}
`;
}

describe('postern token', () => {
  it('makes a key pair once, and signs a token for a service account with it', async () => {
    using temp = new TempFolder();
    const cwd = temp.path;
    assert.deepEqual(await runPostern(['token', '--new-key', 'token.key'], { cwd }), {
      code: 0,
      signal: null,
      stdout: '',
      stderr: '',
    });
    assert.equal(statSync(temp.join('token.key')).mode & 0o777, 0o600);
    assert.match(readFileSync(temp.join('token.key.pub'), 'utf8'), /^-----BEGIN PUBLIC KEY-----/);
    const again = await runPostern(['token', '--new-key', 'token.key'], { cwd });
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^postern: Cannot write ".*token\.key\.pub": it is there already.*\n$/);

    const sign = ['token', '--namespace', 'foo', '--service-account', 'sleep', '--key', 'token.key'];
    const { code, stderr, stdout } = await runPostern(sign, { cwd });
    assert.deepEqual([code, stderr], [0, '']);
    assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/);
    const claims = decodeJwt(stdout.trim());
    assert.equal(decodeProtectedHeader(stdout.trim()).alg, 'ES256');
    assert.equal(claims.sub, 'system:serviceaccount:foo:sleep');
    assert.equal(claims.aud, 'istio-ca');
    assert.equal(claims.exp! - claims.iat!, 3_600);
    const other = await runPostern([...sign, '--audience', 'vault', '--ttl', '90s'], { cwd });
    const otherClaims = decodeJwt(other.stdout.trim());
    assert.equal(otherClaims.aud, 'vault');
    assert.equal(otherClaims.exp! - otherClaims.iat!, 90);
  });

  it('exits 2 for what it cannot be asked, and 1 for a key that it cannot use, with the fix', async () => {
    using temp = new TempFolder();
    const cwd = temp.path;
    const who = ['--namespace', 'foo', '--service-account', 'sleep'];
    temp.write('bad.key', 'nonsense');
    const rows: readonly (readonly [args: readonly string[], code: number, says: RegExp])[] = [
      [[], 2, /without --namespace: give --namespace NS/],
      [['--namespace', 'foo', '--key', 'k'], 2, /--service-account/],
      [who, 2, /without --key/],
      [['--namespace', 'Foo!', '--service-account', 'a', '--key', 'k'], 2, /--namespace "Foo!"/],
      [[...who, '--key', 'k', '--ttl', 'soon'], 2, /--ttl "soon"/],
      [['--new-key', 'k', ...who], 2, /--new-key with --namespace/],
      [[...who, '--key', 'none.key'], 1, /Cannot read "none\.key": ENOENT.*--new-key FILE/],
      [[...who, '--key', 'bad.key'], 1, /Cannot sign with this key/],
      [['--new-key', 'no/such/folder/key'], 1, /ENOENT/],
    ];
    for (const [args, code, says] of rows) {
      const run = await runPostern(['token', ...args], { cwd });
      assert.equal(run.code, code, args.join(' '));
      assert.match(run.stderr, says);
      assert.equal(run.stderr.split('\n').length, 2, run.stderr);
      assert.equal(run.stdout, '');
    }
  });
});

describe('postern ca and postern agent', () => {
  it('bring a certificate to a proxy, say when they are ready, keep nothing secret on disk, and end at SIGTERM', async () => {
    using temp = new TempFolder();
    const cwd = temp.path;
    await runPostern(['token', '--new-key', 'token.key'], { cwd });
    await using ca = spawnPostern(['ca', '--config', temp.write('ca.yaml', CA_YAML)], { cwd });
    const caReady = await readyOf(ca);
    assert.deepEqual(Object.keys(caReady), ['ready', 'pid', 'ports']);
    assert.deepEqual(Object.keys(caReady.ports), ['ca', 'admin']);
    assert.equal(caReady.pid, ca.pid);
    assert.ok(existsSync(temp.join('ca/root-cert.pem')));

    const sign = ['token', '--namespace', 'foo', '--service-account', 'httpbin', '--key', 'token.key'];
    const token = (await runPostern(sign, { cwd })).stdout;
    temp.write('token', token);
    const config = temp.write('agent.yaml', agentYaml(caReady.ports['ca']!));
    await using agent = spawnPostern(['agent', '--config', config], { cwd });
    const agentReady = await readyOf(agent);
    assert.deepEqual(Object.keys(agentReady), ['ready', 'pid', 'sockets', 'ports']);
    assert.deepEqual(agentReady.sockets, [temp.join('run/agent.sock')]);
    assert.equal(statSync(temp.join('run/agent.sock')).mode & 0o777, 0o600);

    const received = Promise.withResolvers<{ readonly privateKeyPem: string }>();
    const source = createSdsSecrets({
      socket: temp.join('run/agent.sock'),
      certificateName: 'default',
      bundleName: 'ROOTCA',
      tokenFile: null,
      trustDomains: ['cluster.local'],
      workload: { namespace: 'foo', name: 'httpbin-1' },
    });
    await source.start(received.resolve, () => {});
    const { privateKeyPem } = await received.promise;
    source.stop();

    const urls = [
      `http://127.0.0.1:${agentReady.ports['readiness']}/healthz/ready`,
      `http://127.0.0.1:${caReady.ports['admin']}/ready`,
    ];
    for (const url of urls) assert.equal((await runPostern(['wait', '--url', url])).code, 0);
    const issued = await ca.waitForLog((line) => line['code'] === 'certificate_issued');
    assert.equal(issued['caller'], 'foo/httpbin');

    for (const process of [agent, ca]) {
      assert.deepEqual(await process.stop(), { code: 0, signal: null });
      assert.equal(process.stdoutLines.length, 1);
      for (const secret of [token.trim(), privateKeyPem.split('\n')[1]!])
        assert.ok(!process.stderr.includes(secret));
      for (const line of process.stderr.trimEnd().split('\n')) JSON.parse(line);
    }
    assert.ok(!existsSync(temp.join('run/agent.sock')));
  });

  it('keep the root and the trust over a restart of the CA', async () => {
    using temp = new TempFolder();
    const cwd = temp.path;
    await runPostern(['token', '--new-key', 'token.key'], { cwd });
    const config = temp.write('ca.yaml', CA_YAML);
    const roots: string[] = [];
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      await using ca = spawnPostern(['ca', '--config', config], { cwd });
      await ca.ready();
      roots.push(readFileSync(temp.join('ca/root-cert.pem'), 'utf8'));
      assert.equal((await ca.stop(signal)).code, 0);
    }
    assert.equal(roots[0], roots[1]);
  });

  it('exit 2 for a configuration that is wrong, and 1 for one that cannot be run, with the reason', async () => {
    using temp = new TempFolder();
    const cwd = temp.path;
    temp.write('half/root-cert.pem', 'x');
    await runPostern(['token', '--new-key', 'token.key'], { cwd });
    const development = 'tokens: [{development: {publicKey: ./token.key.pub}}]';
    const rows: readonly (readonly [args: readonly string[], yaml: string, code: number, says: RegExp])[] = [
      [['ca'], '', 2, /--config ca\.yaml/],
      [['ca', '--config', 'x.yaml'], 'listne: {port: 0}', 2, /x\.yaml:1:1.*did you mean "listen"|"listen"/],
      [['ca', '--config', 'none.yaml'], '', 2, /none\.yaml/],
      [['ca', '--config', 'x.yaml', '--log-level', 'loud'], development, 2, /"loud"/],
      [['ca', '--config', 'x.yaml', '--listne.port', '0'], development, 2, /--listen\.port/],
      [['ca', '--config', 'x.yaml', '--listen.port', 'x'], development, 2, /listen\.port/],
      [
        ['ca', '--config', 'x.yaml', '--listen.port', '0', '--admin.port', '0'],
        'tokens: [{development: {publicKey: ./none.pub}}]',
        1,
        /none\.pub".*--new-key/,
      ],
      [
        ['ca', '--config', 'x.yaml', '--listen.port', '0', '--root.selfSigned.folder', 'half'],
        development,
        1,
        /ca-key\.pem" is missing/,
      ],
      [['agent'], '', 2, /--config agent\.yaml/],
      [['agent', '--config', 'x.yaml'], 'workload: {namespace: foo}', 2, /serviceAccount/],
      [['agent', '--config', 'x.yaml'], agentYaml(1), 1, /ca\.root.*root-cert\.pem/],
    ];
    for (const [args, yaml, code, says] of rows) {
      temp.write('x.yaml', yaml);
      const run = await runPostern(args, { cwd });
      assert.equal(run.code, code, `${args.join(' ')}: ${run.stderr}`);
      assert.match(run.stderr, says);
      assert.equal(run.stdout, '');
    }
  });
});
