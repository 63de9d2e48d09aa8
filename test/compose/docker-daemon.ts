/**
 * A Docker daemon to test with: the one that is there, else one of our own.
 *
 * Ours has its own network, mount and process namespaces: bridges, iptables rules, mounts and every container are gone
 * with its first process, which ends when this process does, however that happens.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { globSync, mkdtempSync, rmSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runCommand } from './run-command.ts';

const ASK_TIMEOUT_MS = 10_000;
const START_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 30_000;

/** The first process of the namespaces: ends with dockerd, and ends it when nobody holds the standard input open. */
const FIRST_PROCESS = `
ip link set lo up || exit 1
exec 3<&0
dockerd "$@" 3<&- &
daemon=$!
(read -r line <&3; kill "$daemon") &
wait "$daemon"`;

export interface Daemon {
  /** What DOCKER_HOST has to be; nothing for the one that is there. */
  readonly environment: Readonly<Record<string, string>>;
  readonly isOwn: boolean;
  /** `20.10.24+dfsg1`. */
  readonly version: string;
  stop(): Promise<void>;
}

/** Throws when there is none and none can be started. */
export async function findDaemon(signal: AbortSignal): Promise<Daemon> {
  const there = await askVersion({}, signal).catch(() => null);
  if (there === null) return startDaemon(signal);
  return { environment: {}, isOwn: false, version: there, stop: () => Promise.resolve() };
}

function askVersion(environment: Readonly<Record<string, string>>, signal: AbortSignal): Promise<string> {
  const words = ['docker', 'version', '--format', '{{.Server.Version}}'];
  return runCommand(words, { timeoutMs: ASK_TIMEOUT_MS, signal, environment }).then((text) => text.trim());
}

async function startDaemon(signal: AbortSignal): Promise<Daemon> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0)
    throw new Error('no Docker daemon answers, and to start one this must be root on Linux');
  const folder = mkdtempSync(path.join(tmpdir(), 'postern-compose-'));
  const cgroup = path.basename(folder);
  const host = `unix://${path.join(folder, 'docker.sock')}`;
  const flags = [
    `--data-root=${path.join(folder, 'data')}`,
    `--exec-root=${path.join(folder, 'exec')}`,
    `--pidfile=${path.join(folder, 'docker.pid')}`,
    `--host=${host}`,
    `--exec-opt=native.cgroupdriver=cgroupfs`,
    `--cgroup-parent=/${cgroup}`,
  ];
  const namespaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...namespaces, 'sh', '-c', FIRST_PROCESS, 'dockerd', ...flags], {
    stdio: ['pipe', 'ignore', 'pipe'],
    // Out of reach of Ctrl-C: containers are to be ended in order first.
    detached: true,
  });
  const ended = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  const stop = async (): Promise<void> => {
    await endProcess(child, ended);
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
    removeCgroups(cgroup);
  };
  try {
    await listening(child, signal);
    const version = await askVersion({ DOCKER_HOST: host }, signal);
    const environment = { DOCKER_HOST: host, ...(await buildKit(host, version, signal)) };
    return { environment, isOwn: true, version, stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/**
 * Builds take a third of the time with BuildKit. A client of 20.10 speaks it by itself, later ones by a plugin that may
 * be missing: so the client that came with the daemon is used, where that is one of 20.10 and another comes first.
 */
async function buildKit(
  host: string,
  version: string,
  signal: AbortSignal,
): Promise<Readonly<Record<string, string>>> {
  if (!version.startsWith('20.10.')) return {};
  const search = process.env['PATH'] ?? '';
  for (const folder of search.split(path.delimiter)) {
    const words = [path.join(folder, 'docker'), 'version', '--format', '{{.Client.Version}}'];
    const environment = { DOCKER_HOST: host };
    const told = await runCommand(words, { timeoutMs: ASK_TIMEOUT_MS, signal, environment }).catch(() => '');
    if (told.trim() !== version) continue;
    return {
      PATH: `${folder}${path.delimiter}${search}`,
      DOCKER_BUILDKIT: '1',
      COMPOSE_DOCKER_CLI_BUILD: '1',
    };
  }
  return {};
}

/** Resolves when the daemon says that it takes calls. */
function listening(child: ChildProcess, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    const fail = (why: string): void => {
      const lines = log.split('\n').filter((line) => line !== '' && !/level=(?:info|warning)/.test(line));
      reject(new Error(`Cannot start dockerd: ${why}\n${lines.slice(-5).join('\n')}`.trimEnd()));
    };
    const deadline = setTimeout(
      () => fail(`not there after ${START_TIMEOUT_MS / 1_000} s`),
      START_TIMEOUT_MS,
    );
    signal.addEventListener('abort', () => fail('stopped'), { once: true });
    child.once('error', ({ message }) => fail(message));
    child.once('exit', (code) => {
      clearTimeout(deadline);
      fail(`it ended with ${code}`);
    });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
      // Read to the end, or a full pipe would hold the daemon up; kept as far as it can matter.
      log = (log + chunk).slice(-100_000);
      if (!log.includes('API listen on')) return;
      clearTimeout(deadline);
      resolve();
    });
  });
}

async function endProcess(child: ChildProcess, ended: Promise<void>): Promise<void> {
  child.stdin?.on('error', () => {});
  child.stdin?.end();
  const deadline = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(deadline);
}

/** Empty folders that the kernel keeps for containers gone; version 1 has one tree a controller. */
function removeCgroups(name: string): void {
  const roots = globSync([`/sys/fs/cgroup/${name}`, `/sys/fs/cgroup/*/${name}`]);
  for (const root of roots) {
    // Deepest first: rmdir takes only leaves.
    const folders = [...globSync(`${root}/**/*/`), root].toSorted((a, b) => b.length - a.length);
    for (const folder of folders) {
      try {
        rmdirSync(folder);
      } catch {
        // Still in use, or no cgroup at all: told by the search for what was left behind.
      }
    }
  }
}
