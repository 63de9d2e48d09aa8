import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadAgentConfig, parseAgentConfig } from '../../src/config/agent-config.ts';
import type { AgentConfig } from '../../src/config/agent-config.ts';
import { AGENT_KEYS } from '../../src/config/agent-keys.ts';
import { environmentName } from '../../src/config/config-key.ts';
import type { LoadedSettings } from '../../src/config/load-settings.ts';
import { foundProblems } from './found-problems.ts';

const MINIMAL = `workload: {namespace: foo, serviceAccount: httpbin}
socket: {path: run/agent.sock}
ca: {address: "127.0.0.1:15012", root: ca/root-cert.pem}
`;

function parse(text: string, environment: Record<string, string> = {}): LoadedSettings<AgentConfig> {
  return parseAgentConfig(text, {
    file: '/etc/postern/agent.yaml',
    environment,
    workingDirectory: '/work',
  });
}

function good(text: string, environment: Record<string, string> = {}): AgentConfig {
  const { config, problems } = parse(text, environment);
  assert.deepEqual(problems, []);
  assert.ok(config !== null);
  return config;
}

describe('agent.yaml', () => {
  it('fills in the defaults', () => {
    assert.deepEqual(good(MINIMAL), {
      file: '/etc/postern/agent.yaml',
      workload: { namespace: 'foo', serviceAccount: 'httpbin' },
      socket: { path: '/etc/postern/run/agent.sock', mode: 0o600, uids: [] },
      ca: {
        address: '127.0.0.1:15012',
        root: '/etc/postern/ca/root-cert.pem',
        serverName: 'istiod.istio-system.svc',
      },
      tokenFile: null,
      certificate: { ttlMs: 86_400_000, key: 'ecdsa-p256', renewAt: 0.5, jitter: 0.01 },
      trustBundleFile: null,
      readiness: { bind: '127.0.0.1', port: 15020 },
    });
  });

  it('reads every key', () => {
    const text = `
workload: {namespace: foo, serviceAccount: httpbin}
socket: {path: /run/agent.sock, mode: "0660", uids: [0, 1000, 4294967294]}
ca: {address: "[::1]:1", root: /r.pem, serverName: ca.example.com}
token: {file: run/token}
certificate: {ttl: 2160h, key: rsa-2048, renewAt: .8, jitter: 0}
trustBundle: {file: extra.pem}
readiness: {bind: 0.0.0.0, port: 0}
`;
    const { file, workload, ...rest } = good(text);
    assert.deepEqual([file, workload.namespace], ['/etc/postern/agent.yaml', 'foo']);
    assert.deepEqual(rest, {
      socket: { path: '/run/agent.sock', mode: 0o660, uids: [0, 1_000, 4_294_967_294] },
      ca: { address: '[::1]:1', root: '/r.pem', serverName: 'ca.example.com' },
      tokenFile: '/etc/postern/run/token',
      certificate: { ttlMs: 7_776_000_000, key: 'rsa-2048', renewAt: 0.8, jitter: 0 },
      trustBundleFile: '/etc/postern/extra.pem',
      readiness: { bind: '0.0.0.0', port: 0 },
    });
  });

  it('lets the environment win, for every scalar', () => {
    const sample: Readonly<Record<string, string>> = {
      POSTERN_WORKLOAD_NAMESPACE: 'bar',
      POSTERN_WORKLOAD_SERVICEACCOUNT: 'sleep',
      POSTERN_SOCKET_PATH: 'other.sock',
      POSTERN_SOCKET_MODE: '660',
      POSTERN_CA_ADDRESS: 'ca.example.com:443',
      POSTERN_CA_ROOT: 'root.pem',
      POSTERN_CA_SERVERNAME: 'ca.example.com',
      POSTERN_TOKEN_FILE: 'token',
      POSTERN_CERTIFICATE_TTL: '90s',
      POSTERN_CERTIFICATE_KEY: 'ecdsa-p384',
      POSTERN_CERTIFICATE_RENEWAT: '0.25',
      POSTERN_CERTIFICATE_JITTER: '0.2',
      POSTERN_TRUSTBUNDLE_FILE: 'extra.pem',
      POSTERN_READINESS_BIND: '::1',
      POSTERN_READINESS_PORT: '0',
    };
    const usable = AGENT_KEYS.filter(({ notUsableYet }) => notUsableYet !== true);
    const variables = usable.flatMap((key) => environmentName(key) ?? []);
    assert.deepEqual(Object.keys(sample).toSorted(), variables.toSorted());
    assert.deepEqual(good(MINIMAL, sample), {
      file: '/etc/postern/agent.yaml',
      workload: { namespace: 'bar', serviceAccount: 'sleep' },
      socket: { path: '/work/other.sock', mode: 0o660, uids: [] },
      ca: { address: 'ca.example.com:443', root: '/work/root.pem', serverName: 'ca.example.com' },
      tokenFile: '/work/token',
      certificate: { ttlMs: 90_000, key: 'ecdsa-p384', renewAt: 0.25, jitter: 0.2 },
      trustBundleFile: '/work/extra.pem',
      readiness: { bind: '::1', port: 0 },
    });
  });

  const bad: [string, string, string[]][] = [
    ['an unknown key', `${MINIMAL}tokn: {}\n`, ['error unknown_field 4:1 tokn']],
    [
      'an unknown key below',
      MINIMAL.replace('root:', 'serverNme: x, root:'),
      ['error unknown_field 3:34 ca.serverNme'],
    ],
    [
      'nothing at all',
      '',
      [
        'error missing_field 1:1 workload.namespace',
        'error missing_field 1:1 workload.serviceAccount',
        'error missing_field 1:1 socket.path',
        'error missing_field 1:1 ca.address',
        'error missing_field 1:1 ca.root',
      ],
    ],
    [
      'a CA without root',
      MINIMAL.replace(', root: ca/root-cert.pem', ''),
      ['error missing_field 3:1 ca.root'],
    ],
    [
      'a CA without port',
      MINIMAL.replace('127.0.0.1:15012', '127.0.0.1'),
      ['error bad_value 3:15 ca.address'],
    ],
    [
      'a socket with its scheme',
      MINIMAL.replace('run/agent.sock', '"unix:run/agent.sock"'),
      ['error bad_value 2:16 socket.path'],
    ],
    [
      'a socket whose path is too long',
      MINIMAL.replace('run/agent.sock', `/${'a'.repeat(107)}`),
      ['error out_of_range 2:16 socket.path'],
    ],
    [
      'a mode that YAML reads as decimal',
      MINIMAL.replace('agent.sock}', 'agent.sock, mode: 0600}'),
      ['error wrong_type 2:38 socket.mode'],
    ],
    [
      'a mode that is not octal',
      MINIMAL.replace('agent.sock}', 'agent.sock, mode: "0680"}'),
      ['error bad_value 2:38 socket.mode'],
    ],
    [
      'a mode with more than permissions',
      MINIMAL.replace('agent.sock}', 'agent.sock, mode: "4600"}'),
      ['error bad_value 2:38 socket.mode'],
    ],
    [
      'user ids that are none',
      MINIMAL.replace('agent.sock}', 'agent.sock, uids: [root, "0", -1, 4294967295, 1e3, 07]}'),
      [
        'error bad_value 2:39 socket.uids[0]',
        'error bad_value 2:45 socket.uids[1]',
        'error bad_value 2:50 socket.uids[2]',
        'error bad_value 2:54 socket.uids[3]',
        'error bad_value 2:66 socket.uids[4]',
        'error bad_value 2:71 socket.uids[5]',
      ],
    ],
    [
      'user ids that are no list',
      MINIMAL.replace('agent.sock}', 'agent.sock, uids: 0}'),
      ['error wrong_type 2:38 socket.uids'],
    ],
    [
      'a socket for everybody, with the token of the agent',
      `${MINIMAL.replace('agent.sock}', 'agent.sock, mode: "0666"}')}token: {file: t}\n`,
      ['warning bad_value 2:38 socket.mode'],
    ],
    [
      'Kubernetes',
      MINIMAL.replace(/ca: .*/, 'ca: {kubernetesCsr: {server: "https://k", signerName: s}}'),
      [
        'error not_usable_yet 3:30 ca.kubernetesCsr.server',
        'error not_usable_yet 3:55 ca.kubernetesCsr.signerName',
      ],
    ],
    [
      'Kubernetes without a word',
      MINIMAL.replace(/ca: .*/, 'ca: {kubernetesCsr: {}}'),
      ['error not_usable_yet 3:6 ca.kubernetesCsr'],
    ],
    [
      'Kubernetes beside an address',
      MINIMAL.replace('root:', 'kubernetesCsr: {ca: x}, root:'),
      ['error conflict 3:15 ca.address', 'error not_usable_yet 3:54 ca.kubernetesCsr.ca'],
    ],
    [
      'a certificate of no time',
      `${MINIMAL}certificate: {ttl: 0s}\n`,
      ['error out_of_range 4:20 certificate.ttl'],
    ],
    [
      'a certificate of eleven years',
      `${MINIMAL}certificate: {ttl: 96360h}\n`,
      ['error bad_value 4:20 certificate.ttl'],
    ],
    ['an unknown key pair', `${MINIMAL}certificate: {key: rsa}\n`, ['error bad_value 4:20 certificate.key']],
    [
      'renewal at once',
      `${MINIMAL}certificate: {renewAt: 0}\n`,
      ['error out_of_range 4:24 certificate.renewAt'],
    ],
    [
      'renewal at the end',
      `${MINIMAL}certificate: {renewAt: 1}\n`,
      ['error out_of_range 4:24 certificate.renewAt'],
    ],
    [
      'renewal in words',
      `${MINIMAL}certificate: {renewAt: half}\n`,
      ['error wrong_type 4:24 certificate.renewAt'],
    ],
    [
      'renewal before the beginning',
      `${MINIMAL}certificate: {renewAt: -0.5}\n`,
      ['error wrong_type 4:24 certificate.renewAt'],
    ],
    [
      'a jitter of half',
      `${MINIMAL}certificate: {jitter: 0.5}\n`,
      ['error out_of_range 4:23 certificate.jitter'],
    ],
    [
      'a jitter past the end',
      `${MINIMAL}certificate: {renewAt: 0.9, jitter: 0.1}\n`,
      ['error conflict 4:37 certificate.jitter'],
    ],
  ];
  for (const [name, text, expected] of bad) {
    it(`refuses or notes ${name}`, () => {
      const { config, problems } = parse(text);
      assert.deepEqual(foundProblems(problems).toSorted(), expected.toSorted());
      assert.ok(problems.every(({ fix }) => fix !== ''));
      assert.equal(
        config === null,
        expected.some((line) => line.startsWith('error')),
      );
    });
  }

  it('says how a mode is to be written', () => {
    const { problems } = parse(MINIMAL.replace('agent.sock}', 'agent.sock, mode: 0600}'));
    assert.equal(problems[0]?.fix, 'write it in quotes, like "0600"');
  });

  it('leaves a socket for everybody to those ids, or to the token of the caller', () => {
    const open = MINIMAL.replace('agent.sock}', 'agent.sock, mode: "0666"}');
    assert.equal(good(open).socket.mode, 0o666);
    assert.deepEqual(
      good(`${open.replace('"0666"', '"0666", uids: [7]')}token: {file: t}\n`).socket.uids,
      [7],
    );
  });

  it('is read from disk, its paths relative to its folder', () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-agent-'));
    try {
      writeFileSync(join(folder, 'agent.yaml'), MINIMAL);
      const input = { file: 'agent.yaml', environment: {}, workingDirectory: folder };
      const { config, problems } = loadAgentConfig({ ...input, flags: { 'readiness.port': '7' } });
      assert.deepEqual(problems, []);
      assert.deepEqual([config?.socket.path, config?.readiness?.port], [join(folder, 'run/agent.sock'), 7]);
      assert.equal(loadAgentConfig({ ...input, file: 'none.yaml' }).problems[0]?.code, 'unreadable');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
