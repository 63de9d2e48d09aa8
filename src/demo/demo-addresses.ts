/**
 * Where the demo listens: 127.0.0.11–14 with Istio's ports, or free ports on 127.0.0.1 if one of them is taken, all
 * or none.
 *
 * Only Linux answers on all of 127.0.0.0/8 without setting anything up.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import { type DemoApp, startDemoApp } from './demo-app.ts';
import { isServer, SERVER_NAMES, type ServerName, WORKLOAD_NAMES, type WorkloadName } from './demo-names.ts';

/** Of every sidecar; 0: a free port. */
export interface SidecarPorts {
  readonly intercept: number;
  readonly admin: number;
  readonly readiness: number;
  readonly metrics: number;
  /** In front of the app of a server. */
  readonly ingress: number;
  /** For the calls of a client's app. */
  readonly egress: number;
}

export interface ClaimedAddresses {
  readonly hosts: Readonly<Record<WorkloadName, string>>;
  readonly ports: SidecarPorts;
  /** Running. */
  readonly apps: Readonly<Record<ServerName, DemoApp>>;
}

const ISTIO_HOSTS: ClaimedAddresses['hosts'] = {
  'foo/sleep': '127.0.0.11',
  'foo/httpbin': '127.0.0.12',
  'bar/sleep': '127.0.0.13',
  'bar/httpbin': '127.0.0.14',
};
const ISTIO_PORTS: SidecarPorts = {
  intercept: 15_001,
  admin: 15_000,
  readiness: 15_021,
  metrics: 15_090,
  ingress: 8_080,
  egress: 8_000,
};
/** The sidecar has 8080. */
const APP_PORT = 8_081;
export const FREE_HOST = '127.0.0.1';
const FREE_HOSTS: ClaimedAddresses['hosts'] = {
  'foo/sleep': FREE_HOST,
  'foo/httpbin': FREE_HOST,
  'bar/sleep': FREE_HOST,
  'bar/httpbin': FREE_HOST,
};
const FREE_PORTS: SidecarPorts = {
  intercept: 0,
  admin: 0,
  readiness: 0,
  metrics: 0,
  ingress: 0,
  egress: 0,
};

/** Opens the apps and says where the sidecars may listen. Nothing is open if it rejects. */
export async function claimAddresses(): Promise<ClaimedAddresses> {
  if (process.platform === 'linux') {
    const claimed = await claimIstioAddresses();
    if (claimed !== null) return claimed;
  }
  return { hosts: FREE_HOSTS, ports: FREE_PORTS, apps: await startApps(FREE_HOSTS, 0) };
}

/** The apps' ports are held from here on: two demos that start together do not both take the addresses. */
async function claimIstioAddresses(): Promise<ClaimedAddresses | null> {
  let apps: ClaimedAddresses['apps'];
  try {
    apps = await startApps(ISTIO_HOSTS, APP_PORT);
  } catch {
    return null;
  }
  const wanted = WORKLOAD_NAMES.flatMap((name) => {
    const { egress, ingress, ...others } = ISTIO_PORTS;
    const ports = [...Object.values(others), isServer(name) ? ingress : egress];
    return ports.map((port) => canListen(ISTIO_HOSTS[name], port));
  });
  if ((await Promise.all(wanted)).every(Boolean)) return { hosts: ISTIO_HOSTS, ports: ISTIO_PORTS, apps };
  await Promise.all(Object.values(apps).map((app) => app.close()));
  return null;
}

async function startApps(hosts: ClaimedAddresses['hosts'], port: number): Promise<ClaimedAddresses['apps']> {
  const starting = SERVER_NAMES.map((name) => startDemoApp(name, hosts[name], port));
  const settled = await Promise.allSettled(starting);
  const [foo, bar] = settled;
  if (foo?.status === 'fulfilled' && bar?.status === 'fulfilled')
    return { 'foo/httpbin': foo.value, 'bar/httpbin': bar.value };
  for (const one of settled) if (one.status === 'fulfilled') await one.value.close();
  throw new Error(
    `Cannot listen for the apps: ${settled
      .map((one) => (one.status === 'rejected' ? String(one.reason) : ''))
      .join(' ')
      .trim()}`,
  );
}

async function canListen(host: string, port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ host, port });
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
