/**
 * Chooses what becomes of an inbound connection from its port's plan and its first bytes: Istio's table of
 * inbound filter chains as one pure function, run once a connection.
 *
 * |            | http                 | auto                                              | tcp                              |
 * | STRICT     | tls → HTTP           | tls & Istio's HTTP → HTTP; tls → TCP              | tls → TCP                        |
 * | PERMISSIVE | tls & Istio's → HTTP | tls & Istio's HTTP → HTTP; tls & Istio's TCP → TCP | tls & Istio's → TCP              |
 * |            | raw → HTTP           | raw HTTP → HTTP; raw → TCP; tls → TCP, untouched  | raw → TCP; tls → TCP, untouched  |
 * | DISABLE    | all → HTTP           | raw HTTP → HTTP; all else → TCP                   | all → TCP                        |
 */
import type { ErrorCodeName } from '../core/errors.ts';
import type { PortPlan } from './plan.ts';

/** What a connection's first bytes say. `opaque`: neither TLS nor HTTP, silence past its time, or not looked at. */
export type SniffedKind =
  | { readonly kind: 'tls'; readonly sni: string; readonly alpn: readonly string[] }
  | { readonly kind: 'http1' | 'http2' | 'opaque' };

/** What must be known of the first bytes before a chain can be chosen; `none`: choose at once, as `opaque`. */
export type SniffNeeds = 'none' | 'tls' | 'tls+http';

export interface ChosenChain {
  readonly kind: 'http' | 'tcp';
  /** `passthrough`: TLS that goes to the app as it is, its identity unknown. */
  readonly tls: 'terminate' | 'none' | 'passthrough';
  /** What the TLS server may answer, in its own order, all of it offered; empty: it must answer no ALPN. */
  readonly alpn: readonly string[];
}

export interface RefusedConnection {
  readonly kind: 'refused';
  readonly code: ErrorCodeName;
  /** What came and why it cannot be taken. */
  readonly why: string;
  /** What to change. */
  readonly hint: string;
}

export type ChainChoice = ChosenChain | RefusedConnection;

/** Istio's client-side ALPN for HTTP inside mTLS. */
const MESH_HTTP: ReadonlySet<string> = new Set(['istio-http/1.0', 'istio-http/1.1', 'istio-h2']);
/** And for anything else. */
const MESH_TCP: ReadonlySet<string> = new Set(['istio-peer-exchange', 'istio']);
const HTTP2: ReadonlySet<string> = new Set(['istio-h2', 'h2']);
const HTTP1: ReadonlySet<string> = new Set(['istio-http/1.1', 'istio-http/1.0', 'http/1.1', 'http/1.0']);

/** Our side of ALPN on HTTP chains until HTTP/2 is built. */
const HTTP_ANSWERS: readonly string[] = ['http/1.1'];
/** On TCP chains. Istio also answers `istio-peer-exchange`, which obliges to send metadata first: we do not. */
const TCP_ANSWERS: readonly string[] = ['h2', 'http/1.1'];

const NO_ALPN: readonly string[] = [];
const HTTP_RAW: ChosenChain = { kind: 'http', tls: 'none', alpn: NO_ALPN };
const TCP_RAW: ChosenChain = { kind: 'tcp', tls: 'none', alpn: NO_ALPN };
const TCP_PASSTHROUGH: ChosenChain = { kind: 'tcp', tls: 'passthrough', alpn: NO_ALPN };

/** How much of a ClientHello's ALPN list is repeated in a log line. */
const SHOWN_PROTOCOLS = 8;
const SHOWN_CHARACTERS = 32;

/** Says what to look for in the first bytes of a connection to this port. */
export function sniffNeeds(plan: PortPlan): SniffNeeds {
  // Refused whatever it is.
  if (plan.protocol === 'http2') return 'none';
  if (plan.protocol === 'tcp') return plan.mode === 'DISABLE' ? 'none' : 'tls';
  // Where plaintext is taken, HTTP/2 must be told from HTTP/1, and on auto ports both from the rest.
  return plan.mode === 'STRICT' ? 'tls' : 'tls+http';
}

/** Chooses the chain, or says why there is none. */
export function chooseInboundChain(plan: PortPlan, sniffed: SniffedKind): ChainChoice {
  if (plan.protocol === 'http2') return refuseHttp2Port(plan);
  return sniffed.kind === 'tls' ? chooseForTls(plan, sniffed.alpn) : chooseForPlaintext(plan, sniffed.kind);
}

function chooseForPlaintext(plan: PortPlan, kind: 'http1' | 'http2' | 'opaque'): ChainChoice {
  if (plan.mode === 'STRICT') return refusePlaintext(plan);
  if (plan.protocol === 'tcp') return TCP_RAW;
  if (kind === 'http2') return refuseHttp2(plan, 'the cleartext HTTP/2 preface came');
  return plan.protocol === 'http' || kind === 'http1' ? HTTP_RAW : TCP_RAW;
}

