/**
 * How a stated connection arrives: which chain of its port takes it (Istio's table of inbound chains), and whom the
 * handshake proves, or why it goes no further. Nothing here has an HTTP status but what an HTTP chain answers.
 */
import type { PeerIdentity } from '../core/peer-identity.ts';
import type { ConnectionFacts } from '../http/filter.ts';
import { sniff } from '../intercept/sniff.ts';
import { planOfPort } from '../mesh/build-snapshot.ts';
import { chooseInboundChain, sniffNeeds } from '../mesh/inbound-chains.ts';
import type { ChosenChain, SniffedKind } from '../mesh/inbound-chains.ts';
import type { PortPlan, Snapshot } from '../mesh/plan.ts';
import { serviceAccountOf, SpiffeId } from '../svid/spiffe-id.ts';
import type { ExplainRequest } from './explain-request.ts';
import { headBytes } from './read-head.ts';

/** A connection that meets the filters of its chain. */
export interface Arrived {
  readonly kind: 'arrived';
  readonly plan: PortPlan;
  readonly chain: ChosenChain;
  readonly facts: ConnectionFacts;
}

/** One that is closed before that. */
export interface TurnedAway {
  readonly kind: 'turned-away';
  readonly plan: PortPlan;
  /** null: none takes it. */
  readonly chain: ChosenChain | null;
  /** null: closed without one. */
  readonly status: number | null;
  readonly details: string;
  readonly reason: string;
}

/** What a mesh client offers for HTTP/1.1, and for TCP. */
const MESH_HTTP_ALPN = ['istio-http/1.1', 'istio', 'http/1.1'];
const MESH_TCP_ALPN = ['istio-peer-exchange', 'istio'];
const OPAQUE: SniffedKind = { kind: 'opaque' };
/** The certificate is stated and has no bytes to hash. */
const NO_HASH = '0'.repeat(64);

/** `sniOf`: what a mesh client says for a port. */
export function arrive(
  snapshot: Snapshot,
  sniOf: (plan: PortPlan) => string,
  request: ExplainRequest,
): Arrived | TurnedAway {
  const port = request.to.port ?? defaultPort(snapshot);
  const plan = portPlan(snapshot, port, request);
  const sniffed = firstBytes(plan, sniOf, request);
  const choice = chooseInboundChain(plan, sniffed);
  if (choice.kind === 'refused') {
    const details = choice.code === 'no_filter_chain_match' ? 'filter_chain_not_found' : choice.code;
    const reason = `${choice.why}; ${choice.hint}`;
    return { kind: 'turned-away', plan, chain: null, status: null, details, reason };
  }
  const away = (status: number | null, details: string, reason: string): TurnedAway => ({
    kind: 'turned-away',
    plan,
    chain: choice,
    status,
    details,
    reason,
  });
  if (choice.kind === 'http' && sniffed.kind === 'tls' && choice.tls === 'none') {
    const reason = `TLS came to HTTP port ${port}, which takes plaintext only: ${plan.modeFrom} sets DISABLE`;
    return away(null, 'bad_request_line', `${reason}; the client has to send plaintext`);
  }
  const peer = choice.tls === 'terminate' ? provenPeer(request, snapshot.trustDomains) : null;
  if (peer !== null && 'refusal' in peer) return away(null, peer.refusal, peer.reason);
  if (choice.kind === 'http' && request.http === null) {
    const why = plan.protocolFrom === '' ? 'its bytes look like HTTP' : plan.protocolFrom;
    return away(
      400,
      'bad_request_line',
      `port ${port} is an HTTP port (${why}), and TCP that is not HTTP is 400`,
    );
  }
  return {
    kind: 'arrived',
    plan,
    chain: choice,
    facts: connectionFacts(choice, sniffed, peer, request, port),
  };
}

/** The workload's only HTTP port, else 80. */
function defaultPort(snapshot: Snapshot): number {
  const http = Object.values(snapshot.inbound.ports).filter(({ protocol }) => protocol.startsWith('http'));
  return http.length === 1 ? http[0]!.port : 80;
}

/** A request to a port that no Service names is taken for HTTP; a TCP connection there is sniffed, as live. */
function portPlan(snapshot: Snapshot, port: number, request: ExplainRequest): PortPlan {
  const plan = planOfPort(snapshot, port);
  const unnamed = plan.protocol === 'auto' && plan.protocolFrom === '' && request.http !== null;
  return { ...plan, port, protocol: unnamed ? 'http' : plan.protocol };
}

