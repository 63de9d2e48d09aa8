/**
 * Sidecar.egress: what redirected connections may reach, and listeners of their own for apps whose connections
 * nobody redirects. (API: networking.istio.io Sidecar, IstioEgressListener)
 */
import type { Sidecar, SidecarEgress } from '../config/resources.ts';
import type { ListenerPlaces } from './listener-place.ts';
import type { ListedPort } from './outbound-clusters.ts';
import { capturedPort, listenerRoutes } from './outbound-ports.ts';
import type { EgressListenerPlan, OutboundPortPlan } from './plan.ts';
import { type ImportTest, importTest } from './sidecar-scope.ts';
import type { WarningList } from './warning-list.ts';

interface EgressEntry {
  readonly egress: SidecarEgress;
  readonly path: string;
  readonly imports: ImportTest;
}

/** What the Sidecar's egress says, taken apart; without egress everything may be reached. */
export interface EgressScope {
  /** Opens listeners of their own. */
  readonly listeners: readonly EgressEntry[];
  /** Redirected connections to one port each. */
  readonly byPort: ReadonlyMap<number, readonly EgressEntry[]>;
  /** Redirected connections to all other ports. */
  readonly rest: readonly EgressEntry[];
  /** Whether any of them lets the service through. */
  readonly imports: ImportTest;
}

export function egressScope(sidecar: Sidecar | null, clientNamespace: string): EgressScope {
  const given = sidecar?.egress ?? [];
  const all: SidecarEgress['hosts'] = [{ namespace: '*', host: '*' }];
  if (sidecar === null || given.length === 0) {
    const imports = importTest(all, clientNamespace);
    const everything = { imports, path: '' };
    return {
      listeners: [],
      byPort: new Map(),
      rest: [
        {
          ...everything,
          egress: { port: null, bind: '', captureMode: 'DEFAULT', hosts: all, position: NOWHERE },
        },
      ],
      imports,
    };
  }
  const listeners: EgressEntry[] = [];
  const byPort = new Map<number, EgressEntry[]>();
  const rest: EgressEntry[] = [];
  for (const [index, egress] of given.entries()) {
    const entry = {
      egress,
      path: `spec.egress[${index}]`,
      imports: importTest(egress.hosts, clientNamespace),
    };
    if (egress.captureMode === 'NONE' || egress.bind !== '') listeners.push(entry);
    else if (egress.port === null) rest.push(entry);
    else {
      const { number } = egress.port;
      byPort.set(number, [...(byPort.get(number) ?? []), entry]);
    }
  }
  const entries = [...listeners, ...[...byPort.values()].flat(), ...rest];
  return { listeners, byPort, rest, imports: (service) => entries.some(({ imports }) => imports(service)) };
}

const NOWHERE: SidecarEgress['position'] = { file: '', line: 1, column: 1 };

/** Plans for redirected connections, by destination port. */
export function capturedPorts(
  scope: EgressScope,
  ports: readonly ListedPort[],
  clientNamespace: string,
  warnings: WarningList,
): Record<string, OutboundPortPlan> {
  const byNumber = new Map<number, ListedPort[]>();
  for (const listed of ports) {
    const { number } = listed.port;
    const entries = scope.byPort.get(number) ?? scope.rest;
    if (!entries.some(({ imports }) => imports(listed.service))) continue;
    const others = byNumber.get(number);
    if (others === undefined) byNumber.set(number, [listed]);
    else others.push(listed);
  }
  const plans: Record<string, OutboundPortPlan> = {};
  for (const [number, listed] of [...byNumber].toSorted(([a], [b]) => a - b)) {
    plans[number] = capturedPort(number, listed, clientNamespace, warnings);
  }
  return plans;
}

export function egressListeners(
  scope: EgressScope,
  ports: readonly ListedPort[],
  clientNamespace: string,
  places: ListenerPlaces,
  warnings: WarningList,
): EgressListenerPlan[] {
  const listeners: EgressListenerPlan[] = [];
  for (const { egress, path, imports } of scope.listeners) {
    if (egress.port === null) {
      places.refuse(path, path, 'has no port', 'add port: {number, name, protocol}');
      continue;
    }
    const bind = egress.bind === '' ? '127.0.0.1' : egress.bind;
    const place = places.take(bind, egress.port.number, path);
    if (place === null) continue;
    const listed = ports.filter(({ service }) => imports(service));
    const routes = listenerRoutes(egress, listed, clientNamespace, warnings);
    if (leadsNowhere(routes)) places.warnOfNothing(path, egress.port.number);
    listeners.push({ ...place, routes });
  }
  return listeners;
}

function leadsNowhere({ http, bySni, any }: OutboundPortPlan): boolean {
  return (
    any === '' &&
    (http === null || (Object.keys(http.hosts).length === 0 && http.wildcards.length === 0)) &&
    (bySni === null || Object.keys(bySni).length === 0)
  );
}
