/**
 * The data path in travel order: one object that builds each room once and hands one's output to the next.
 *
 *   accept ─ direction ─ sniff ─ choose chain ─┬─ TLS handshake ─ peer ─┬─ HTTP ─ filters ─ pool ─ app
 *                                              └─ plaintext ────────────┴─ TCP ─ filters ─ tunnel ─ app
 *
 * It knows the control half only by messages (`messages.ts`): snapshots and secrets in, reports out.
 */
import type { TLSSocket } from 'node:tls';
import { chainText } from './chain-text.ts';
import { ConnectionLog } from './connection-log.ts';
import { detach } from './core/detach.ts';
import { makeReport } from './data-report.ts';
import { messageOf, whyOf } from './core/errors.ts';
import type { ErrorCodeName } from './core/errors.ts';
import type { SecretMaterial } from './core/secret.ts';
import type { FilterChain } from './http/filter-chain.ts';
import type { ConnectionFacts } from './http/filter.ts';
import type { AcceptedConnection } from './intercept/arrival.ts';
import { IdentityInForce } from './identity-in-force.ts';
import { createInboundFilters } from './inbound-filters.ts';
import { InboundRoutes } from './inbound-routes.ts';
import type { InboundDirection } from './intercept/direction.ts';
import { createHostAddresses } from './intercept/host-addresses.ts';
import { openListeners } from './intercept/listener.ts';
import type { InterceptListeners } from './intercept/listener.ts';
import { LiveConnections } from './intercept/live-connections.ts';
import { judgeAgain } from './judge-again.ts';
import type { LiveConnection } from './intercept/live-connections.ts';
import { createOriginalDestination } from './intercept/original-destination.ts';
import { chooseInboundChain, sniffNeeds } from './mesh/inbound-chains.ts';
import type { ChosenChain } from './mesh/inbound-chains.ts';
import { planOfPort } from './mesh/build-snapshot.ts';
import type { AccessLogPlan, PathNormalization, PortPlan, Snapshot } from './mesh/plan.ts';
import type { ToData } from './messages.ts';
import { createAccessLog } from './observe/access-log.ts';
import type { AccessLog } from './observe/access-log.ts';
import { Counters } from './observe/counters.ts';
import type { ListenerCounters } from './observe/counters.ts';
import { LOGGER_NAMES } from './observe/log.ts';
import { routeToApp } from './route-to-app.ts';
import { serveHttp, serveTcp } from './serve-chain.ts';
import type { ServingContext } from './serve-chain.ts';
import type { SidecarOptions } from './sidecar-options.ts';
import { createInboundTls } from './tls/inbound-tls.ts';
import type { InboundTls, SecureDownstream } from './tls/inbound-tls.ts';
import { TcpDialer } from './upstream/tcp-dialer.ts';

/** How long live connections are judged at a stretch after a change of policy or trust. */
const REJUDGE_SLICE_MS = 4;

export class Sidecar {
  readonly counters: Counters = new Counters();
  readonly #options: SidecarOptions;
  readonly #live = new LiveConnections();
  readonly #tls: InboundTls;
  readonly #identity: IdentityInForce;
  readonly #routes: InboundRoutes;
  readonly #serving: ServingContext;
  readonly #reserved = new Set<number>();
  /** The TLS socket of each terminated connection: its peer is judged again when trust changes. */
  readonly #secured = new WeakMap<LiveConnection, TLSSocket>();
  readonly #listenerCounters: ListenerCounters;
  readonly #log: ConnectionLog;
  #listeners: InterceptListeners | null = null;
  #snapshot: Snapshot | null = null;
  #filters: FilterChain;
  #accessLog: AccessLog | null = null;
  #draining = false;

