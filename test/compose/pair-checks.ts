/**
 * What has to hold while docker-compose.yml is up: requests through the pair, strangers refused, no privileges, and
 * private keys nowhere but in the volume of the CA. A check answers what it saw, or throws what is wrong.
 */
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ComposeProject, Container } from './compose-project.ts';
import type { KeySearch } from './find-keys.ts';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const CALLER = 'spiffe://cluster.local/ns/foo/sa/sleep';
const SERVER = 'spiffe://cluster.local/ns/foo/sa/httpbin';

/** Without a byte. */
const CLOSED = /^\[(?:closed|ECONNRESET|ERR_SSL_\w+)\]$/;

/** What one folder, as `/run/postern` of `foo-sleep-agent`, has to hold: nothing else, and no key of a workload. */
const WORKLOAD_FILES = ['agent.sock', 'root-cert.pem', 'token'];
const CA_FILES = ['ca-key.pem', 'root-cert.pem', 'token.key', 'token.key.pub'];
const CA_KEYS = ['ca-key.pem', 'token.key'];

export interface PairCheck {
  readonly name: string;
  run(project: ComposeProject): Promise<string>;
}

export const PAIR_CHECKS: readonly PairCheck[] = [
  {
    name: 'foo-sleep calls http://httpbin.foo:8000/headers, and foo-httpbin sees who calls',
    async run(project) {
      const { status, body } = await get(project, 'http://httpbin.foo:8000/headers');
      assert.equal(status, 200);
      const { headers } = JSON.parse(body) as { readonly headers: Readonly<Record<string, string>> };
      const certificate = headers['x-forwarded-client-cert'] ?? '';
      assert.ok(certificate.startsWith(`By=${SERVER};`), certificate);
      assert.ok(certificate.endsWith(`;URI=${CALLER}`), certificate);
      assert.equal(headers['host'], 'httpbin.foo:8000');
      return `${status}, x-forwarded-client-cert: ${certificate}`;
    },
  },
  {
    name: 'the app meets its sidecar on loopback',
    async run(project) {
      const { status, body } = await get(project, 'http://httpbin.foo:8000/ip');
      assert.equal(status, 200);
      assert.deepEqual(JSON.parse(body), { origin: '127.0.0.1' });
      return `${status} ${body.replaceAll(/\s+/g, ' ')}`;
    },
  },
  {
    name: 'a status of the app comes through',
    async run(project) {
      const { status } = await get(project, 'http://httpbin.foo:8000/status/418');
      assert.equal(status, 418);
      return String(status);
    },
  },
  {
    name: 'plaintext from a third container to the sidecar is closed without a byte (STRICT)',
    run: (project) => refuse(project, '8080', 'plaintext', CLOSED, 'no_filter_chain_match'),
  },
  {
    name: 'TLS without a certificate is refused',
    run: (project) => refuse(project, '8080', 'tls', CLOSED, 'tls_no_certificate'),
  },
  {
    name: 'the app itself cannot be reached from a third container',
    run: (project) => refuse(project, '3000', 'plaintext', /^\[ECONNREFUSED\]$/),
  },
  { name: 'no container has a privilege', run: withoutPrivileges },
  { name: 'no process can write outside its volumes', run: writesNowhere },
  {
    name: 'private keys are in the volume of the CA, and in no other file of any container',
    run: keysOnlyInCa,
  },
];

/** By the app of foo-sleep. */
async function get(project: ComposeProject, url: string): Promise<{ status: number; body: string }> {
  const script =
    'const r = await fetch(process.argv[1]); console.log(JSON.stringify([r.status, await r.text()]))';
  const words = ['exec', '-T', 'foo-sleep', 'node', '--input-type=module', '--eval', script, url];
  const [status, body] = JSON.parse(await project.compose(words)) as [number, string];
  return { status, body };
}

/** `expected`: what a container that is no part of the mesh gets of foo-httpbin; `code`: why, in the sidecar's log. */
async function refuse(
  project: ComposeProject,
  port: string,
  how: string,
  expected: RegExp,
  code: string = '',
): Promise<string> {
  const mount = `${HERE}:/test:ro`;
  const run = [
    'run',
    '--rm',
    '--network',
    `${project.name}_mesh`,
    '--volume',
    mount,
    'node:26-bookworm-slim',
  ];
  const answer = await project.docker([...run, 'node', '/test/stranger.ts', 'foo-httpbin', port, how]);
  assert.match(answer, expected);
  if (code === '') return answer;
  const log = await project.compose(['logs', '--no-color', 'foo-httpbin-proxy']);
  assert.ok(log.includes(`"code":"${code}"`), `no ${code} in the log of foo-httpbin-proxy`);
  return `${answer} ${code}`;
}

