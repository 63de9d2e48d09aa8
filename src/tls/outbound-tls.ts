/**
 * Outbound TLS: an endpoint goes in, a connection to a server that proved who it is, or a reason, comes out.
 *
 * A new secret is in force for every handshake that begins after it; servers of handshakes in flight are judged by
 * the trust that is in force when they finish. Live connections are remembered, to be judged again when trust changes.
 */
import type { X509Certificate } from 'node:crypto';
import type tls from 'node:tls';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { formatAddress } from '../core/address.ts';
import { monotonicMs } from '../core/clock.ts';
import type { DialAttempt, DialTarget, DialTls } from '../core/dialer.ts';
import { MeshError, messageOf } from '../core/errors.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import type { PeerIdentity } from '../core/peer-identity.ts';
import type { SecretMaterial } from '../core/secret.ts';
import { refuseExternal } from './accept-external.ts';
import { describeCertificate } from './accept-peer.ts';
import { acceptServer, refuseUnverified } from './accept-server.ts';
import { badFiles, connectOptions, sessionKey } from './connect-options.ts';
import { dropAlpnCopy } from './handshake-attempt.ts';
import type { Refusal, ServerFailure } from './handshake-failure.ts';
import { errorCodeOf } from './library-error.ts';
import { OutboundHandshake } from './outbound-handshake.ts';
import type { OutboundEnd, OutboundTimeouts } from './outbound-handshake.ts';
import { ServerCertificateCache } from './server-certificates.ts';
import type { ServerCertificates } from './server-certificates.ts';
import { ExternalContexts, meshContext } from './server-contexts.ts';
import { explainServerError, SERVER_TIMEOUT } from './server-library-error.ts';
import { SessionCache } from './session-cache.ts';
import type { RememberedSession } from './session-cache.ts';
import { transportReason } from './transport-reason.ts';
import { createTrustView } from './trust-view.ts';
import type { TrustView } from './trust-view.ts';

/** A connection whose server is who it should be; from here on it belongs to whoever gets it. */
export interface SecureUpstream {
  /** Holds its TCP handle itself: there is no socket below. */
  readonly socket: tls.TLSSocket;
  /** null: a server outside of the mesh. */
  readonly peer: PeerIdentity | null;
  readonly resumed: boolean;
}

/** Not reached at all, or refused in the handshake. */
export type ConnectFailure =
  | { readonly kind: 'connect'; readonly code: ErrorCodeName; readonly error: unknown }
  | { readonly kind: 'handshake'; readonly failure: ServerFailure };

export interface OutboundTlsDeps {
  /** Wall clock, milliseconds since the epoch. */
  readonly nowMs: () => number;
  readonly onBug: (thrown: unknown) => void;
}

export interface OutboundTls {
  /** Grows with every secret: connections made before it show an old certificate, or were judged by old trust. */
  readonly epoch: number;
  /** As `InboundTls.setSecret`: throws `identity_invalid` and keeps the old one if the new one cannot be used. */
  setSecret(secret: SecretMaterial, trustDomains: readonly string[]): void;
  /** Exactly one of the two is called, once, never in the caller's turn. `onBytes` as in `Dialer`. */
  connect(
    target: DialTarget & { readonly tls: DialTls },
    timeouts: OutboundTimeouts,
    onSecured: (secure: SecureUpstream) => void,
    onFailed: (failure: ConnectFailure) => void,
    onBytes?: (view: Buffer) => void,
  ): DialAttempt;
  /** Judges a server that was accepted before by the trust in force now. null: it would be accepted again. */
  judgeAgain(socket: tls.TLSSocket): Refusal | null;
  /** Destroys every live connection, of pools and of tunnels, whose server would be refused now. In slices. */
  rejudge(onClosed: (target: DialTarget, refusal: Refusal) => void): Promise<void>;
}

export function createOutboundTls(deps: OutboundTlsDeps): OutboundTls {
  return new OutboundTlsRoom(deps);
}

/** One secret in force. */
interface Installed {
  readonly context: tls.SecureContext;
  readonly trust: TrustView;
  readonly sessions: SessionCache;
  readonly certificates: ServerCertificateCache;
}

/** A live connection to a server of the mesh. */
interface LiveServer {
  readonly target: DialTarget & { readonly tls: DialTls };
  readonly server: ServerCertificates;
  /** The trust that it was last found good under. */
  trust: TrustView;
}

/** One connect on its way. */
interface Asked {
  readonly target: DialTarget & { readonly tls: DialTls };
  readonly installed: Installed | null;
  readonly remembered: RememberedSession | undefined;
  readonly onSecured: (secure: SecureUpstream) => void;
  readonly onFailed: (failure: ConnectFailure) => void;
  /** Once it is accepted: a session is worth as much as what its server proved. */
  server: ServerCertificates | null;
}

