/** What becomes of a connection of the app, by the listener that took it or the address that it was made to. */
import type { OutboundDirection } from './intercept/direction.ts';
import type { SniffedKind, SniffNeeds } from './mesh/inbound-chains.ts';
import { chooseOutboundChain, outboundRoutesFor, outboundSniffNeeds } from './mesh/outbound-chains.ts';
import type { OutboundChoice } from './mesh/outbound-chains.ts';
import type { OutboundPlan, OutboundPortPlan } from './mesh/plan.ts';

/** An egress listener has routes of its own; a redirected connection has those of its port. */
export function outboundPlanOf(plan: OutboundPlan, route: OutboundDirection): OutboundPortPlan | null {
  if (route.listener === '') return outboundRoutesFor(plan, route.destination.port);
  return plan.listeners.find(({ key }) => key === route.listener)?.routes ?? null;
}

/** '' on an egress listener: its own address says nothing of where the app meant to go. */
function meantIp(route: OutboundDirection): string {
  return route.listener === '' ? route.destination.ip : '';
}

export function outboundNeeds(plan: OutboundPlan, route: OutboundDirection): SniffNeeds {
  return outboundSniffNeeds(outboundPlanOf(plan, route), meantIp(route));
}

export function chooseOutbound(
  plan: OutboundPlan,
  route: OutboundDirection,
  sniffed: SniffedKind,
): OutboundChoice {
  return chooseOutboundChain(plan, outboundPlanOf(plan, route), meantIp(route), sniffed);
}
