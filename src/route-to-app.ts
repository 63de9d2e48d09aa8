/**
 * Where an inbound connection is carried to. A port that a Service names is the app's, and is dialled where
 * the app listens. A port that nothing names goes where its client addressed it, as Istio's passthrough
 * cluster does: dialled on loopback, it would open to strangers what listens there for this host alone.
 */
import { isLoopback } from './core/address.ts';
import type { InboundDirection } from './intercept/direction.ts';
import type { PortPlan } from './mesh/plan.ts';

export function routeToApp(route: InboundDirection, plan: PortPlan): InboundDirection {
  const { appTarget, destination, direct } = route;
  const onLoopback = appTarget.host === 'localhost' || isLoopback(appTarget.host);
  if (direct || plan.service !== null || !onLoopback) return route;
  return { ...route, appTarget: { host: destination.ip, port: destination.port } };
}
