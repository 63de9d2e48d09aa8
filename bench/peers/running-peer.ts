/**
 * A started peer: its process on the proxy's CPU, its port, and the time that it took to get ready.
 */
import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { Child, PROXY_CPU } from '../measure/child.ts';
import type { Command } from '../measure/child.ts';
import { processTree } from '../measure/proc.ts';
import type { Installed, Peer, PeerSetup } from './peer.ts';

const READY_MS = 20_000;
const LOOK_AGAIN_MS = 2;
/** The sidecar's own default. */
const USUAL_IDLE_MS = 3_600_000;

/** What a load is sent to. */
export interface LoadTarget {
  readonly name: string;
  readonly port: number;
  /** What requests name as their Host. */
  readonly host: string;
  /** Whether it speaks mTLS; else the load is the app beside it. */
  readonly isMtls: boolean;
  /** The processes of each of its proxies, as they are now. */
  proxies(): number[][];
}

export interface RunningPeer extends LoadTarget {
  readonly peer: Peer;
  readonly version: string;
  /** From the start of its process until its ready line, or until its port took a connection. */
  readonly readyMs: number;
  /** Of Postern: where it tells about itself; 0 for others. */
  readonly adminPort: number;
  /** It and its children, as they are now. */
  pids(): number[];
  /** Ends it and removes its folder. */
  end(): Promise<void>;
}

/** Where and with what a peer is started; what is left out is as usual. */
export type PeerPlace = Pick<PeerSetup, 'folder' | 'certificates' | 'protocol' | 'appPort'> &
  Partial<Pick<PeerSetup, 'servers' | 'upstreamPort' | 'workers' | 'idleMs' | 'policy'>>;

/** Below those that the kernel gives to whoever asks for any: they are taken again at every moment. */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;

function isFree(port: number): Promise<boolean> {
  const server = createServer();
  return new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    if (await isFree(port)) return port;
  }
  throw new Error(`Cannot find a free port between ${FIRST_PORT} and ${LAST_PORT}`);
}

function takesConnection(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

interface ReadyLine {
  readonly port?: number;
  readonly ports?: {
    readonly intercept?: number;
    readonly admin?: number;
    readonly egress?: Readonly<Record<string, number>>;
  };
}

interface ReadyPorts {
  readonly port: number;
  readonly adminPort: number;
}

/** Postern's ready line names its ports, the small programs have one. */
function portsOf(line: string, givenPort: number): ReadyPorts {
  const { port, ports } = JSON.parse(line) as ReadyLine;
  const found = port ?? ports?.egress?.[String(givenPort)] ?? ports?.intercept;
  if (found === undefined) throw new Error(`Ready line names no port: ${line}`);
  return { port: found, adminPort: ports?.admin ?? 0 };
}

async function waitUntilReady(child: Child, peer: Peer, givenPort: number): Promise<ReadyPorts> {
  if (peer.ready === 'line') return portsOf(await child.line(READY_MS), givenPort);
  const until = performance.now() + READY_MS;
  while (!(await takesConnection(givenPort))) {
    if (child.ended !== null) throw new Error(`ended at start: ${child.ended}`);
    if (performance.now() > until) throw new Error(`took no connection for ${READY_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
  return { port: givenPort, adminPort: 0 };
}

/** Starts a peer, as the server's sidecar or, with `start`, as what that says, with a folder of its own. */
export async function startPeer(
  peer: Peer,
  installed: Installed,
  place: PeerPlace,
  start: (setup: PeerSetup) => Command = (setup) => installed.start(setup),
): Promise<RunningPeer> {
  mkdirSync(place.folder, { recursive: true });
  const folder = mkdtempSync(join(place.folder, `${peer.name}-`));
  const [port, adminPort] = [await freePort(), await freePort()];
  const usual = {
    servers: place.certificates.mesh,
    upstreamPort: 0,
    workers: 1,
    idleMs: USUAL_IDLE_MS,
    policy: null,
  };
  const command = start({ ...usual, ...place, folder, port, adminPort });
  const errorFile = join(folder, 'stderr.log');
  const startedAtMs = performance.now();
  const child = new Child(peer.name, command, PROXY_CPU, errorFile);
  try {
    const ready = await waitUntilReady(child, peer, port);
    const pids = (): number[] => processTree(child.pid);
    return {
      peer,
      name: peer.name,
      version: installed.version,
      ...ready,
      host: 'httpbin.foo:8000',
      isMtls: true,
      readyMs: performance.now() - startedAtMs,
      proxies: () => [pids()],
      pids,
      end: async () => {
        await child.end();
        rmSync(folder, { recursive: true, force: true });
      },
    };
  } catch (thrown) {
    await child.end();
    const said = readFileSync(errorFile, 'utf8').trim().split('\n').slice(-5).join('\n  ');
    throw new Error(`Cannot start ${peer.name}: ${(thrown as Error).message}\n  ${said}`, { cause: thrown });
  }
}
