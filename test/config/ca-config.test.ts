import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadCaConfig, parseCaConfig } from '../../src/config/ca-config.ts';
import type { CaConfig } from '../../src/config/ca-config.ts';
import { CA_KEYS } from '../../src/config/ca-keys.ts';
import { environmentName } from '../../src/config/config-key.ts';
import type { LoadedSettings } from '../../src/config/load-settings.ts';
import { foundProblems } from './found-problems.ts';

const MINIMAL = `root: {selfSigned: {folder: ca}}
tokens:
- development: {publicKey: ca/token.key.pub}
`;

const token = (entry: string): string => `root: {selfSigned: {}}\ntokens:\n- ${entry}\n`;

function parse(text: string, environment: Record<string, string> = {}): LoadedSettings<CaConfig> {
  return parseCaConfig(text, { file: '/etc/postern/ca.yaml', environment, workingDirectory: '/work' });
}

function good(text: string, environment: Record<string, string> = {}): CaConfig {
  const { config, problems } = parse(text, environment);
  assert.deepEqual(problems, []);
  assert.ok(config !== null);
  return config;
}

describe('ca.yaml', () => {
  it('fills in the defaults', () => {
    assert.deepEqual(good(MINIMAL), {
      file: '/etc/postern/ca.yaml',
      listen: { bind: '127.0.0.1', port: 15012, names: [] },
      trustDomain: 'cluster.local',
      rootFolder: '/etc/postern/ca',
      key: 'ecdsa-p256',
      ttl: { defaultMs: 86_400_000, maxMs: 7_776_000_000 },
      tokens: [
        {
          kind: 'development',
          issuer: 'https://postern.invalid',
          publicKey: '/etc/postern/ca/token.key.pub',
          audiences: ['istio-ca'],
        },
      ],
      admin: { bind: '127.0.0.1', port: 15014 },
    });
  });

  it('reads every key', () => {
    const text = `
listen: {bind: "::", port: 0, names: [ca.example.com, 10.0.0.1, "fd00::1"]}
trustDomain: td.example
root: {selfSigned: {}}
key: rsa-2048
ttl: {default: 90s, max: 87600h}
tokens:
- development: {issuer: me, publicKey: /a.pub, audiences: [a, b]}
- development: {publicKey: /b.pub}
admin: {bind: "::1", port: 1}
`;
    const { file, ...rest } = good(text);
    assert.equal(file, '/etc/postern/ca.yaml');
    const development = { kind: 'development' as const };
    assert.deepEqual(rest, {
      listen: { bind: '::', port: 0, names: ['ca.example.com', '10.0.0.1', 'fd00::1'] },
      trustDomain: 'td.example',
      rootFolder: null,
      key: 'rsa-2048',
      ttl: { defaultMs: 90_000, maxMs: 315_360_000_000 },
      tokens: [
        { ...development, issuer: 'me', publicKey: '/a.pub', audiences: ['a', 'b'] },
        {
          ...development,
          issuer: 'https://postern.invalid',
          publicKey: '/b.pub',
          audiences: ['istio-ca'],
        },
      ],
      admin: { bind: '::1', port: 1 },
    });
  });

  it('lets the environment win, for every scalar', () => {
    const sample: Readonly<Record<string, string>> = {
      POSTERN_LISTEN_BIND: '0.0.0.0',
      POSTERN_LISTEN_PORT: '0',
      POSTERN_TRUSTDOMAIN: 'td',
      POSTERN_ROOT_SELFSIGNED_FOLDER: 'roots',
      POSTERN_KEY: 'ecdsa-p384',
      POSTERN_TTL_DEFAULT: '1h',
      POSTERN_TTL_MAX: '2h',
      POSTERN_ADMIN_BIND: '::1',
      POSTERN_ADMIN_PORT: '0',
    };
    const usable = CA_KEYS.filter(({ notUsableYet }) => notUsableYet !== true);
    assert.deepEqual(
      Object.keys(sample).toSorted(),
      usable.flatMap((key) => environmentName(key) ?? []).toSorted(),
    );
    const { tokens, file, ...rest } = good(MINIMAL, sample);
    assert.deepEqual([tokens.length, file], [1, '/etc/postern/ca.yaml']);
    assert.deepEqual(rest, {
      listen: { bind: '0.0.0.0', port: 0, names: [] },
      trustDomain: 'td',
      rootFolder: '/work/roots',
      key: 'ecdsa-p384',
      ttl: { defaultMs: 3_600_000, maxMs: 7_200_000 },
      admin: { bind: '::1', port: 0 },
    });
  });

  const bad: [string, string, string[]][] = [
    ['an unknown key', `${MINIMAL}trustDomian: x\n`, ['error unknown_field 4:1 trustDomian']],
    ['nothing at all', '', ['error missing_field 1:1 tokens', 'warning empty 1:1 root']],
    ['no root', MINIMAL.replace(/root: .*\n/, ''), ['warning empty 1:1 root']],
    ['an empty list of tokens', 'root: {selfSigned: {}}\ntokens: []\n', ['error missing_field 2:1 tokens']],
    ['tokens that are no list', 'root: {selfSigned: {}}\ntokens: {}\n', ['error wrong_type 2:9 tokens']],
    ['an entry that is a text', token('development'), ['error wrong_type 3:3 tokens[0]']],
    ['an entry of no kind', token('{}'), ['error missing_field 3:3 tokens[0]']],
    [
      'an entry of a misspelled kind',
      token('developement: {}'),
      ['error missing_field 3:3 tokens[0]', 'error unknown_field 3:3 tokens[0].developement'],
    ],
    [
      'an entry of two kinds',
      token('{development: {publicKey: a}, oidc: {}}'),
      ['error conflict 3:3 tokens[0]'],
    ],
    [
      'development tokens without key',
      token('development: {}'),
      ['error missing_field 3:3 tokens[0].development.publicKey'],
    ],
    [
      'development tokens with an empty key',
      token('development: {publicKey: ""}'),
      ['error bad_value 3:28 tokens[0].development.publicKey'],
    ],
    [
      'development tokens with a private key',
      token('development: {privateKey: a, publicKey: b}'),
      ['error unknown_field 3:17 tokens[0].development.privateKey'],
    ],
    [
      'development tokens for nobody',
      token('development: {publicKey: a, audiences: []}'),
      ['error bad_value 3:31 tokens[0].development.audiences'],
    ],
    [
      'development tokens for an audience without name',
      token('development: {publicKey: a, audiences: [istio-ca, ""]}'),
      ['error bad_value 3:31 tokens[0].development.audiences'],
    ],
    [
      'development tokens of an empty issuer',
      token('development: {publicKey: a, issuer: ""}'),
      ['error bad_value 3:39 tokens[0].development.issuer'],
    ],
    [
      'OIDC',
      token('oidc: {issuer: a, jwksUri: b, audiences: [c]}'),
      ['error not_usable_yet 3:3 tokens[0].oidc'],
    ],
    [
      'token reviews, with a wrong field',
      token('tokenReview: {server: a, cacert: b}'),
      [
        'error not_usable_yet 3:3 tokens[0].tokenReview',
        'error unknown_field 3:28 tokens[0].tokenReview.cacert',
      ],
    ],
    [
      'a root that is plugged in',
      MINIMAL.replace('selfSigned', 'pluggedIn'),
      ['error not_usable_yet 1:28 root.pluggedIn.folder'],
    ],
    [
      'a root that is plugged in from nowhere',
      MINIMAL.replace('{selfSigned: {folder: ca}}', '{pluggedIn: {}}'),
      ['error not_usable_yet 1:8 root.pluggedIn'],
    ],
    [
      'two roots',
      MINIMAL.replace('{selfSigned', '{pluggedIn: {folder: x}, selfSigned'),
      ['error conflict 1:1 root', 'error not_usable_yet 1:28 root.pluggedIn.folder'],
    ],
    [
      'a trust domain that is none',
      `${MINIMAL}trustDomain: spiffe://td\n`,
      ['error bad_value 4:14 trustDomain'],
    ],
    [
      'names that are none',
      `${MINIMAL}listen: {names: ["*", a b, 1.2.3.4.5, 7]}\n`,
      [
        'error bad_value 4:18 listen.names[0]',
        'error bad_value 4:23 listen.names[1]',
        'error bad_value 4:28 listen.names[2]',
        'error wrong_type 4:39 listen.names[3]',
      ],
    ],
    ['no time to live', `${MINIMAL}ttl: {default: 0s}\n`, ['error out_of_range 4:16 ttl.default']],
    [
      'a default longer than the longest',
      `${MINIMAL}ttl: {default: 2h, max: 1h}\n`,
      ['error conflict 4:16 ttl.default'],
    ],
    ['a lifetime without unit', `${MINIMAL}ttl: {max: "24"}\n`, ['error bad_value 4:12 ttl.max']],
    [
      'an admin server for everybody',
      `${MINIMAL}admin: {bind: 0.0.0.0}\n`,
      ['error bad_value 4:15 admin.bind'],
    ],
    ['two listeners on one port', `${MINIMAL}admin: {port: 15012}\n`, ['error conflict 4:15 admin.port']],
    ['an unknown key pair', `${MINIMAL}key: ed25519\n`, ['error bad_value 4:6 key']],
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

  it('is read from disk, its paths relative to its folder', () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-ca-'));
    try {
      writeFileSync(join(folder, 'ca.yaml'), MINIMAL);
      const input = { file: 'ca.yaml', environment: {}, workingDirectory: folder };
      const { config, problems } = loadCaConfig({ ...input, flags: { 'listen.port': '7' } });
      assert.deepEqual(problems, []);
      assert.deepEqual([config?.rootFolder, config?.listen.port], [join(folder, 'ca'), 7]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
