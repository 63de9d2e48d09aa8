import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CONFIG_KEYS, environmentName } from '../../src/config/config-keys.ts';
import type { ConfigKey } from '../../src/config/config-keys.ts';
import { loadPosternConfig, parsePosternConfig } from '../../src/config/postern-config.ts';
import type { LoadedPosternConfig, PosternConfig } from '../../src/config/postern-config.ts';
import { DEFAULT_LIMITS } from '../../src/core/limits.ts';
import { foundProblems } from './found-problems.ts';

const MINIMAL = `workload: {namespace: foo, serviceAccount: httpbin}
identity: {files: {certificateChain: c.pem, privateKey: keys/k.pem, trustBundle: /root.pem}}
config: [./mesh]
`;

const WITH_SDS = `workload: {namespace: foo, serviceAccount: httpbin}
identity: {sds: "unix:run/agent.sock"}
config: [./mesh]
`;

function parse(
  text: string,
  environment: Record<string, string> = {},
  flags: Record<string, string> = {},
): LoadedPosternConfig {
  return parsePosternConfig(text, {
    file: '/etc/postern/postern.yaml',
    environment,
    flags,
    workingDirectory: '/work',
  });
}

function good(
  text: string,
  environment: Record<string, string> = {},
  flags: Record<string, string> = {},
): PosternConfig {
  const { config, problems } = parse(text, environment, flags);
  assert.deepEqual(problems, []);
  assert.ok(config !== null);
  return config;
}

function problemsOf(text: string, environment: Record<string, string> = {}): string[] {
  return foundProblems(parse(text, environment).problems);
}