  constructor(options: SidecarOptions) {
    this.#options = options;
    this.#listenerCounters = this.counters.listener(`${options.bind}_${options.port}`);
    this.#log = new ConnectionLog(options.loggers, this.#listenerCounters, () => this.#accessLog);
    this.#filters = this.#makeFilters('BASE');
    this.#tls = createInboundTls({ counters: this.#listenerCounters, nowMs: Date.now, onBug: this.#onBug });
    this.#identity = new IdentityInForce(this.#tls);
    const dialer = new TcpDialer(() => this.#snapshot!.limits.connectTimeoutMs);
    const shared = { dialer, counters: this.counters, onBug: this.#onBug };
    this.#routes = new InboundRoutes({ ...shared, log: options.loggers.get('upstream') });
    this.#serving = {
      ...shared,
      bind: options.bind,
      loggers: options.loggers,
      routes: this.#routes,
      snapshot: () => this.#snapshot!,
      filters: () => this.#filters,
      accessLog: () => this.#accessLog,
      ownSpiffeId: () => this.#identity.spiffeId,
    };
  }

  // --- messages from the control half

  receive(message: ToData): void {
    switch (message.kind) {
      case 'snapshot':
        this.#applySnapshot(message.snapshot, message.secret);
        return;
      case 'secret':
        this.#installSecret(message.secret);
        return;
      case 'listen':
        detach(this.#listen(message.reservedPorts), (thrown) => {
          this.#options.send({ kind: 'listen-failed', message: messageOf(thrown) });
        });
        return;
      case 'levels':
        for (const name of LOGGER_NAMES) this.#options.loggers.setLevel(name, message.levels[name]);
        return;
      case 'tls-files':
        return;
      case 'report':
        this.#report(message.id);
        return;
      case 'reopen-logs':
        this.#accessLog?.reopen();
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

  /** All of it or nothing: what can fail comes first. */
  #applySnapshot(snapshot: Snapshot, newSecret: SecretMaterial | null): void {
    const before = this.#snapshot;
    const secret = newSecret ?? this.#identity.secret;
    let accessLog = this.#accessLog;
    try {
      const logChanged = JSON.stringify(before?.accessLog ?? null) !== JSON.stringify(snapshot.accessLog);
      if (logChanged) accessLog = this.#openAccessLog(snapshot.accessLog);
      if (
        secret !== null &&
        (newSecret !== null || String(before?.trustDomains) !== String(snapshot.trustDomains))
      ) {
        this.#identity.put(secret, snapshot.trustDomains);
      }
    } catch (thrown) {
      if (accessLog !== this.#accessLog) detach(accessLog!.close(), this.#onBug);
      this.#options.send({
        kind: 'snapshot-refused',
        generation: snapshot.generation,
        message: whyOf(thrown),
      });
      return;
    }
    if (accessLog !== this.#accessLog && this.#accessLog !== null)
      detach(this.#accessLog.close(), this.#onBug);
    this.#accessLog = accessLog;
    this.#snapshot = snapshot;
    this.#filters = this.#makeFilters(snapshot.pathNormalization);
    this.#routes.apply(snapshot, this.#filters);
    this.#rejudge();
    this.#options.send({ kind: 'snapshot-applied', generation: snapshot.generation, ports: null });
  }

  #installSecret(secret: SecretMaterial): void {
    const trustChanged = this.#identity.trustDiffers(secret);
    try {
      this.#identity.put(secret, this.#snapshot?.trustDomains ?? []);
    } catch (thrown) {
      this.#options.send({ kind: 'secret-refused', version: secret.version, message: whyOf(thrown) });
      return;
    }
    if (trustChanged) this.#rejudge();
    this.#options.send({ kind: 'secret-installed', version: secret.version });
  }

  #openAccessLog(plan: AccessLogPlan | null): AccessLog | null {
    if (plan === null) return null;
    return createAccessLog(plan, this.counters.process, { log: this.#options.loggers.get('main') });
  }

  // --- accept, direction, sniff

  async #listen(reservedPorts: readonly number[]): Promise<void> {
    const { bind, port, inboundPort, direct, appHost, reusePort, send } = this.#options;
    for (const reserved of reservedPorts) this.#reserved.add(reserved);
    const originalDestination = createOriginalDestination();
    this.#listeners = await openListeners({
      bind,
      port,
      inboundPort,
      reusePort,
      direct,
      appHost,
      reservedPorts: this.#reserved,
      originalDestination,
      hostAddresses: createHostAddresses(),
      live: this.#live,
      settings: () => this.#snapshot!,
      handlers: {
        needsSniff: (route) => (route.kind === 'inbound' ? sniffNeeds(this.#planOf(route)) : 'none'),
        onAccepted: (accepted) => this.#chooseChain(accepted),
        onClosed: () => {
          this.#listenerCounters.cxActive--;
          this.#listenerCounters.cxDestroy++;
        },
        onRefused: (refused) => this.#log.refusedEarly(refused),
        onAcceptError: (error) => this.#log.acceptFailed(error),
      },
    });
    // Port 0 has become a number: the counters go by it.
    this.counters.renameListener(`${bind}_${port}`, `${bind}_${this.#listeners.ports.intercept}`);
    send({ kind: 'listening', ports: { ...this.#listeners.ports, ingress: {}, egress: {} } });
  }

  #planOf(direction: InboundDirection): PortPlan {
    return planOfPort(this.#snapshot!, direction.destination.port);
  }

  // --- choose chain

  #chooseChain(accepted: AcceptedConnection): void {
    this.#listenerCounters.cxTotal++;
    this.#listenerCounters.cxActive++;
    const { connection } = accepted;
    if (accepted.route.kind === 'outbound') {
      this.#log.refused(accepted, {
        code: 'unknown_destination',
        why: 'the connection was made on this host, and this version carries inbound connections only',
        hint: 'exclude outbound connections from the redirect rules',
      });
      return;
    }
    const plan = this.#planOf(accepted.route);
    const route = routeToApp(accepted.route, plan);
    const choice = chooseInboundChain(plan, accepted.sniffed);
    if (choice.kind === 'refused') {
      this.#log.refused(accepted, choice);
      return;
    }
    connection.policyGeneration = this.#snapshot!.generation;
    connection.chain = chainText(plan, choice);
    if (choice.kind === 'tcp' && plan.protocol === 'auto') this.#log.carriedAsTcp(accepted, connection.chain);
    if (choice.tls === 'terminate' && accepted.sniffed.kind === 'tls') {
      this.#handshake(accepted, route, plan, choice, accepted.sniffed);
      return;
    }
    this.#serve(accepted, route, plan, choice, null);
  }

  // --- TLS handshake, peer identity

  #handshake(
    accepted: AcceptedConnection,
    route: InboundDirection,
    plan: PortPlan,
    choice: ChosenChain,
    hello: { readonly sni: string; readonly alpn: readonly string[] },
  ): void {
    this.#live.setPhase(accepted.connection, 'handshaking');
    this.#tls.accept(accepted.socket, hello, choice.alpn, this.#snapshot!.limits, (result) => {
      if (!result.ok) {
        this.#log.handshakeFailed(accepted, result);
        return;
      }
      const { secure } = result;
      accepted.connection.peer = secure.peer;
      accepted.connection.peerSerials = secure.chainSerials;
      this.#secured.set(accepted.connection, secure.socket);
      this.#serve(accepted, route, plan, choice, secure);
    });
  }

  // --- HTTP or TCP

  #serve(
    accepted: AcceptedConnection,
    route: InboundDirection,
    plan: PortPlan,
    choice: ChosenChain,
    secure: SecureDownstream | null,
  ): void {
    const { connection, socket } = accepted;
    const sni = accepted.sniffed.kind === 'tls' ? accepted.sniffed.sni : '';
    const facts: ConnectionFacts = {
      id: connection.id,
      direction: 'inbound',
      protocol: choice.kind,
      destination: route.destination,
      remote: accepted.remote,
      sni,
      alpn: secure?.alpn ?? '',
      tls: secure !== null,
      tlsVersion: secure?.tlsVersion ?? '',
      peer: secure?.peer ?? null,
    };
    this.#live.setPhase(connection, choice.kind);
    const ageTimer = this.#limitAge(connection);
    if (ageTimer !== null) socket.once('close', () => clearTimeout(ageTimer));
    const served = {
      connection,
      facts,
      route,
      plan,
      secure,
      end: { socket: secure?.socket ?? socket, raw: socket },
    };
    if (choice.kind === 'http') serveHttp(this.#serving, served);
    else serveTcp(this.#serving, served);
    if (this.#draining) connection.owner.closeGracefully();
  }

  #makeFilters(pathNormalization: PathNormalization): FilterChain {
    const { filters, loggers } = this.#options;
    return createInboundFilters(
      pathNormalization,
      () => this.#identity.spiffeId,
      filters,
      loggers.get('http'),
    );
  }

  #limitAge(connection: LiveConnection): NodeJS.Timeout | null {
    const { maxConnectionAgeMs } = this.#snapshot!.limits;
    if (maxConnectionAgeMs === 0) return null;
    return setTimeout(() => {
      // A tunnel has no end of its own that could be waited for.
      if (connection.phase === 'tcp') connection.owner.close('connection_too_old');
      else connection.owner.closeGracefully();
    }, maxConnectionAgeMs);
  }

  // --- what is open meets a new policy or trust

  /** Closes what the snapshot or the bundle now in force would not have let in. */
  #rejudge(): void {
    const snapshot = this.#snapshot;
    if (snapshot === null) return;
    detach(
      this.#live.rejudge((connection) => this.#judge(connection, snapshot), REJUDGE_SLICE_MS),
      this.#onBug,
    );
  }

  #judge(connection: LiveConnection, snapshot: Snapshot): ErrorCodeName | null {
    const reason = judgeAgain(connection, snapshot, this.#tls, this.#secured.get(connection));
    if (reason === null) connection.policyGeneration = snapshot.generation;
    else this.#log.closedByChange(connection, reason);
    return reason;
  }

  // --- reports and the end

  #report(id: number): void {
    this.#options.send({ kind: 'report', id, report: makeReport(this.counters, this.#live) });
  }

  /** Accepts nothing more; HTTP ends with the answers under way, tunnels after a while of their own. */
  async #drain(tunnelMs: number, maxMs: number): Promise<void> {
    this.#draining = true;
    this.#listeners?.close();
    this.#live.closeAllGracefully();
    const timers = [
      setTimeout(() => this.#closeTunnels(), Math.min(tunnelMs, maxMs)),
      setTimeout(() => this.#live.closeAll('draining'), maxMs),
    ];
    await this.#live.whenEmpty();
    for (const timer of timers) clearTimeout(timer);
    // The last lines are written before anybody hears that all is over.
    const accessLog = this.#accessLog;
    this.#accessLog = null;
    await accessLog?.close();
    this.#stop();
    this.#options.send({ kind: 'drained' });
  }

  /** A tunnel has no end of its own that could be waited for. */
  #closeTunnels(): void {
    for (const connection of this.#live.values()) {
      if (connection.phase !== 'http') connection.owner.close('draining');
    }
  }

  #stop(): void {
    this.#listeners?.close();
    this.#live.closeAll('draining');
    this.#routes.close();
    if (this.#accessLog !== null) detach(this.#accessLog.close(), this.#onBug);
    this.#accessLog = null;
  }

  readonly #onBug = (thrown: unknown): void => {
    this.counters.process.bugs++;
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    this.#options.loggers
      .get('main')
      .error('bug', { error: messageOf(thrown), stack }, 'An unexpected exception destroyed a connection');
  };
}
