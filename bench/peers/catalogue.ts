/**
 * The peers in the order of the table. Each has one worker, and keep-alive to the app.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { SERVER_URI } from '../certificates.ts';
import { buildPostern } from './build-postern.ts';
import type { Command } from '../measure/child.ts';
import type { AppProtocol, Installed, Peer, PeerSetup } from './peer.ts';
import { writePosternSettings } from './postern-settings.ts';
import { writeSettings } from './template.ts';
import { writeTranslation } from './translated-envoy.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const SBIN = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

function findProgram(name: string): string | null {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...SBIN];
  for (const folder of folders) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here.
    }
  }
  return null;
}

function versionOf(program: string, flag: string, pattern: RegExp): string {
  const { stdout, stderr } = spawnSync(program, [flag], { encoding: 'utf8', timeout: 10_000 });
  return pattern.exec(`${stdout}${stderr}`)?.[1] ?? 'unknown';
}

/** A script that starts the real binary would be measured in its place. */
function isBinary(path: string): boolean {
  const magic = Buffer.alloc(4);
  const file = openSync(path, 'r');
  readSync(file, magic, 0, 4, 0);
  closeSync(file);
  return magic.toString('latin1') === '\x7fELF';
}

function packageVersion(name: string): string | null {
  const packageFile = join(ROOT, 'node_modules', name, 'package.json');
  if (!existsSync(packageFile)) return null;
  return (createRequire(import.meta.url)(packageFile) as { version: string }).version;
}

/** A small program of this folder, and the package that it is about. */
function nodePeer(name: string, carries: AppProtocol, packageName: string = name): Peer {
  return {
    name,
    carries: [carries],
    checks: 'SPIFFE ID',
    pairChecks: null,
    accessLog: false,
    ready: 'line',
    find() {
      const version = name === 'node-pipe' ? process.version.slice(1) : packageVersion(packageName);
      if (version === null) return null;
      return {
        version,
        start: ({ certificates, appPort }): Command => ({
          program: process.execPath,
          args: [join(import.meta.dirname, `${name}.ts`)],
          env: {
            NODE_ENV: 'production',
            // http-proxy 1.18 calls util._extend; the warning is known.
            NODE_NO_WARNINGS: '1',
            BENCH_CERTIFICATE: certificates.server.certificate,
            BENCH_KEY: certificates.server.key,
            BENCH_ROOTS: certificates.roots,
            BENCH_OWN_URI: SERVER_URI,
            BENCH_APP_PORT: String(appPort),
          },
        }),
      };
    },
  };
}

function posternCommand(main: string, setup: PeerSetup, name: string): Command {
  return {
    program: process.execPath,
    args: [main, 'proxy', '--config', writePosternSettings(name, setup)],
  };
}

const postern: Peer = {
  name: 'postern',
  carries: ['http', 'tcp'],
  checks: 'SPIFFE ID',
  pairChecks: 'SPIFFE ID',
  accessLog: true,
  ready: 'line',
  find(): Installed | null {
    const main = buildPostern(ROOT);
    const { version } = createRequire(import.meta.url)('../../package.json') as { version: string };
    return {
      version,
      start: (setup) => posternCommand(main, setup, 'postern'),
      startOutbound: (setup) => posternCommand(main, setup, 'postern-outbound'),
    };
  },
};

function envoyCommand(program: string, settings: string): Command {
  return {
    program,
    args: ['-c', settings, '--concurrency', '1', '--disable-hot-restart', '-l', 'error'],
  };
}

const envoy: Peer = {
  name: 'envoy',
  carries: ['http', 'tcp'],
  checks: 'SPIFFE ID',
  pairChecks: 'SPIFFE ID',
  accessLog: true,
  ready: 'connect',
  find(): Installed | null {
    const named = process.env['POSTERN_ENVOY'];
    if (named !== undefined && (!existsSync(named) || !isBinary(named))) {
      throw new Error(
        `POSTERN_ENVOY is "${named}", which is not a binary; name the real Envoy, not a script that starts it`,
      );
    }
    const program = named ?? findProgram('envoy');
    if (program === null || !isBinary(program)) return null;
    return {
      version: versionOf(program, '--version', /\/(\d+\.\d+\.\d+[^/]*)\//),
      start: (setup) => {
        const template = setup.protocol === 'tcp' ? 'envoy-tcp.yaml' : 'envoy.yaml';
        const isTemplate = setup.policy === null;
        return envoyCommand(program, isTemplate ? writeSettings(template, setup) : writeTranslation(setup));
      },
      startOutbound: (setup) => envoyCommand(program, writeSettings('envoy-outbound.yaml', setup)),
    };
  },
};

function nginxCommand(program: string, setup: PeerSetup, template: string): Command {
  return {
    program,
    args: ['-e', 'stderr', '-p', setup.folder, '-c', writeSettings(template, setup)],
  };
}

const nginx: Peer = {
  name: 'nginx',
  // TCP would need its stream module, which is a package of its own.
  carries: ['http'],
  checks: 'chain only',
  pairChecks: 'DNS name',
  accessLog: false,
  ready: 'connect',
  find(): Installed | null {
    const program = findProgram('nginx');
    if (program === null) return null;
    return {
      version: versionOf(program, '-v', /nginx\/(\S+)/),
      start: (setup) => nginxCommand(program, setup, 'nginx.conf'),
      startOutbound: (setup) => nginxCommand(program, setup, 'nginx-outbound.conf'),
    };
  },
};

const haproxy: Peer = {
  name: 'haproxy',
  carries: ['http', 'tcp'],
  checks: 'chain only',
  pairChecks: null,
  accessLog: false,
  ready: 'connect',
  find(): Installed | null {
    const program = findProgram('haproxy');
    if (program === null) return null;
    return {
      version: versionOf(program, '-v', /version (\d+\.\d+\.\d+)/),
      start: (setup): Command => ({
        program,
        args: [
          '-db',
          '-f',
          writeSettings(setup.protocol === 'tcp' ? 'haproxy-tcp.cfg' : 'haproxy.cfg', setup),
        ],
      }),
    };
  },
};

/** All that the benchmark knows to start. */
export const PEERS: readonly Peer[] = [
  postern,
  envoy,
  nginx,
  haproxy,
  nodePeer('undici', 'http'),
  nodePeer('http-proxy', 'http'),
  nodePeer('http-proxy-agent', 'http', 'http-proxy'),
  nodePeer('node-pipe', 'tcp'),
];
