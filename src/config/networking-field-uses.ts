/**
 * What this version does with the fields of networking.istio.io that it does not act on; readers apply these tables.
 */
import type { FieldUses } from './field-use.ts';
import { ignored, refused } from './field-use.ts';

const NO_POOL_SETTINGS = 'limits of postern.yaml bound connections and their timeouts';
const ONE_MAY_PASS_BY = 'the traffic would not go through it';

export const DESTINATION_RULE_USES: FieldUses = {
  // Only a VirtualService sends traffic to a subset.
  subsets: ignored('no VirtualService is routed, so that nothing goes to a subset'),
};

const PORT_TRAFFIC_POLICY = {
  loadBalancer: ignored('of two endpoints picked at random, the one with fewer requests under way is taken'),
  connectionPool: ignored(NO_POOL_SETTINGS),
  outlierDetection: ignored('only an endpoint that cannot be connected to is left out for a while'),
};

/** Of a whole policy and of an entry of portLevelSettings. */
export const TRAFFIC_POLICY_USES: FieldUses = {
  ...PORT_TRAFFIC_POLICY,
  tunnel: refused(ONE_MAY_PASS_BY, 'remove it'),
  // A server that waits for the header would take the client's first bytes for it.
  proxyProtocol: refused(
    'the server would read the address of the client from bytes that the client writes',
    'remove it',
  ),
  retryBudget: ignored('a request is tried again as Istio does by default, at most twice'),
};

export const WORKLOAD_USES: FieldUses = {
  network: ignored('every endpoint is connected to directly'),
  locality: ignored('endpoints are chosen whatever their locality'),
};

export const SIDECAR_USES: FieldUses = {
  inboundConnectionPool: ignored(NO_POOL_SETTINGS),
};

export const SIDECAR_INGRESS_USES: FieldUses = {
  tls: refused(
    'the listener would take mesh mTLS or plaintext, as PeerAuthentication says',
    'remove it, and write a PeerAuthentication',
  ),
  connectionPool: ignored(NO_POOL_SETTINGS),
};

export const OUTBOUND_TRAFFIC_POLICY_USES: FieldUses = {
  egressProxy: refused(ONE_MAY_PASS_BY, 'remove it, or write mode: REGISTRY_ONLY'),
};
