/**
 * A started peer: its process on the proxy's CPU, its port, and the time that it took to get ready.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Certificates } from '../certificates.ts';
import { Child, PROXY_CPU } from '../measure/child.ts';
import { processTree } from '../measure/proc.ts';
import type { AppProtocol, Installed, Peer } from './peer.ts';

const READY_MS = 20_000;
const LOOK_AGAIN_MS = 2;

export interface RunningPeer {
  readonly peer: Peer;
  readonly version: string;
  readonly port: number;
  /** From the start of its process until its ready line, or until its port took a connection. */
  readonly readyMs: number;
  /** It and its children, as they are now. */
  pids(): number[];
  /** Ends it and removes its folder. */
  end(): Promise<void>;
}

/** A port that nobody listens on now. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
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

/** Postern's ready line names its ports, the small programs have one. */
function portOf(line: string): number {
  const ready = JSON.parse(line) as { port?: number; ports?: { intercept?: number } };
  const port = ready.port ?? ready.ports?.intercept;
  if (port === undefined) throw new Error(`Ready line names no port: ${line}`);
  return port;
}

async function waitUntilReady(child: Child, peer: Peer, givenPort: number): Promise<number> {
  if (peer.ready === 'line') return portOf(await child.line(READY_MS));
  const until = performance.now() + READY_MS;
  while (!(await takesConnection(givenPort))) {
    if (child.ended !== null) throw new Error(`ended at start: ${child.ended}`);
    if (performance.now() > until) throw new Error(`took no connection for ${READY_MS} ms`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
  }
  return givenPort;
}

/** Starts a peer with a folder of its own inside `folder`. */
export async function startPeer(
  peer: Peer,
  installed: Installed,
  where: {
    readonly folder: string;
    readonly certificates: Certificates;
    readonly protocol: AppProtocol;
    readonly appPort: number;
  },
): Promise<RunningPeer> {
  mkdirSync(where.folder, { recursive: true });
  const folder = mkdtempSync(join(where.folder, `${peer.name}-`));
  const [port, adminPort] = [await freePort(), await freePort()];
  const command = installed.start({ ...where, folder, port, adminPort });
  const errorFile = join(folder, 'stderr.log');
  const startedAtMs = performance.now();
  const child = new Child(peer.name, command, PROXY_CPU, errorFile);
  try {
    const readyPort = await waitUntilReady(child, peer, port);
    return {
      peer,
      version: installed.version,
      port: readyPort,
      readyMs: performance.now() - startedAtMs,
      pids: () => processTree(child.pid),
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