describe('postern.yaml', () => {
  it('fills in the defaults', () => {
    assert.deepEqual(good(MINIMAL), {
      file: '/etc/postern/postern.yaml',
      workload: { namespace: 'foo', serviceAccount: 'httpbin', name: 'httpbin', labels: {} },
      identity: {
        kind: 'files',
        certificateChain: '/etc/postern/c.pem',
        privateKey: '/etc/postern/keys/k.pem',
        trustBundle: '/root.pem',
      },
      config: [
        {
          path: '/etc/postern/mesh',
          namespace: 'default',
          position: { file: '/etc/postern/postern.yaml', line: 3, column: 10 },
        },
      ],
      intercept: { bind: '0.0.0.0', port: 15001, inboundPort: null, direct: null },
      app: { host: '127.0.0.1' },
      admin: { bind: '127.0.0.1', port: 15000 },
      readiness: { bind: '0.0.0.0', port: 15021 },
      metrics: { bind: '0.0.0.0', port: 15090 },
      concurrency: 1,
      accessLog: null,
      jwks: { allow: [] },
      limits: DEFAULT_LIMITS,
      drainMs: 5_000,
      drainMaxMs: 45_000,
    });
  });

  it('reads every key', () => {
    const config = good(`
workload: {namespace: foo, serviceAccount: httpbin, labels: {app: httpbin, version: v1}, name: httpbin-1}
identity:
  files: {certificateChain: c.pem, privateKey: k.pem, trustBundle: root.pem}
config: [./mesh, {path: ../extra.yaml, namespace: production}]
intercept: {bind: "::", port: 0, inboundPort: 15006, direct: "[::1]:8080"}
app: {host: app.internal}
admin: {bind: "::1", port: 1}
readiness: {bind: 127.0.0.1, port: 2}
metrics: {bind: localhost, port: 3}
concurrency: 1024
accessLog: {path: log/access.log, format: text}
jwks: {allow: [127.0.0.0/8, "::1"]}
limits: {maxConnections: 5, maxConnectionAgeMs: 0, maxExtAuthzBodyBytes: 7}
drain: 1m30s
drainMax: 2m
`);
    assert.deepEqual(config.workload, {
      namespace: 'foo',
      serviceAccount: 'httpbin',
      name: 'httpbin-1',
      labels: { app: 'httpbin', version: 'v1' },
    });
    assert.deepEqual(
      config.config.map(({ path, namespace }) => [path, namespace]),
      [
        ['/etc/postern/mesh', 'default'],
        ['/etc/extra.yaml', 'production'],
      ],
    );
    assert.deepEqual(config.intercept, {
      bind: '::',
      port: 0,
      inboundPort: 15006,
      direct: { host: '::1', port: 8080 },
    });
    assert.deepEqual(config.accessLog, { path: '/etc/postern/log/access.log', format: 'text' });
    assert.deepEqual(config.jwks.allow, ['127.0.0.0/8', '::1']);
    assert.deepEqual(config.limits, { ...DEFAULT_LIMITS, maxConnections: 5, maxExtAuthzBodyBytes: 7 });
    assert.deepEqual([config.drainMs, config.drainMaxMs], [90_000, 120_000]);
    assert.equal(config.concurrency, 1_024);
  });

  it('reads an identity from SDS, with its defaults', () => {
    assert.deepEqual(good(WITH_SDS).identity, {
      kind: 'sds',
      socket: '/etc/postern/run/agent.sock',
      certificateName: 'default',
      bundleName: 'ROOTCA',
      tokenFile: null,
    });
    const all = '{sds: "unix:/a.sock", certificateName: c, bundleName: b, tokenFile: run/token}';
    assert.deepEqual(good(WITH_SDS.replace('{sds: "unix:run/agent.sock"}', all)).identity, {
      kind: 'sds',
      socket: '/a.sock',
      certificateName: 'c',
      bundleName: 'b',
      tokenFile: '/etc/postern/run/token',
    });
  });

  it('keeps the number of workers as given: 0 is one a core', () => {
    assert.equal(good(`${MINIMAL}concurrency: 0\n`).concurrency, 0);
  });

  it('counts the path of a socket in bytes, from the root', () => {
    const folder = '/etc/postern/';
    const name = `${'é'.repeat(40)}${'a'.repeat(107 - folder.length - 80)}`;
    assert.equal(good(WITH_SDS.replace('run/agent.sock', name)).identity.kind, 'sds');
    assert.deepEqual(problemsOf(WITH_SDS.replace('run/agent.sock', `${name}a`)), [
      'error out_of_range 2:17 identity.sds',
    ]);
  });

  it('turns the access log on with a section that is empty', () => {
    assert.deepEqual(good(`${MINIMAL}accessLog: {}\n`).accessLog, { path: '/dev/stdout', format: 'json' });
  });

  const bad: [string, string, string[]][] = [
    ['an unknown key', `${MINIMAL}intercpt: {}\n`, ['error unknown_field 4:1 intercpt']],
    ['an unknown key below', `${MINIMAL}intercept: {prot: 1}\n`, ['error unknown_field 4:13 intercept.prot']],
    [
      'an unknown limit',
      `${MINIMAL}limits: {maxHeadByte: 1}\n`,
      ['error unknown_field 4:10 limits.maxHeadByte'],
    ],
    [
      'an address range that is none',
      `${MINIMAL}jwks: {allow: [10.0.0.0/8, 10.0.0.0/33]}\n`,
      ['error bad_value 4:28 jwks.allow[1]'],
    ],
    [
      'a range that is no list',
      `${MINIMAL}jwks: {allow: 10.0.0.0/8}\n`,
      ['error wrong_type 4:15 jwks.allow'],
    ],
    ['a misspelled list of ranges', `${MINIMAL}jwks: {alow: []}\n`, ['error unknown_field 4:8 jwks.alow']],
    ['jwks that is a list', `${MINIMAL}jwks: [10.0.0.0/8]\n`, ['error wrong_type 4:7 jwks']],
    ['a port in quotes', `${MINIMAL}admin: {port: "15000"}\n`, ['error wrong_type 4:15 admin.port']],
    ['a port past the range', `${MINIMAL}admin: {port: 65536}\n`, ['error out_of_range 4:15 admin.port']],
    ['a section that is a value', `${MINIMAL}admin: 15000\n`, ['error wrong_type 4:8 admin']],
    ['a value that is a section', `${MINIMAL}drain: {s: 5}\n`, ['error wrong_type 4:8 drain']],
    ['a duration without unit', `${MINIMAL}drain: "5"\n`, ['error bad_value 4:8 drain']],
    ['a duration as a number', `${MINIMAL}drain: 5\n`, ['error wrong_type 4:8 drain']],
    [
      'one document path that is no list',
      MINIMAL.replace('[./mesh]', './mesh'),
      ['error wrong_type 3:9 config'],
    ],
    [
      'a limit of nothing',
      `${MINIMAL}limits: {maxHeadBytes: 0}\n`,
      ['error out_of_range 4:24 limits.maxHeadBytes'],
    ],
    [
      'direct without port',
      `${MINIMAL}intercept: {direct: 127.0.0.1}\n`,
      ['error bad_value 4:21 intercept.direct'],
    ],
    [
      'direct with port 0',
      `${MINIMAL}intercept: {direct: "127.0.0.1:0"}\n`,
      ['error out_of_range 4:21 intercept.direct'],
    ],
    [
      'direct with a wrong address',
      `${MINIMAL}intercept: {direct: "127.0.0.256:80"}\n`,
      ['error bad_value 4:21 intercept.direct'],
    ],
    [
      'a bind that is a name',
      `${MINIMAL}readiness: {bind: example.com}\n`,
      ['error bad_value 4:19 readiness.bind'],
    ],
    [
      'an admin server for everybody',
      `${MINIMAL}admin: {bind: 0.0.0.0}\n`,
      ['error bad_value 4:15 admin.bind'],
    ],
    ['two listeners on one port', `${MINIMAL}metrics: {port: 15021}\n`, ['error conflict 4:17 metrics.port']],
    ['a drain past its maximum', `${MINIMAL}drain: 46s\n`, ['error conflict 4:8 drain']],
    ['too many workers', `${MINIMAL}concurrency: 1025\n`, ['error out_of_range 4:14 concurrency']],
    [
      'a choice that is none',
      `${MINIMAL}accessLog: {format: jsn}\n`,
      ['error bad_value 4:21 accessLog.format'],
    ],
    [
      'a label that is no text',
      `workload: {namespace: foo, serviceAccount: a, labels: {version: 1}}\n${MINIMAL.slice(MINIMAL.indexOf('identity'))}`,
      ['error wrong_type 1:65 workload.labels.version'],
    ],
    [
      'nothing at all',
      '',
      [
        'error missing_field 1:1 identity',
        'error missing_field 1:1 workload.namespace',
        'error missing_field 1:1 workload.serviceAccount',
      ],
    ],
    ['no documents', MINIMAL.replace('config: [./mesh]\n', ''), ['warning empty 1:1 config']],
    ['an entry that is a number', MINIMAL.replace('./mesh', '7'), ['error wrong_type 3:10 config[0]']],
    [
      'an entry without path',
      MINIMAL.replace('./mesh', '{namespace: a}'),
      ['error missing_field 3:10 config[0].path'],
    ],
    [
      'an entry with another key',
      MINIMAL.replace('./mesh', '{path: a, ns: b}'),
      ['error unknown_field 3:20 config[0].ns'],
    ],
    [
      'an identity that is half',
      MINIMAL.replace(', privateKey: keys/k.pem', ''),
      ['error missing_field 2:12 identity.files.privateKey'],
    ],
    ['two identities', MINIMAL.replace('{files:', '{sds: "unix:a", files:'), ['error conflict 2:1 identity']],
    ['SDS that is no socket', WITH_SDS.replace('unix:run', 'run'), ['error bad_value 2:17 identity.sds']],
    [
      'certificate and bundle of one name',
      WITH_SDS.replace('"}', '", certificateName: ROOTCA}'),
      ['error conflict 2:1 identity.bundleName'],
    ],
    [
      'the Workload API',
      `workload: {namespace: foo, serviceAccount: a}\nconfig: [x]\nidentity: {workloadApi: unix:./a.sock}\n`,
      ['error not_usable_yet 3:25 identity.workloadApi'],
    ],
    [
      'a revocation list',
      MINIMAL.replace('/root.pem', '/root.pem, crl: {file: a}'),
      ['error not_usable_yet 2:105 identity.files.crl.file'],
    ],
    [
      'a setting of SDS beside files',
      MINIMAL.replace('{files:', '{bundleName: X, files:'),
      ['error conflict 2:24 identity.bundleName'],
    ],
    ['bad YAML', `${MINIMAL}a: [\n`, ['error syntax 5:1']],
    ['a second document', `${MINIMAL}---\na: 1\n`, ['error not_a_document 5:1']],
    ['a list', '- a\n', ['error not_a_document 1:1']],
  ];
  for (const [name, text, expected] of bad) {
    it(`refuses or notes ${name}`, () => {
      const found = problemsOf(text);
      for (const line of expected) assert.ok(found.includes(line), `${line}\nnot in\n${found.join('\n')}`);
      assert.equal(
        parse(text).config === null,
        expected.some((line) => line.startsWith('error')),
      );
    });
  }

  it('collects all problems, not the first', () => {
    const found = problemsOf(`${MINIMAL}admin: {port: x}\ndrain: y\nlimits: {maxHeaders: -1}\n`);
    assert.deepEqual(found, [
      'error wrong_type 4:15 admin.port',
      'error bad_value 5:8 drain',
      'error wrong_type 6:22 limits.maxHeaders',
    ]);
  });
});

