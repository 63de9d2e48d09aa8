/**
 * The data path in travel order: one object that builds each room once and hands one's output to the next.
 *
 *                                    ┌─ inbound ─┬─ TLS handshake ─ peer ─┬─ HTTP ─ filters ─ pool ─ app
 *   accept ─ direction ─ sniff ─ chain            └─ plaintext ────────────┴─ TCP ─ filters ─ tunnel ─ app
 *                                    └─ outbound ─┬─ HTTP ─ filters ─ service ─ endpoint ─┬─ plaintext
 *                                                 └─ TCP ─ tunnel ─ endpoint ─────────────┴─ mTLS ─ peer
 *
 * It knows the control half only by messages (`messages.ts`): snapshots and secrets in, reports out.
 */
import { chainText, outboundChainText } from './chain-text.ts';
import { chooseOutbound, outboundNeeds } from './choose-outbound.ts';
import { connectionFacts } from './connection-facts.ts';
import { ConnectionLog } from './connection-log.ts';
import { detach } from './core/detach.ts';
import { makeReport } from './data-report.ts';
import { messageOf, whyOf } from './core/errors.ts';
import type { ErrorCodeName } from './core/errors.ts';
import type { Limits } from './core/limits.ts';
import type { SecretMaterial } from './core/secret.ts';
import { Drain } from './drain-connections.ts';
import type { AcceptedConnection } from './intercept/arrival.ts';
import { IdentityInForce } from './identity-in-force.ts';
import { InForce } from './in-force.ts';
import { InboundRoutes } from './inbound-routes.ts';
import type { InboundDirection, OutboundDirection } from './intercept/direction.ts';
import type { PreparedListeners } from './intercept/fixed-listeners.ts';
import { limitAge } from './limit-age.ts';
import { LiveConnections } from './intercept/live-connections.ts';
import { judgeInboundAgain, type JudgedInbound } from './judge-again.ts';
import type { LiveConnection } from './intercept/live-connections.ts';
import { chooseInboundChain, sniffNeeds } from './mesh/inbound-chains.ts';
import type { ChosenChain } from './mesh/inbound-chains.ts';
import { planOfPort } from './mesh/build-snapshot.ts';
import type { OutboundChoice } from './mesh/outbound-chains.ts';
import type { PortPlan, Snapshot } from './mesh/plan.ts';
import type { BoundPorts, ToData } from './messages.ts';
import { Counters } from './observe/counters.ts';
import type { ListenerCounters } from './observe/counters.ts';
import { LOGGER_NAMES } from './observe/log.ts';
import { OutboundRoutes } from './outbound-routes.ts';
import { routeToApp } from './route-to-app.ts';
import { serveInboundHttp, serveInboundTcp } from './serve-inbound.ts';
import { serveOutboundHttp, serveOutboundTcp } from './serve-outbound.ts';
import type { ServingContext } from './serving-context.ts';
import { SidecarListeners } from './sidecar-listeners.ts';
import type { SidecarOptions } from './sidecar-options.ts';
import { createInboundTls } from './tls/inbound-tls.ts';
import { createOutboundTls } from './tls/outbound-tls.ts';
import { EndpointPools } from './upstream/endpoint-pools.ts';
import { UpstreamDialer } from './upstream/upstream-dialer.ts';
import type { InboundTls, SecureDownstream } from './tls/inbound-tls.ts';

type SnapshotMessage = Extract<ToData, { kind: 'snapshot' }>;
/** What changes what is in force. */
type ChangeMessage = Extract<ToData, { kind: 'snapshot' | 'secret' | 'tls-files' | 'listen' }>;

