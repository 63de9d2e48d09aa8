import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { StartError } from '../../src/index.ts';
import { FlowMesh, peerAuthentication, service } from '../flow/flow-mesh.ts';
import { runPostern, startProxy } from '../support/spawn-postern.ts';
import { TestCa } from '../support/test-ca.ts';

const BAD = [
  'apiVersion: security.istio.io/v1',
  'kind: PeerAuthentication',
  'metadata: {name: default, namespace: foo}',
  'spec:',
  '  mtls: {mode: STRIKT}',
  '  selektor: {}',
  '',
].join('\n');

describe('proxy that cannot start', () => {
  let mesh: FlowMesh;
  before(async () => {
    mesh = await FlowMesh.create({ appPort: 9, documents: '' });
  });
  after(() => {
    mesh.folder.remove();
  });

  it('tells every error of the documents by place, found, wanted and nearest name, exit 1', async () => {
    mesh.documents(BAD);
    const { code, stdout, stderr } = await runPostern(['proxy', '--config', mesh.configFile]);
    mesh.documents('');
    assert.equal(code, 1);
    assert.equal(stdout, '');
    const file = mesh.path('mesh/documents.yaml');
    const lines = stderr.trimEnd().split('\n');
    assert.equal(lines.length, 2, stderr);
    assert.ok(lines[0]?.startsWith(`${file}:5:16: spec.mtls.mode: `), stderr);
    assert.match(lines[0] ?? '', /"STRIKT".*; .*STRICT/);
    assert.ok(lines[1]?.startsWith(`${file}:6:3: spec.selektor: `), stderr);
    assert.match(lines[1] ?? '', /; .*selector/);
  });

  it('does not run beside a policy that it cannot enforce, exit 1', async () => {
    for (const [kind, spec, why] of [
      ['AuthorizationPolicy', '{action: DENY}', 'rules'],
      ['AuthorizationPolicy', '{rules: [{when: [{key: request.mood, values: [bad]}]}]}', 'request.mood'],
      ['RequestAuthentication', '{jwtRules: [{audiences: [a]}]}', 'issuer'],
    ] as const) {
      mesh.documents(
        `apiVersion: security.istio.io/v1beta1\nkind: ${kind}\nmetadata: {name: x, namespace: bar}\nspec: ${spec}\n`,
      );
      const { code, stderr } = await runPostern(['proxy', '--config', mesh.configFile]);
      assert.equal(code, 1, stderr);
      assert.match(stderr, new RegExp(`^\\S+documents\\.yaml:\\d+:\\d+: .*${why}`));
    }
    mesh.documents('');
  });

  const misuse: readonly {
    readonly what: string;
    readonly args: readonly string[];
    readonly env?: Record<string, string>;
    readonly says: RegExp;
  }[] = [
    { what: 'no configuration', args: [], says: /^postern: .*--config postern\.yaml/ },
    { what: 'a file that is not there', args: ['--config', '/nowhere/p.yaml'], says: /\/nowhere\/p\.yaml/ },
    {
      what: 'an unknown flag',
      args: ['--confgi', 'x'],
      says: /^postern: unknown flag "--confgi", did you mean "--config"\?/,
    },
    { what: 'a word that is no flag', args: ['--config', 'CONFIG', 'extra'], says: /^postern: .*extra/ },
    { what: 'a flag without its value', args: ['--config'], says: /^postern: .*--config/ },
    { what: 'an unknown level', args: ['--config', 'CONFIG', '--log-level', 'loud'], says: /"loud".*debug/ },
    {
      what: 'a port that is none',
      args: ['--config', 'CONFIG', '--intercept.port', '70000'],
      says: /intercept\.port.*70000/,
    },
    {
      what: 'a value in the environment that is none',
      args: ['--config', 'CONFIG'],
      env: { POSTERN_ADMIN_BIND: '0.0.0.0' },
      says: /POSTERN_ADMIN_BIND|admin\.bind/,
    },
  ];
  for (const { what, args, env, says } of misuse) {
    it(`exits 2 with one line for ${what}`, async () => {
      const real = args.map((arg) => (arg === 'CONFIG' ? mesh.configFile : arg));
      const { code, stdout, stderr } = await runPostern(['proxy', ...real], env === undefined ? {} : { env });
      assert.equal(code, 2, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, says);
      assert.equal(stderr.split('\n').length, 2, stderr);
      assert.doesNotMatch(stderr, /\n\s+at /, 'no stack');
    });
  }

  it('exits 2 for every error of postern.yaml at once, with the nearest names', async () => {
    const config = mesh.folder.write(
      'broken.yaml',
      readFileSync(mesh.configFile, 'utf8')
        .replace('admin: {', 'admni: {')
        .replace('port: 0, direct', 'prot: 0, direct'),
    );
    const { code, stderr } = await runPostern(['proxy', '--config', config]);
    assert.equal(code, 2);
    assert.match(stderr, /broken\.yaml:\d+:\d+: intercept\.prot: .*port/);
    assert.match(stderr, /broken\.yaml:\d+:\d+: admni: .*admin/);
  });

  it('exits 1 for an address that this host does not have, and says which setting to change', async () => {
    for (const name of ['intercept', 'metrics']) {
      // RFC 5737: for documentation, no host has it.
      const foreign = ['proxy', '--config', mesh.configFile, `--${name}.bind`, '192.0.2.1'];
      const { code, stderr } = await runPostern(foreign);
      assert.equal(code, 1, stderr);
      assert.match(stderr, new RegExp(`^postern: .*192\\.0\\.2\\.1.*; set ${name}\\.bind`, 'm'));
    }
  });

  it('exits 1 when a port is taken, and says which', async () => {
    const holder = createServer();
    holder.listen(0, '127.0.0.1');
    await once(holder, 'listening');
    try {
      const { port } = holder.address() as AddressInfo;
      for (const name of ['intercept', 'admin', 'readiness', 'metrics']) {
        const taken = ['proxy', '--config', mesh.configFile, `--${name}.port`, String(port)];
        const { code, stdout, stderr } = await runPostern(taken);
        assert.equal(code, 1, stderr);
        assert.equal(stdout, '');
        const lines = stderr
          .trimEnd()
          .split('\n')
          .filter((line) => !line.startsWith('{'));
        assert.equal(lines.length, 1, stderr);
        assert.match(lines[0] ?? '', new RegExp(`127\\.0\\.0\\.1:${port}`));
        assert.match(lines[0] ?? '', new RegExp(`EADDRINUSE.*; free the port or set ${name}\\.port`));
      }
    } finally {
      holder.close();
      await once(holder, 'close');
    }
  });
});