/** How long live connections are judged at a stretch. */
const REJUDGE_SLICE_MS = 4;
const MAX_SUBJECTS = 8;

const NO_SECRET: Refusal = {
  code: 'upstream_tls_failed',
  reason: 'no_secret',
  hint: 'no certificate or trust bundle has been loaded yet: look at /ready for what is missing',
};
const BUG: Refusal = {
  code: 'upstream_tls_failed',
  reason: 'bug',
  hint: 'an unexpected exception in this proxy: report it with the stack from the log',
};
const UNKNOWN_SESSION: Refusal = {
  code: 'upstream_untrusted',
  reason: 'unknown_session',
  hint: 'the server resumed a session that this proxy knows nothing of: report it',
};

class OutboundTlsRoom implements OutboundTls {
  epoch = 0;
  readonly #deps: OutboundTlsDeps;
  readonly #external = new ExternalContexts();
  readonly #live = new Map<tls.TLSSocket, LiveServer>();
  #current: Installed | null = null;
  #round = 0;

  constructor(deps: OutboundTlsDeps) {
    this.#deps = deps;
  }

  setSecret(secret: SecretMaterial, trustDomains: readonly string[]): void {
    try {
      const trust = createTrustView(secret, trustDomains);
      this.#current = {
        context: meshContext(secret, trust.bundles.poolPem),
        trust,
        sessions: new SessionCache(),
        certificates: new ServerCertificateCache(),
      };
      this.epoch++;
    } catch (thrown) {
      if (thrown instanceof MeshError) throw thrown;
      // OpenSSL's messages name what is wrong and never hold key bytes.
      throw new MeshError('identity_invalid', `Cannot use the certificate and key: ${messageOf(thrown)}`);
    }
  }

  connect(
    target: DialTarget & { readonly tls: DialTls },
    timeouts: OutboundTimeouts,
    onSecured: (secure: SecureUpstream) => void,
    onFailed: (failure: ConnectFailure) => void,
    onBytes?: (view: Buffer) => void,
  ): DialAttempt {
    const installed = this.#current;
    const isMesh = target.tls.kind === 'istio';
    const remembered = isMesh && installed !== null ? this.#sessionFor(target, installed) : undefined;
    const asked: Asked = { target, installed, remembered, onSecured, onFailed, server: null };
    const attempt = new OutboundHandshake(
      {
        onSecured: (_, socket) => this.#secured(attempt, asked, socket),
        onSession: isMesh ? (session) => keepSession(asked, session) : null,
        onFailed: (_, end, error) => this.#failed(attempt, asked, end, error),
      },
      timeouts,
      onBytes ?? null,
    );
    const context = this.#contextOf(target.tls, installed);
    if ('reason' in context) {
      attempt.giveUp(() => this.#refuse(attempt, asked, context, undefined, ''));
      return attempt;
    }
    attempt.start(connectOptions(target, context, remembered?.session));
    return attempt;
  }

  #contextOf(dialTls: DialTls, installed: Installed | null): tls.SecureContext | Refusal {
    if (dialTls.kind === 'istio') return installed?.context ?? NO_SECRET;
    try {
      return dialTls.external === null ? BUG : this.#external.contextOf(dialTls.external);
    } catch (thrown) {
      return badFiles(thrown);
    }
  }

  judgeAgain(socket: tls.TLSSocket): Refusal | null {
    const live = this.#live.get(socket);
    return live === undefined ? null : this.#judgeLive(live);
  }

  async rejudge(onClosed: (target: DialTarget, refusal: Refusal) => void): Promise<void> {
    const round = ++this.#round;
    let until = monotonicMs() + REJUDGE_SLICE_MS;
    for (const [socket, live] of this.#live) {
      if (monotonicMs() > until) {
        await nextTurn();
        // A later round goes over all of them.
        if (round !== this.#round) return;
        until = monotonicMs() + REJUDGE_SLICE_MS;
      }
      if (socket.destroyed) continue;
      const refusal = this.#judgeLive(live);
      if (refusal === null) continue;
      onClosed(live.target, refusal);
      socket.destroy(new MeshError(refusal.code, refusal.hint));
    }
  }

  #judgeLive(live: LiveServer): Refusal | null {
    const installed = this.#current;
    if (installed === null) return NO_SECRET;
    const { trust } = installed;
    const proven = trust.provenByLibrary && trust.hasPoolOf(live.trust);
    const verdict = acceptServer(
      live.server,
      live.target.tls.subjectAltNames,
      trust,
      proven,
      this.#deps.nowMs(),
    );
    if (!verdict.ok) return verdict.refusal;
    live.trust = trust;
    return null;
  }

  /** Only one whose server would be accepted right now. */
  #sessionFor(
    target: DialTarget & { readonly tls: DialTls },
    installed: Installed,
  ): RememberedSession | undefined {
    const { sessions, trust } = installed;
    const key = sessionKey(target);
    const remembered = sessions.get(key);
    if (remembered === undefined) return undefined;
    const wanted = target.tls.subjectAltNames;
    const { provenByLibrary } = trust;
    if (acceptServer(remembered.server, wanted, trust, provenByLibrary, this.#deps.nowMs()).ok)
      return remembered;
    sessions.drop(key);
    return undefined;
  }

  /** The library is content; only what is decided here makes a server of that. */
  #secured(attempt: OutboundHandshake, asked: Asked, socket: tls.TLSSocket): boolean {
    let secure: SecureUpstream;
    try {
      dropAlpnCopy(socket);
      const resumed = socket.isSessionReused();
      const certificate = resumed ? asked.remembered?.server.leaf : socket.getPeerX509Certificate();
      const verdict = this.#judge(asked, socket, certificate, resumed);
      if ('reason' in verdict) {
        const libraryError = socket.authorized ? '' : String(socket.authorizationError);
        socket.destroy();
        this.#refuse(attempt, asked, verdict, certificate, libraryError);
        return false;
      }
      secure = verdict;
    } catch (thrown) {
      socket.destroy();
      this.#deps.onBug(thrown);
      this.#refuse(attempt, asked, BUG, undefined, '');
      return false;
    }
    try {
      asked.onSecured(secure);
    } catch (thrown) {
      socket.destroy();
      this.#deps.onBug(thrown);
    }
    return true;
  }

  #judge(
    asked: Asked,
    socket: tls.TLSSocket,
    certificate: X509Certificate | undefined,
    resumed: boolean,
  ): SecureUpstream | Refusal {
    const { target } = asked;
    if (target.tls.kind === 'external')
      return refuseExternal(socket, certificate, target.tls) ?? { socket, peer: null, resumed };
    const nowMs = this.#deps.nowMs();
    const began = asked.installed!;
    const { trust } = this.#current ?? began;
    if (resumed && asked.remembered === undefined) return UNKNOWN_SESSION;
    const unverified = refuseUnverified(socket, certificate, trust, nowMs);
    if (unverified !== null) return unverified;
    const server = resumed ? asked.remembered!.server : began.certificates.share(certificate!, nowMs);
    const proven = trust.provenByLibrary && trust.hasPoolOf(began.trust);
    const verdict = acceptServer(server, target.tls.subjectAltNames, trust, proven, nowMs);
    if (!verdict.ok) return verdict.refusal;
    this.#live.set(socket, { target, server, trust });
    socket.once('close', () => this.#live.delete(socket));
    asked.server = server;
    return { socket, peer: verdict.peer, resumed };
  }

  #failed(attempt: OutboundHandshake, asked: Asked, end: OutboundEnd, error: unknown): void {
    switch (end) {
      case 'connect-error':
        answer(asked, { kind: 'connect', code: 'upstream_connect_failed', error }, this.#deps.onBug);
        return;
      case 'connect-timeout':
        answer(asked, { kind: 'connect', code: 'upstream_connect_timeout', error }, this.#deps.onBug);
        return;
      case 'timeout':
        this.#refuse(attempt, asked, SERVER_TIMEOUT, undefined, '');
        return;
      case 'library-error': {
        const code = errorCodeOf(error);
        this.#refuse(attempt, asked, explainServerError(code), undefined, code);
        return;
      }
      case 'bug':
        this.#deps.onBug(error);
        this.#refuse(attempt, asked, BUG, undefined, '');
        return;
      default:
        end satisfies never;
    }
  }

  #refuse(
    attempt: OutboundHandshake,
    asked: Asked,
    refusal: Refusal,
    certificate: X509Certificate | undefined,
    libraryError: string,
  ): void {
    const { host, port, tls: dialTls } = asked.target;
    const failure: ServerFailure = {
      ok: false,
      ...refusal,
      direction: 'outbound',
      remote: attempt.remote === '' ? formatAddress({ ip: host, port }) : attempt.remote,
      sni: dialTls.sni,
      offeredAlpn: dialTls.alpn,
      presented: certificate === undefined ? null : describeCertificate(certificate),
      trustBundleSubjects: this.#current?.trust.subjects.slice(0, MAX_SUBJECTS) ?? [],
      libraryError,
      wanted: dialTls.subjectAltNames,
      transportReason: transportReason(refusal, libraryError),
    };
    answer(asked, { kind: 'handshake', failure }, this.#deps.onBug);
  }
}

function keepSession(asked: Asked, session: Buffer): void {
  const { installed, server, target } = asked;
  if (installed !== null && server !== null) installed.sessions.put(sessionKey(target), { session, server });
}

/** Whoever asked may throw: nobody else would catch that. */
function answer(asked: Asked, failure: ConnectFailure, onBug: (thrown: unknown) => void): void {
  try {
    asked.onFailed(failure);
  } catch (thrown) {
    onBug(thrown);
  }
}
