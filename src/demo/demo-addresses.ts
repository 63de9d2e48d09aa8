/**
 * Where the demo listens: 127.0.0.11 with Istio's ports, or free ports if one of them is taken, all or none.
 *
 * Only Linux answers on all of 127.0.0.0/8 without setting anything up.
 */
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { DemoApp } from './demo-app.ts';
import { startDemoApp } from './demo-app.ts';

/** 0: a free port. */
export interface SidecarPorts {
  readonly intercept: number;
  readonly admin: number;
  readonly readiness: number;
  readonly metrics: number;
}

const ISTIO_HOST = '127.0.0.11';
const ISTIO_APP_PORT = 8080;
const ISTIO_PORTS: SidecarPorts = { intercept: 15_001, admin: 15_000, readiness: 15_021, metrics: 15_090 };
const FREE_HOST = '127.0.0.1';
const FREE_PORTS: SidecarPorts = { intercept: 0, admin: 0, readiness: 0, metrics: 0 };

/** Opens the app and says where the sidecar may listen, on the same address. */
export async function claimAddresses(): Promise<{ readonly app: DemoApp; readonly ports: SidecarPorts }> {
  const app = process.platform === 'linux' ? await claimIstioAddress() : null;
  if (app !== null) return { app, ports: ISTIO_PORTS };
  return { app: await startDemoApp(FREE_HOST, 0), ports: FREE_PORTS };
}

/** The app's port is held from here on: two demos that start together do not both take the address. */
async function claimIstioAddress(): Promise<DemoApp | null> {
  let app: DemoApp;
  try {
    app = await startDemoApp(ISTIO_HOST, ISTIO_APP_PORT);
  } catch {
    return null;
  }
  for (const port of Object.values(ISTIO_PORTS)) {
    if (await canListen(ISTIO_HOST, port)) continue;
    await app.close();
    return null;
  }
  return app;
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
