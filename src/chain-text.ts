/** The chain of a connection in words, for people: made once a port and choice, for each live connection keeps it. */
import type { ChosenChain } from './mesh/inbound-chains.ts';
import type { OutboundHttp, OutboundTcp } from './mesh/outbound-chains.ts';
import type { PortPlan } from './mesh/plan.ts';

const texts = new WeakMap<PortPlan, Map<string, string>>();

/** `http mTLS under STRICT (PeerAuthentication foo/default)`. */
export function chainText(plan: PortPlan, choice: ChosenChain): string {
  const key = `${choice.kind} ${choice.tls}`;
  let ofPlan = texts.get(plan);
  if (ofPlan === undefined) {
    ofPlan = new Map();
    texts.set(plan, ofPlan);
  }
  let text = ofPlan.get(key);
  if (text === undefined) {
    const tls =
      choice.tls === 'terminate' ? 'mTLS' : choice.tls === 'passthrough' ? 'TLS untouched' : 'plaintext';
    text = `${choice.kind} ${tls} under ${plan.mode} (${plan.modeFrom})`;
    ofPlan.set(key, text);
  }
  return text;
}

/** `http by Host`, or `tcp to outbound|5432||db.foo.svc.cluster.local`. */
export function outboundChainText(choice: OutboundHttp | OutboundTcp): string {
  if (choice.kind === 'http') return 'http by Host';
  return `tcp to ${choice.cluster === '' ? 'where the app meant to go' : choice.cluster}`;
}