/** What the listener would know of the first bytes: it looks no further than the port needs. */
function firstBytes(plan: PortPlan, sniOf: (plan: PortPlan) => string, request: ExplainRequest): SniffedKind {
  const needs = sniffNeeds(plan);
  const { tls, from, http } = request;
  if (needs === 'none') return OPAQUE;
  if (tls !== null || from.sans !== null) {
    const isMesh = from.sans !== null;
    const offered = !isMesh ? [] : http === null ? MESH_TCP_ALPN : MESH_HTTP_ALPN;
    return { kind: 'tls', sni: tls?.sni ?? (isMesh ? sniOf(plan) : ''), alpn: tls?.alpn ?? offered };
  }
  if (http === null) return OPAQUE;
  // What does not look like HTTP is not HTTP on a port that is sniffed for it.
  const { kind } = sniff(headBytes(http), needs);
  return kind === 'http1' || kind === 'http2' ? { kind } : OPAQUE;
}

interface RefusedPeer {
  readonly refusal: string;
  readonly reason: string;
}

/** As `checkSvid` and the trust bundles judge a certificate that says this and is otherwise in order. */
function provenPeer({ from }: ExplainRequest, trustDomains: readonly string[]): PeerIdentity | RefusedPeer {
  if (from.sans === null) {
    const reason = 'the TLS client presents no certificate, and mTLS needs one';
    return { refusal: 'tls_no_certificate', reason: `${reason}; state from.principal, or send plaintext` };
  }
  const uris = from.sans.filter((san) => san.includes('://'));
  const dnsNames = from.sans.filter((san) => !san.includes('://'));
  if (uris.length !== 1) return notAnSvid(uris.length === 0 ? 'none' : uris.map(quoted).join(' '));
  const id = SpiffeId.tryParse(uris[0]!);
  if (!(id instanceof SpiffeId)) return notAnSvid(`${quoted(uris[0]!)}: ${id.problem}`);
  if (id.path === '') return notAnSvid(`${quoted(id.text)}, which has no path`);
  if (!trustDomains.includes(id.trustDomain)) {
    const ours = trustDomains.join(', ');
    const reason = `the client is ${quoted(id.text)}, and identities of ${ours} are taken`;
    const hint = 'add its trust domain to meshConfig.trustDomainAliases, or connect within one mesh';
    return { refusal: 'tls_foreign_trust_domain', reason: `${reason}; ${hint}` };
  }
  const account = serviceAccountOf(id.path);
  return {
    spiffeId: id.text,
    trustDomain: id.trustDomain,
    namespace: account?.namespace ?? '',
    serviceAccount: account?.serviceAccount ?? '',
    dnsNames,
    subject: '',
    hash: NO_HASH,
    serial: '',
    notAfterMs: Number.MAX_SAFE_INTEGER,
  };
}

function notAnSvid(why: string): RefusedPeer {
  return {
    refusal: 'tls_not_an_svid',
    reason: `the client certificate is not an X.509-SVID: wanted exactly one URI SAN with a SPIFFE ID, got ${why}`,
  };
}

function connectionFacts(
  chain: ChosenChain,
  sniffed: SniffedKind,
  peer: PeerIdentity | null,
  request: ExplainRequest,
  port: number,
): ConnectionFacts {
  return {
    id: 0,
    direction: 'inbound',
    protocol: chain.kind,
    destination: { ip: request.to.ip, port },
    remote: { ip: request.from.ip, port: 0 },
    sni: sniffed.kind === 'tls' ? sniffed.sni : '',
    alpn: chain.alpn[0] ?? '',
    tls: chain.tls === 'terminate',
    tlsVersion: chain.tls === 'terminate' ? 'TLSv1.3' : '',
    peer,
  };
}

/** `http mTLS`, `tcp TLS untouched`. */
export function chainName({ kind, tls }: ChosenChain): string {
  return `${kind} ${tls === 'terminate' ? 'mTLS' : tls === 'passthrough' ? 'TLS untouched' : 'plaintext'}`;
}

function quoted(text: string): string {
  return JSON.stringify(text.length > 120 ? `${text.slice(0, 117)}...` : text);
}