export class Sidecar {
  readonly counters: Counters = new Counters();
  readonly #options: SidecarOptions;
  readonly #live = new LiveConnections();
  readonly #tls: InboundTls;
  readonly #identity: IdentityInForce;
  readonly #inForce: InForce;
  readonly #inboundRoutes: InboundRoutes;
  readonly #outboundRoutes: OutboundRoutes;
  readonly #pools: EndpointPools;
  readonly #serving: ServingContext;
  /** Inbound connections in service: they are judged again when policy or trust changes. */
  readonly #served = new WeakMap<LiveConnection, JudgedInbound>();
  /** Whether an outbound connection would still be carried. */
  readonly #outboundJudges = new WeakMap<LiveConnection, () => ErrorCodeName | null>();
  readonly #listenerCounters: ListenerCounters;
  readonly #log: ConnectionLog;
  readonly #listeners: SidecarListeners;
  readonly #draining: Drain;
  /** What changes what is in force happens one after the other. */
  #turn: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SidecarOptions) {
    this.#options = options;
    const { counters } = this;
    const { bind, filters, loggers, port, reusePort } = options;
    const onBug = this.#onBug;
    this.#listenerCounters = counters.listener(`${bind}_${port}`);
    this.#log = new ConnectionLog(loggers, this.#listenerCounters, () => this.#inForce.accessLog);
    this.#tls = createInboundTls({ counters: this.#listenerCounters, nowMs: Date.now, onBug });
    const outboundTls = createOutboundTls({ nowMs: Date.now, onBug });
    this.#identity = new IdentityInForce(this.#tls, outboundTls);
    this.#inForce = new InForce({
      identity: this.#identity,
      counters,
      loggers,
      userFilters: filters,
      bind,
      providerUpstream: (cluster, protocol) => this.#outboundRoutes.providerUpstream(cluster, protocol),
      shared: reusePort,
      onBug,
    });
    const log = loggers.get('upstream');
    const limits = (): Limits => this.#inForce.snapshot!.limits;
    const dialer = new UpstreamDialer({ tls: outboundTls, limits, log: loggers.get('tls') });
    this.#pools = new EndpointPools({ dialer, tls: outboundTls, counters, log, onBug });
    const routing = { pools: this.#pools, counters, log };
    this.#inboundRoutes = new InboundRoutes(routing);
    const isEgress = (host: string, at: number): boolean => this.#listeners.isEgress(host, at);
    this.#outboundRoutes = new OutboundRoutes({ ...routing, identity: this.#identity, isEgress });
    this.#serving = {
      bind,
      counters,
      loggers,
      identity: this.#identity,
      inForce: this.#inForce,
      inboundRoutes: this.#inboundRoutes,
      outboundRoutes: this.#outboundRoutes,
      onBug,
    };
    this.#listeners = new SidecarListeners(options, {
      live: this.#live,
      settings: () => this.#inForce.snapshot!,
      handlers: {
        needsSniff: (route) =>
          route.kind === 'inbound'
            ? sniffNeeds(this.#portPlanOf(route))
            : outboundNeeds(this.#inForce.snapshot!.outbound, route),
        onAccepted: (accepted) => this.#onAccepted(accepted),
        onClosed: () => {
          this.#listenerCounters.cxActive--;
          this.#listenerCounters.cxDestroy++;
        },
        onRefused: (refused) => this.#log.refusedEarly(refused),
        onAcceptError: (error) => this.#log.acceptFailed(error),
      },
    });
    this.#draining = new Drain(this.#live, this.#listeners);
  }

  // --- messages from the control half

  receive(message: ToData): void {
    switch (message.kind) {
      case 'snapshot':
      case 'secret':
      case 'tls-files':
      case 'listen':
        this.#turn = this.#turn.then(() => this.#change(message)).catch(this.#onBug);
        return;
      case 'levels':
        for (const name of LOGGER_NAMES) this.#options.loggers.setLevel(name, message.levels[name]);
        return;
      case 'report':
        this.#options.send(makeReport(message.id, this.counters, this.#live));
        return;
      case 'key-sets':
        this.#inForce.policy.putKeySets(message.keySets);
        return;
      case 'reopen-logs':
        this.#inForce.accessLog?.reopen();
        return;
      case 'drain':
        detach(this.#drain(message.tunnelMs, message.maxMs), this.#onBug);
        return;
      case 'stop':
        this.#stop();
        return;
      default:
        message satisfies never;
    }
  }

  async #change(message: ChangeMessage): Promise<void> {
    const { send } = this.#options;
    if (this.#stopped) return;
    switch (message.kind) {
      case 'snapshot':
        await this.#applySnapshot(message);
        return;
      case 'secret':
        this.#installSecret(message.secret);
        return;
      case 'tls-files':
        this.#outboundRoutes.setFiles(message.files);
        return;
      case 'listen':
        try {
          await this.#listen(message.reservedPorts, message.bound);
        } catch (thrown) {
          send({ kind: 'listen-failed', message: messageOf(thrown) });
        }
        return;
      default:
        message satisfies never;
    }
  }

  /** All of it or nothing: what can fail comes first. */
  async #applySnapshot({ bound, secret, snapshot }: SnapshotMessage): Promise<void> {
    const { generation } = snapshot;
    let prepared: PreparedListeners | null = null;
    try {
      const policies = await this.#inForce.policy.load(snapshot);
      prepared = await this.#listeners.prepare(snapshot, bound);
      this.#inForce.replace(snapshot, policies, secret);
    } catch (thrown) {
      prepared?.rollback();
      this.#options.send({ kind: 'snapshot-refused', generation, message: whyOf(thrown) });
      return;
    }
    prepared?.commit();
    this.#pools.setLimits(snapshot.limits);
    this.#inboundRoutes.apply(snapshot, (scope) => this.#inForce.makeInboundFilters(scope));
    this.#outboundRoutes.apply(snapshot, this.#inForce.outboundFilters);
    this.#inForce.policy.retireConnections();
    this.#rejudge();
    this.#options.send({ kind: 'snapshot-applied', generation, ports: this.#listeners.ports });
  }

  #installSecret(secret: SecretMaterial): void {
    const trustChanged = this.#identity.trustDiffers(secret);
    try {
      this.#identity.put(secret, this.#inForce.snapshot?.trustDomains ?? []);
    } catch (thrown) {
      this.#options.send({ kind: 'secret-refused', version: secret.version, message: whyOf(thrown) });
      return;
    }
    this.#inForce.policy.retireConnections();
    if (trustChanged) this.#rejudge();
    this.#options.send({ kind: 'secret-installed', version: secret.version });
  }

  // --- accept, direction, sniff

  async #listen(reservedPorts: readonly number[], bound: BoundPorts | null): Promise<void> {
    const ports = await this.#listeners.open(this.#inForce.snapshot!, reservedPorts, bound);
    if (this.#stopped) {
      this.#listeners.close();
      return;
    }
    // Port 0 has become a number: the counters go by it.
    const { bind, port, send } = this.#options;
    this.counters.renameListener(`${bind}_${port}`, `${bind}_${ports.intercept}`);
    send({ kind: 'listening', ports });
  }

  // --- choose chain

  #onAccepted(accepted: AcceptedConnection): void {
    this.#listenerCounters.cxTotal++;
    this.#listenerCounters.cxActive++;
    accepted.connection.policyGeneration = this.#inForce.snapshot!.generation;
    const { route } = accepted;
    if (route.kind === 'inbound') this.#chooseInbound(accepted, route);
    else this.#chooseOutbound(accepted, route);
  }

  #chooseInbound(accepted: AcceptedConnection, direction: InboundDirection): void {
    const { connection } = accepted;
    const plan = this.#portPlanOf(direction);
    const route = routeToApp(direction, plan);
    const choice = chooseInboundChain(plan, accepted.sniffed);
    if (choice.kind === 'refused') {
      this.#log.refused(accepted, choice);
      return;
    }
    connection.chain = chainText(plan, choice);
    if (choice.kind === 'tcp' && plan.protocol === 'auto') this.#log.carriedAsTcp(accepted, connection.chain);
    if (choice.tls === 'terminate' && accepted.sniffed.kind === 'tls') {
      this.#handshake(accepted, route, plan, choice, accepted.sniffed);
      return;
    }
    this.#serveInbound(accepted, route, plan, choice, null);
  }

  #portPlanOf(direction: InboundDirection): PortPlan {
    return planOfPort(this.#inForce.snapshot!, direction.destination.port);
  }

  /** TLS of the app's own is never opened: it goes by address or SNI. */
  #chooseOutbound(accepted: AcceptedConnection, route: OutboundDirection): void {
    const { connection, socket, sniffed } = accepted;
    const choose = (): OutboundChoice => chooseOutbound(this.#inForce.snapshot!.outbound, route, sniffed);
    const choice = choose();
    if (choice.kind === 'refused') {
      this.#log.refused(accepted, choice);
      return;
    }
    connection.chain = outboundChainText(choice);
    this.#outboundJudges.set(connection, () => {
      const again = choose();
      if (again.kind === 'refused') return again.code;
      return again.kind === choice.kind ? null : 'no_filter_chain_match';
    });
    const facts = connectionFacts(accepted, choice.kind, route.destination, null);
    const end = { socket, raw: socket };
    this.#enter(accepted, choice.kind);
    if (choice.kind === 'http') serveOutboundHttp(this.#serving, { connection, end, facts, route, choose });
    else serveOutboundTcp(this.#serving, { connection, end, facts, route, choose }, choice.cluster);
    if (this.#draining.ends('outbound')) connection.owner.closeGracefully();
  }

  // --- TLS handshake, peer identity

  #handshake(
    accepted: AcceptedConnection,
    route: InboundDirection,
    plan: PortPlan,
    choice: ChosenChain,
    hello: { readonly sni: string; readonly alpn: readonly string[] },
  ): void {
    const { connection, socket } = accepted;
    const begun = this.#inForce.snapshot!;
    this.#live.setPhase(connection, 'handshaking');
    this.#tls.accept(socket, hello, choice.alpn, begun.limits, (result) => {
      if (!result.ok) return this.#log.handshakeFailed(accepted, result);
      connection.peer = result.secure.peer;
      connection.peerSerials = result.secure.chainSerials;
      this.#serveInbound(accepted, route, plan, choice, result.secure);
      // The chain was chosen before the handshake: when open connections were judged, this was none of them.
      const refused =
        this.#inForce.snapshot === begun ? null : this.#judge(connection, this.#inForce.snapshot!);
      if (refused !== null) connection.owner.close(refused);
    });
  }

  // --- HTTP or TCP

  #serveInbound(
    accepted: AcceptedConnection,
    route: InboundDirection,
    plan: PortPlan,
    choice: ChosenChain,
    secure: SecureDownstream | null,
  ): void {
    const { connection, socket } = accepted;
    const facts = connectionFacts(accepted, choice.kind, route.destination, secure);
    this.#enter(accepted, choice.kind);
    this.#served.set(connection, { facts, secured: secure?.socket ?? null });
    const end = { socket: secure?.socket ?? socket, raw: socket };
    const served = { connection, facts, route, plan, secure, end };
    if (choice.kind === 'http') serveInboundHttp(this.#serving, served);
    else serveInboundTcp(this.#serving, served);
    if (this.#draining.ends('inbound')) connection.owner.closeGracefully();
  }

  #enter({ connection, socket }: AcceptedConnection, phase: 'http' | 'tcp'): void {
    this.#live.setPhase(connection, phase);
    limitAge(connection, socket, this.#inForce.snapshot!.limits.maxConnectionAgeMs);
  }

  // --- what is open meets a new policy or trust

  /** Closes what the snapshot or the bundle now in force would not have let in. */
  #rejudge(): void {
    const { snapshot } = this.#inForce;
    if (snapshot === null) return;
    this.#pools.rejudge();
    const done = this.#live.rejudge((connection) => this.#judge(connection, snapshot));
    detach(done, this.#onBug);
  }

  #judge(connection: LiveConnection, snapshot: Snapshot): ErrorCodeName | null {
    const refused =
      connection.direction === 'outbound'
        ? (this.#outboundJudges.get(connection)?.() ?? null)
        : judgeInboundAgain(connection, this.#served.get(connection), this.#inForce, this.#tls);
    if (refused !== null) return this.#log.closedByChange(connection, refused);
    connection.policyGeneration = snapshot.generation;
    return null;
  }

  // --- the end

  /** The last lines are written before anybody hears that all is over. */
  async #drain(tunnelMs: number, maxMs: number): Promise<void> {
    await this.#draining.run(tunnelMs, maxMs);
    await this.#inForce.closeAccessLog();
    this.#stop();
    this.#options.send({ kind: 'drained' });
  }

  #stop(): void {
    this.#stopped = true;
    this.#listeners.close();
    this.#live.closeAll('draining');
    this.#inboundRoutes.close();
    this.#outboundRoutes.close();
    this.#inForce.policy.close();
    this.#pools.close();
    detach(this.#inForce.closeAccessLog(), this.#onBug);
  }

  readonly #onBug = (thrown: unknown): void => {
    this.counters.process.bugs++;
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    this.#options.loggers
      .get('main')
      .error('bug', { error: messageOf(thrown), stack }, 'An unexpected exception destroyed a connection');
  };
}