describe('proxy does not start with an identity that cannot be used, and says why:', () => {
  let mesh: FlowMesh;
  before(async () => {
    mesh = await FlowMesh.create({ appPort: 9, documents: '' });
  });
  after(() => {
    mesh.folder.remove();
  });

  const cases: readonly {
    readonly what: string;
    readonly files: (
      mesh: FlowMesh,
    ) => Promise<Partial<Record<'chain.pem' | 'key.pem' | 'root.pem', string>>>;
    readonly says: RegExp;
  }[] = [
    {
      what: 'an expired certificate',
      files: async ({ ca }) => leaf(await ca.issue({ expired: true })),
      says: /expired/,
    },
    {
      what: 'a key of another certificate',
      files: async ({ ca }) => ({ 'key.pem': (await ca.issue()).keyPem }),
      says: /key.*(?:fit|match|belong)/,
    },
    { what: 'an empty chain', files: () => Promise.resolve({ 'chain.pem': '' }), says: /chain\.pem.*empty/ },
    { what: 'an empty key', files: () => Promise.resolve({ 'key.pem': '' }), says: /key/ },
    {
      what: 'a bundle that is not PEM',
      files: () => Promise.resolve({ 'root.pem': 'not a certificate' }),
      says: /PEM|certificate/,
    },
    {
      what: 'a chain to another root',
      files: async () => ({ 'root.pem': (await TestCa.create('cluster.local')).rootPem }),
      says: /chain|root|bundle/,
    },
    {
      what: 'two SPIFFE IDs',
      files: async ({ ca }) =>
        leaf(await ca.issue({ uris: ['spiffe://cluster.local/a', 'spiffe://cluster.local/b'] })),
      says: /URI SAN/i,
    },
    { what: 'a CA for a leaf', files: async ({ ca }) => leaf(await ca.issue({ ca: true })), says: /CA/ },
    {
      what: 'another trust domain',
      files: async ({ ca }) => leaf(await ca.issue({ spiffeId: 'spiffe://other.org/ns/foo/sa/httpbin' })),
      says: /trust domain "other\.org".*"cluster\.local"/,
    },
  ];
  for (const { what, files, says } of cases) {
    it(what, async () => {
      const good = {
        'chain.pem': mesh.own.chainPem,
        'key.pem': mesh.own.keyPem,
        'root.pem': mesh.ca.rootPem,
      };
      for (const [name, content] of Object.entries({ ...good, ...(await files(mesh)) }))
        mesh.folder.write(name, content);
      await assert.rejects(mesh.inProcess(), (error) => {
        assert.ok(error instanceof StartError);
        assert.equal(error.lines.length, 1, error.lines.join('\n'));
        assert.match(error.lines[0] ?? '', says);
        assert.doesNotMatch(error.lines.join(), /PRIVATE KEY/);
        return true;
      });
      if (what !== 'an expired certificate') return;
      const { code, stdout, stderr } = await runPostern(['proxy', '--config', mesh.configFile]);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, '');
      assert.match(stderr, /^postern: .*expired.*\n$/);
    });
  }
});