describe('postern.yaml from the environment and from flags', () => {
  const sample: Readonly<Record<ConfigKey['type'], string>> = {
    text: 'some-text',
    name: 'some-name',
    path: 'some/file',
    socket: 'unix:some.sock',
    bind: '127.0.0.9',
    host: 'host.example',
    port: '12345',
    endpoint: '127.0.0.9:8080',
    integer: '1',
    duration: '7s',
    labels: 'app=a,version=v1',
    choice: '',
    entries: '',
    socketPath: '',
    fileMode: '',
    fraction: '',
    lifetime: '',
    trustDomain: '',
  };

  const SDS_KEYS = new Set(
    ['sds', 'certificateName', 'bundleName', 'tokenFile'].map((name) => `identity.${name}`),
  );
  for (const key of CONFIG_KEYS) {
    const variable = environmentName(key);
    if (variable === null) continue;
    it(`${variable} sets ${key.path}`, () => {
      const text = key.values?.at(-1) ?? sample[key.type];
      const base = SDS_KEYS.has(key.path) ? WITH_SDS : MINIMAL;
      const { config, problems } = parse(base, { [variable]: text });
      if (key.notUsableYet === true) {
        const found = problems.find(
          ({ path, code }) => path === key.path && (code === 'not_usable_yet' || code === 'conflict'),
        );
        assert.equal(found?.file, `$${variable}`);
        return;
      }
      assert.deepEqual(problems, []);
      assert.ok(config !== null);
      const found = JSON.stringify(
        valueAt(
          config,
          key.path.replace('identity.files.', 'identity.').replace('identity.sds', 'identity.socket'),
        ),
      );
      assert.equal(found, JSON.stringify(expectedValue(key, text)));
      // And a bad one is an error that names the variable.
      const wrong = parse(base, { [variable]: '\0' });
      const isText = key.type === 'text';
      assert.equal(
        wrong.config === null && wrong.problems.some(({ file }) => file === `$${variable}`),
        !isText,
      );
    });
  }

  it('lets the environment win over the file and flags over both', () => {
    const text = `${MINIMAL}admin: {port: 1}\nmetrics: {port: 1}\nreadiness: {port: 4}\n`;
    const config = good(
      text,
      { POSTERN_ADMIN_PORT: '2', POSTERN_METRICS_PORT: '2' },
      { 'metrics.port': '3' },
    );
    assert.deepEqual([config.admin.port, config.metrics.port, config.readiness.port], [2, 3, 4]);
  });

  it('is enough without a file', () => {
    const config = good('config: [a]\n', {
      POSTERN_WORKLOAD_NAMESPACE: 'foo',
      POSTERN_WORKLOAD_SERVICEACCOUNT: 'a',
      POSTERN_IDENTITY_FILES_CERTIFICATECHAIN: 'c.pem',
      POSTERN_IDENTITY_FILES_PRIVATEKEY: 'k.pem',
      POSTERN_IDENTITY_FILES_TRUSTBUNDLE: 'r.pem',
    });
    assert.ok(config.identity.kind === 'files');
    assert.equal(config.identity.privateKey, '/work/k.pem');
  });

  it('refuses a bad value of the file also where the environment overrides it', () => {
    assert.equal(parse(`${MINIMAL}admin: {port: x}\n`, { POSTERN_ADMIN_PORT: '1' }).config, null);
  });

  it('warns of a variable that looks like a typing mistake and leaves others alone', () => {
    const found = problemsOf(MINIMAL, {
      POSTERN_ADMIN_PROT: '1',
      POSTERN_ADMIN: 'http://127.0.0.1:15000',
      POSTERN_SERVICE_HOST: '10.0.0.1',
      POSTERN_PORT_15001_TCP_ADDR: '10.0.0.1',
      // Of agent.yaml: one environment may serve several commands.
      POSTERN_TOKEN_FILE: 'token',
    });
    assert.deepEqual(found, ['warning unknown_field 1:1']);
  });

  it('refuses a flag for a setting that does not exist', () => {
    assert.equal(parse(MINIMAL, {}, { 'admin.prot': '1' }).problems[0]?.fix, 'did you mean "admin.port"?');
  });
});

