/** docker-compose.yml, Dockerfile and the files that they use say what they should; `npm run test:compose` runs them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { loadCommands } from '../src/cli/run-cli.ts';
import { validatePaths } from '../src/config/validate-paths.ts';
import { DEVELOPMENT_ISSUER } from '../src/identity/token-sign.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');

interface Service {
  readonly image: string;
  readonly command?: readonly string[];
  readonly entrypoint?: readonly string[];
  readonly volumes: readonly string[];
  readonly networks?: readonly string[];
  readonly [key: string]: unknown;
}

interface ComposeFile {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
}

const { services, volumes } = parse(read('docker-compose.yml'), { merge: true }) as ComposeFile;

/** Commands that read a Compose file, and why one is not here; Compose v2 is a plugin of `docker`. */
const readers = [['docker-compose'], ['docker', 'compose']].map((command) => {
  const { status } = spawnSync(command[0] ?? '', [...command.slice(1), 'version'], { stdio: 'ignore' });
  return { command, isThere: status === 0 };
});
const skipCompose = readers.some(({ isThere }) => isThere)
  ? false
  : 'neither docker-compose nor docker compose is installed';

describe('docker-compose.yml', () => {
  it('is understood by docker-compose', { skip: skipCompose }, () => {
    for (const { command, isThere } of readers) {
      if (!isThere) continue;
      const words = [...command.slice(1), '--file', 'docker-compose.yml', 'config', '--services'];
      const told = execFileSync(command[0] ?? '', words, { cwd: ROOT, encoding: 'utf8', stdio: 'pipe' });
      assert.deepEqual(
        told.trim().split('\n').toSorted(),
        Object.keys(services).toSorted(),
        command.join(' '),
      );
    }
  });

  for (const [name, service] of Object.entries(services)) {
    it(`gives ${name} no privilege and no way to write to its root file system`, () => {
      assert.equal(service['read_only'], true);
      assert.deepEqual(service['cap_drop'], ['ALL']);
      assert.deepEqual(service['security_opt'], ['no-new-privileges:true']);
      for (const key of ['privileged', 'cap_add', 'devices', 'pid', 'ipc', 'ports', 'userns_mode'])
        assert.equal(service[key], undefined, key);
    });
  }

  it('mounts the volume of the CA only in the CA and where tokens are made', () => {
    const mounting = Object.entries(services).filter(([, one]) =>
      one.volumes.some((v) => v.startsWith('ca:')),
    );
    assert.deepEqual(mounting.map(([name]) => name).toSorted(), [
      'ca',
      'foo-httpbin-enrol',
      'foo-sleep-enrol',
      'token-key',
    ]);
    for (const [name, one] of mounting) {
      if (name !== 'ca') assert.equal(one['network_mode'], 'none', name);
    }
  });

  it('mounts the volume of a workload only in services of that workload', () => {
    for (const volume of Object.keys(volumes).filter((one) => one !== 'ca')) {
      const mounting = Object.entries(services).filter(([, one]) =>
        one.volumes.some((v) => v.startsWith(`${volume}:`)),
      );
      assert.equal(mounting.length, 3, volume);
      for (const [name] of mounting) assert.ok(name.startsWith(`${volume}-`), `${name} mounts ${volume}`);
    }
  });

  it('mounts only what exists', () => {
    const sources = Object.values(services).flatMap((one) => one.volumes.map((v) => v.split(':')[0] ?? ''));
    assert.ok(sources.length > 10);
    for (const source of sources)
      assert.ok(source.startsWith('./') ? existsSync(path.join(ROOT, source)) : source in volumes, source);
  });

  it('runs commands that there are, with files that there are', async () => {
    const commands = new Set((await loadCommands()).map(({ name }) => name));
    for (const [name, { command = [], entrypoint, image }] of Object.entries(services)) {
      const files = [...command, ...(entrypoint ?? [])].filter((word) => /\.(?:yaml|sh|ts)$/.test(word));
      assert.equal(files.length, 1, name);
      for (const file of files) {
        const below = file.replace(/^\/etc\/postern\//, '').replace(/^\//, '');
        assert.ok(existsSync(path.join(ROOT, 'examples/compose', below)), `${name}: ${file}`);
      }
      if (image === 'postern' && entrypoint === undefined) assert.ok(commands.has(command[0] ?? ''), name);
    }
  });
});

describe('the files of docker-compose.yml', () => {
  it('are valid, without a warning', () => {
    const files = globSync('examples/compose/*.yaml', { cwd: ROOT });
    assert.ok(files.length >= 5, files.join());
    assert.deepEqual(validatePaths([...files, 'examples/compose/mesh'], ROOT).problems, []);
  });

  it('have the CA take the tokens that postern token makes', () => {
    const ca = parse(read('examples/compose/ca.yaml')) as {
      readonly tokens: readonly { readonly development: { readonly issuer: string } }[];
    };
    assert.deepEqual(
      ca.tokens.map(({ development }) => development.issuer),
      [DEVELOPMENT_ISSUER],
    );
  });

  it('have the listener on the port that the Service leads to, and another for the app', () => {
    const told = read('examples/compose/mesh/httpbin.yaml');
    assert.match(told, /targetPort: 8080/);
    assert.match(told, /number: 8080/);
    assert.match(told, /defaultEndpoint: 127\.0\.0\.1:3000/);
    assert.match(read('examples/compose/apps/httpbin.ts'), /listen\(3000, '127\.0\.0\.1'\)/);
  });
});

describe('the Dockerfile', () => {
  const dockerfile = read('Dockerfile');

  it('copies only what .dockerignore lets through, and that lets nothing else through', () => {
    const copied = [...dockerfile.matchAll(/^COPY (?!--from)(.+) \S+$/gm)].flatMap(([, files = '']) =>
      files.split(' '),
    );
    const allowed = [...read('.dockerignore').matchAll(/^!(.+)$/gm)].map(([, file = '']) => file);
    assert.match(read('.dockerignore'), /^\*$/m);
    const topLevel = new Set(copied.map((file) => file.split('/')[0] ?? ''));
    assert.deepEqual([...topLevel].toSorted(), allowed.toSorted());
    for (const file of copied) assert.ok(existsSync(path.join(ROOT, file)), file);
  });

  it('names a base image whose Node is new enough for the launcher', () => {
    const bases = new Set([...dockerfile.matchAll(/^FROM (\S+)/gm)].map(([, name]) => name));
    const [, major] = /NEEDED = \{ major: (\d+)/.exec(read('src/launcher.js')) ?? [];
    assert.deepEqual([...bases], [`node:${major}-bookworm-slim`]);
  });

  it('ends as a user that is none of the system, without a shell in between', () => {
    assert.match(dockerfile, /^USER 1337:1337$/m);
    assert.match(dockerfile, /^ENTRYPOINT \["postern"\]$/m);
    assert.match(dockerfile, /^HEALTHCHECK .*CMD \["postern", "wait", /m);
  });
});