function leaf(issued: {
  readonly chainPem: string;
  readonly keyPem: string;
}): Record<'chain.pem' | 'key.pem', string> {
  return { 'chain.pem': issued.chainPem, 'key.pem': issued.keyPem };
}

describe('settings', () => {
  it('come from the file, above it the environment, above both the flags; paths are relative to where they stand', async () => {
    using mesh = await FlowMesh.create({
      appPort: 9,
      documents: peerAuthentication('STRICT') + service('http', 9),
    });
    const { proxy, ready } = await startProxy(
      'postern.yaml',
      ['--workload.name', 'from-flag', '--intercept.inboundPort', '0'],
      {
        cwd: mesh.folder.path,
        env: {
          POSTERN_WORKLOAD_NAME: 'from-environment',
          POSTERN_WORKLOAD_NAMESPACE: 'from-environment',
          POSTERN_WORKLOAD_LABELS: 'app=other,version=v2',
          POSTERN_IDENTITY_FILES_TRUSTBUNDLE: 'root.pem',
          POSTERN_INTERCEPT_PROT: '1',
        },
      },
    );
    await using _ = proxy;
    const { at } = await proxy.waitForLog(({ code }) => code === 'unknown_field');
    assert.match(String(at), /POSTERN_INTERCEPT_PROT.*has no effect.*POSTERN_INTERCEPT_PORT/);
    assert.equal(ready.workload, 'from-environment/from-flag');
    assert.deepEqual(Object.keys(ready.ports), ['intercept', 'inbound', 'admin', 'readiness', 'metrics']);
    const dump = (await (await fetch(`http://127.0.0.1:${ready.ports.admin}/config_dump`)).json()) as {
      bootstrap: { workload: unknown };
    };
    assert.deepEqual(dump.bootstrap.workload, {
      namespace: 'from-environment',
      serviceAccount: 'httpbin',
      name: 'from-flag',
      labels: { app: 'other', version: 'v2' },
    });
  });
});