function chooseForTls(plan: PortPlan, offered: readonly string[]): ChainChoice {
  // Nobody looks for TLS on such a port: the ClientHello meets the HTTP codec, which refuses it, or the app.
  if (plan.mode === 'DISABLE') return plan.protocol === 'http' ? HTTP_RAW : TCP_PASSTHROUGH;
  if (plan.protocol === 'auto') return chooseForTlsOnAuto(plan, offered);
  const ours = plan.mode === 'STRICT' || offered.some(isMesh);
  if (plan.protocol === 'tcp') return ours ? terminateTcp(offered) : TCP_PASSTHROUGH;
  return ours ? terminateHttp(plan, offered) : refuseForeignTls(plan, offered);
}

/** The client's order decides: the first protocol that any chain names. */
function chooseForTlsOnAuto(plan: PortPlan, offered: readonly string[]): ChainChoice {
  if (plan.mode === 'STRICT') {
    return offered.some((name) => MESH_HTTP.has(name)) ? terminateHttp(plan, offered) : terminateTcp(offered);
  }
  const decisive = offered.find(isMesh);
  if (decisive === undefined) return TCP_PASSTHROUGH;
  return MESH_HTTP.has(decisive) ? terminateHttp(plan, offered) : terminateTcp(offered);
}

function isMesh(name: string): boolean {
  return MESH_HTTP.has(name) || MESH_TCP.has(name);
}

function terminateHttp(plan: PortPlan, offered: readonly string[]): ChainChoice {
  if (offered.some((name) => HTTP2.has(name)) && !offered.some((name) => HTTP1.has(name))) {
    return refuseHttp2(plan, `the client offers ${shownProtocols(offered)} and no HTTP/1.1`);
  }
  return { kind: 'http', tls: 'terminate', alpn: HTTP_ANSWERS.filter((name) => offered.includes(name)) };
}

function terminateTcp(offered: readonly string[]): ChainChoice {
  return { kind: 'tcp', tls: 'terminate', alpn: TCP_ANSWERS.filter((name) => offered.includes(name)) };
}

function refusePlaintext(plan: PortPlan): RefusedConnection {
  return {
    kind: 'refused',
    code: 'no_filter_chain_match',
    why: `plaintext came to ${portOf(plan)}, which takes mTLS only`,
    hint: `${plan.modeFrom} sets STRICT: send mTLS, or set PERMISSIVE for ${portOf(plan)}`,
  };
}

function refuseForeignTls(plan: PortPlan, offered: readonly string[]): RefusedConnection {
  const offer = offered.length === 0 ? 'no ALPN' : `ALPN ${shownProtocols(offered)}`;
  return {
    kind: 'refused',
    code: 'no_filter_chain_match',
    why: `TLS with ${offer} came to HTTP ${portOf(plan)}, which terminates only Istio's mTLS`,
    hint:
      `under PERMISSIVE (${plan.modeFrom}) an HTTP port terminates TLS that offers istio-http/1.1 ` +
      `(istio-http/1.0, istio, istio-peer-exchange): offer it, send plaintext, or set STRICT for ${portOf(plan)}`,
  };
}

function refuseHttp2(plan: PortPlan, what: string): RefusedConnection {
  return {
    kind: 'refused',
    code: 'http2_not_supported',
    why: `${what} on HTTP ${portOf(plan)}, and this version speaks HTTP/1.1 only`,
    hint: `use HTTP/1.1, or declare ${portOf(plan)} tcp in its Service to carry HTTP/2 without HTTP rules`,
  };
}

function refuseHttp2Port(plan: PortPlan): RefusedConnection {
  return {
    kind: 'refused',
    code: 'http2_not_supported',
    why: `${plan.protocolFrom} declares ${portOf(plan)} as HTTP/2, and this version speaks HTTP/1.1 only`,
    hint: 'declare the port http if its clients speak HTTP/1.1, or tcp to carry HTTP/2 without HTTP rules',
  };
}

/** The plan for ports that nothing names stands for many. */
function portOf(plan: PortPlan): string {
  return plan.port === 0 ? 'this port' : `port ${plan.port}`;
}

/** The peer's text, quoted, printable and bounded. */
function shownProtocols(offered: readonly string[]): string {
  const names = offered.slice(0, SHOWN_PROTOCOLS).map((name) => name.slice(0, SHOWN_CHARACTERS));
  const more = offered.length > SHOWN_PROTOCOLS ? ` and ${offered.length - SHOWN_PROTOCOLS} more` : '';
  return `"${names.join(', ').replaceAll(/[^\x20-\x7e]|["\\]/g, '?')}"${more}`;
}