async function withoutPrivileges(project: ComposeProject): Promise<string> {
  const containers = await project.containers();
  assert.ok(containers.size >= 9, [...containers.keys()].join());
  for (const [service, { Config, HostConfig }] of containers) {
    const { Privileged, ReadonlyRootfs, CapAdd, CapDrop, SecurityOpt, PortBindings } = HostConfig;
    assert.deepEqual(
      { Privileged, ReadonlyRootfs, CapAdd: CapAdd ?? [], CapDrop, SecurityOpt },
      {
        Privileged: false,
        ReadonlyRootfs: true,
        CapAdd: [],
        CapDrop: ['ALL'],
        SecurityOpt: ['no-new-privileges:true'],
      },
      service,
    );
    assert.match(Config.User, /^(?:1337:1337|node)$/, service);
    const open = Object.values(PortBindings ?? {}).flat();
    assert.deepEqual(
      open.filter(({ HostIp }) => HostIp !== '127.0.0.1'),
      [],
      service,
    );
  }
  return `${containers.size} containers: not root, read-only, every capability dropped, no-new-privileges`;
}

/** Tried by each process's own user. Shared memory is the one place that is left, and nothing may be there. */
async function writesNowhere(project: ComposeProject): Promise<string> {
  const script = `
    const fail = (file) => { try { fs.writeFileSync(file, ''); return ''; } catch ({ code }) { return code; } };
    const tried = ['/x', '/tmp/x', '/etc/postern/x'].map(fail).filter((code) => !/^(?:EROFS|ENOENT)$/.test(code));
    console.log(JSON.stringify([...tried, ...fs.readdirSync('/dev/shm')]));`;
  const told: string[] = [];
  for (const [service, { Id, State }] of await project.containers()) {
    if (State.Status !== 'running') continue;
    assert.equal((await project.docker(['exec', Id, 'node', '--eval', script])).trim(), '[]', service);
    told.push(service);
  }
  return told.join(' ');
}

async function keysOnlyInCa(project: ComposeProject): Promise<string> {
  const containers = await project.containers();
  const told: string[] = [];
  const searched = new Set<string>();
  for (const [service, container] of containers) {
    for (const { Type, Name = '', Source, Destination } of container.Mounts) {
      // It holds the same wherever it is mounted.
      if (searched.has(Source)) continue;
      searched.add(Source);
      const { files, withKey } = await searchIn(project, container, Destination);
      const below = files.map((file) => path.posix.relative(Destination, file)).toSorted();
      const keys = withKey.map((file) => path.posix.relative(Destination, file)).toSorted();
      const isCa = Name === `${project.name}_ca`;
      assert.deepEqual(keys, isCa ? CA_KEYS : [], `${service} ${Destination}`);
      if (Type !== 'volume') continue;
      assert.deepEqual(below, isCa ? CA_FILES : WORKLOAD_FILES, `${service} ${Destination}`);
      told.push(`${Name.slice(project.name.length + 1)}: ${below.join(' ')}`);
    }
  }
  // Root file systems are read-only: they hold what the image does. Below, what an image of ours could bring.
  const ours = [...containers.values()].find(({ Config }) => Config.Image === 'postern');
  assert.ok(ours !== undefined);
  const { files, withKey } = await searchIn(
    project,
    ours,
    '/usr/local/lib/postern',
    '/home',
    '/root',
    '/tmp',
  );
  assert.ok(files.length > 500, files.join());
  assert.deepEqual(withKey, []);
  told.push(`${files.length} files in the image`);
  return told.join('; ');
}

/** As root, in a container that mounts what that one mounts: an ended container can be searched too. */
async function searchIn(
  project: ComposeProject,
  container: Container,
  ...folders: readonly string[]
): Promise<KeySearch> {
  const inside = ['--volumes-from', `${container.Id}:ro`, '--volume', `${HERE}:/test:ro`];
  const run = ['run', '--rm', '--user', '0', '--network', 'none', '--entrypoint', 'node', ...inside];
  const text = await project.docker([...run, container.Config.Image, '/test/find-keys.ts', ...folders]);
  return JSON.parse(text) as KeySearch;
}