describe('a postern.yaml on disk', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'postern-config-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  it('is found relative to the working directory, its paths relative to its folder', () => {
    writeFileSync(join(folder, 'postern.yaml'), MINIMAL);
    const { config } = loadPosternConfig({ file: 'postern.yaml', environment: {}, workingDirectory: folder });
    assert.ok(config?.identity.kind === 'files');
    assert.equal(config.identity.certificateChain, join(folder, 'c.pem'));
  });

  it('is an error with its path when it is not there', () => {
    const { config, problems } = loadPosternConfig({
      file: 'none.yaml',
      environment: {},
      workingDirectory: folder,
    });
    assert.equal(config, null);
    assert.deepEqual(
      problems.map(({ code, file }) => [code, file]),
      [['unreadable', join(folder, 'none.yaml')]],
    );
  });
});

function valueAt(config: PosternConfig, path: string): unknown {
  if (path === 'drain') return config.drainMs;
  if (path === 'drainMax') return config.drainMaxMs;
  let value: unknown = config;
  for (const step of path.split('.')) {
    value =
      typeof value === 'object' && value !== null
        ? Object.entries(value).find(([name]) => name === step)?.[1]
        : undefined;
  }
  return value;
}

function expectedValue(key: ConfigKey, text: string): unknown {
  const { type } = key;
  if (type === 'path') return `/work/${text}`;
  if (type === 'socket') return '/work/some.sock';
  if (type === 'port' || type === 'integer') return Number(text);
  if (type === 'duration') return 7_000;
  if (type === 'endpoint') return { host: '127.0.0.9', port: 8080 };
  return type === 'labels' ? { app: 'a', version: 'v1' } : text;
}
