/**
 * Sidecar.ingress: listeners for connections that nobody redirects to us, and what the document says of the
 * workload ports. Ports that only Services name keep their plans. (API: networking.istio.io IstioIngressListener)
 */
import type { IstioProtocol, Sidecar, SidecarIngress } from '../config/resources.ts';
import type { ListenerPlaces } from './listener-place.ts';
import type { IngressListenerPlan, PortProtocol } from './plan.ts';
import { nameOf } from './plan-warning.ts';
import type { WarningList } from './warning-list.ts';

export interface IngressPort {
  /** null: the document leaves it to be detected. */
  readonly protocol: PortProtocol | null;
  /** `Sidecar foo/httpbin port http`. */
  readonly protocolFrom: string;
}

export interface Ingress {
  readonly listeners: readonly IngressListenerPlan[];
  /** By workload port; of two entries for one port the first counts. */
  readonly ports: ReadonlyMap<number, IngressPort>;
}

export const NO_INGRESS: Ingress = { listeners: [], ports: new Map() };

const PROTOCOLS: Readonly<Record<IstioProtocol, PortProtocol>> = {
  HTTP: 'http',
  HTTP_PROXY: 'http',
  HTTP2: 'http2',
  GRPC: 'http2',
  'GRPC-WEB': 'http2',
  HTTPS: 'tcp',
  TLS: 'tcp',
  TCP: 'tcp',
  MONGO: 'tcp',
  MYSQL: 'tcp',
  REDIS: 'tcp',
};

/** Istio's way to say "the instance's own address"; here that is where the app listens. */
const ANY_HOST: ReadonlySet<string> = new Set(['0.0.0.0', '::', '[::]']);

export function readIngress(
  sidecar: Sidecar,
  appHost: string,
  places: ListenerPlaces,
  warnings: WarningList,
): Ingress {
  const listeners: IngressListenerPlan[] = [];
  const ports = new Map<number, IngressPort>();
  for (const [index, ingress] of sidecar.ingress.entries()) {
    const path = `spec.ingress[${index}]`;
    const { port, defaultEndpoint } = ingress;
    const target = targetOf(ingress, appHost);
    if (target === null) {
      places.refuse(
        path,
        path,
        'has port 0 and no defaultEndpoint, so that nobody knows which port of the app it is for',
        'add defaultEndpoint: 127.0.0.1:PORT',
      );
      continue;
    }
    const workloadPort = port.number === 0 ? target.port : port.number;
    if (ingress.captureMode === 'NONE' || ingress.bind !== '') {
      const bind = ingress.bind === '' ? '0.0.0.0' : ingress.bind;
      if (port.number === target.port && covers(bind, target.host)) {
        places.refuse(
          path,
          path,
          `would take the app's own place ${target.host}:${target.port}, and pass connections on to itself`,
          'let the app listen on another port and name it as defaultEndpoint, or bind another address',
        );
        continue;
      }
      const place = places.take(bind, port.number, path);
      if (place === null) continue;
      listeners.push({ ...place, workloadPort, appTarget: target });
    } else if (defaultEndpoint !== null && (target.host !== appHost || target.port !== port.number)) {
      warnings.add(
        'unusable_listener',
        sidecar,
        `${path}.defaultEndpoint`,
        `${nameOf(sidecar)} names ${target.host}:${target.port} for redirected connections to port ` +
          `${port.number}, and this version carries those to ${appHost}:${port.number}`,
        'add captureMode: NONE to open a listener of its own',
      );
    }
    if (!ports.has(workloadPort)) {
      ports.set(workloadPort, {
        protocol: port.protocol === null ? null : PROTOCOLS[port.protocol],
        protocolFrom: `${nameOf(sidecar)} port ${port.name === '' ? port.number : port.name}`,
      });
    }
    if (port.protocol !== null && PROTOCOLS[port.protocol] === 'http2') {
      warnings.add(
        'http2_not_supported',
        sidecar,
        `${path}.port.protocol`,
        `${nameOf(sidecar)} declares port ${workloadPort} "${port.protocol}" and this version speaks HTTP/1.1 ` +
          'only: connections to it are refused',
        'declare it HTTP if clients speak HTTP/1.1, or TCP to carry it without HTTP rules',
      );
    }
  }
  return { listeners, ports };
}

/** null: neither the port nor the endpoint says which port of the app is meant. */
function targetOf(
  { port, defaultEndpoint }: SidecarIngress,
  appHost: string,
): IngressListenerPlan['appTarget'] | null {
  if (defaultEndpoint === null) return port.number === 0 ? null : { host: appHost, port: port.number };
  const { host } = defaultEndpoint;
  return { host: ANY_HOST.has(host) ? appHost : host, port: defaultEndpoint.port };
}

/** Whether a listener bound there gets what is sent to `host`. */
function covers(bind: string, host: string): boolean {
  return bind === host || bind === '0.0.0.0' || bind === '::';
}
