/**
 * Inbound TLS termination: a sniffed socket goes in, a verified peer or a reason comes out, exactly once.
 *
 * A new secret is in force for every handshake that begins after it; those in flight finish on the old
 * servers, but their peers are judged by the trust that is in force when they finish.
 */
import net from 'node:net';
import type tls from 'node:tls';
import { MeshError, messageOf } from '../core/errors.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import type { PeerIdentity } from '../core/peer-identity.ts';
import type { SecretMaterial } from '../core/secret.ts';
import { acceptPeer } from './accept-peer.ts';
import { type AttemptEnd, type ClientHelloFacts, HandshakeAttempt } from './handshake-attempt.ts';
import type { HandshakeFailure, PresentedCertificate, Refusal } from './handshake-failure.ts';
import { chooseAlpn, HandshakeServers } from './handshake-servers.ts';
import { errorCodeOf, explainLibraryError } from './library-error.ts';
import { countHandshakeFailure, type TlsCounters } from './tls-counters.ts';
import { createTrustView, type TrustView } from './trust-view.ts';

export type { ClientHelloFacts } from './handshake-attempt.ts';

/** A terminated connection; from here on it belongs to whoever gets it. */
export interface SecureDownstream {
  readonly socket: tls.TLSSocket;
  /** For resets, which a TLS socket cannot send. */
  readonly raw: net.Socket;
  readonly peer: PeerIdentity;
  /** Lower-case hex, leaf first; of a resumed session possibly the leaf's alone. */
  readonly chainSerials: readonly string[];
  /** '' when none was negotiated. */
  readonly alpn: string;
  readonly sni: string;
  /** `TLSv1.3`. */
  readonly tlsVersion: string;
  readonly cipher: string;
  readonly resumed: boolean;
}

export type HandshakeResult = { readonly ok: true; readonly secure: SecureDownstream } | HandshakeFailure;

export interface InboundTlsDeps {
  readonly counters: TlsCounters;
  /** Wall clock, milliseconds since the epoch. */
  readonly nowMs: () => number;
  /** An exception that nobody expected; its connection is already destroyed. */
  readonly onBug: (thrown: unknown) => void;
}

export interface InboundTls {
  /**
   * Swaps certificate, key and trust. `trustDomains`: own first, then every other one whose workloads may
   * connect; one without a bundle of its own is an alias and uses ours. Throws `identity_invalid` and keeps
   * the old secret if the new one cannot be used.
   */
  setSecret(secret: SecretMaterial, trustDomains: readonly string[]): void;
  /**
   * Runs one handshake on a socket whose ClientHello was put back with `unshift`. `answerable`: the chain's
   * ALPN protocols, the preferred one first. Takes the socket over: on failure it is destroyed. `onDone` is
   * called once, never in the caller's turn; destroying the socket is how a caller gives up.
   */
  accept(
    socket: net.Socket,
    hello: ClientHelloFacts,
    answerable: readonly string[],
    limits: Pick<Limits, 'handshakeTimeoutMs'>,
    onDone: (result: HandshakeResult) => void,
  ): void;
  /**
   * Judges a peer that was let in before by the trust in force now. null: it would be let in again. After a
   * change of roots a session that was resumed may lack the intermediates to prove that; it is then refused.
   */
  judgeAgain(socket: tls.TLSSocket): ErrorCodeName | null;
}

export function createInboundTls(deps: InboundTlsDeps): InboundTls {
  return new InboundTlsRoom(deps);
}

/** One secret in force. */
interface Installed {
  readonly servers: HandshakeServers;
  readonly trust: TrustView;
}

const MAX_SUBJECTS = 8;
const NO_SUBJECTS: readonly string[] = [];

const NO_SECRET: Refusal = {
  code: 'tls_no_secret',
  reason: 'no_secret',
  hint: 'no certificate or trust bundle has been loaded yet: look at /ready for what is missing',
};
const TIMEOUT = explainLibraryError('ERR_TLS_HANDSHAKE_TIMEOUT');
const CLOSED = explainLibraryError('ECONNRESET');
const BUG: Refusal = {
  code: 'bug',
  reason: 'bug',
  hint: 'an unexpected exception in this proxy: report it with the stack from the log',
};

class InboundTlsRoom implements InboundTls {
  readonly #deps: InboundTlsDeps;
  /** By raw socket: the TLS socket's `_parent` is the one way from it to what was handed in. */
  readonly #attempts = new WeakMap<net.Socket, HandshakeAttempt>();
  /** The trust that each peer was last found good under: a resumed session cannot prove its chain again. */
  readonly #provenUnder = new WeakMap<tls.TLSSocket, TrustView>();
  #current: Installed | null = null;

  constructor(deps: InboundTlsDeps) {
    this.#deps = deps;
  }

  setSecret(secret: SecretMaterial, trustDomains: readonly string[]): void {
    try {
      const trust = createTrustView(secret, trustDomains);
      const servers = new HandshakeServers(secret, trust.bundles.poolPem, trust.provenByLibrary, {
        onSecure: this.#onSecure,
        onError: this.#onError,
      });
      this.#current = { servers, trust };
    } catch (thrown) {
      if (thrown instanceof MeshError) throw thrown;
      // OpenSSL's messages name what is wrong and never hold key bytes.
      throw new MeshError('identity_invalid', `Cannot use the certificate and key: ${messageOf(thrown)}`);
    }
  }

  judgeAgain(socket: tls.TLSSocket): ErrorCodeName | null {
    if (this.#current === null) return 'tls_no_secret';
    const { trust } = this.#current;
    const before = this.#provenUnder.get(socket);
    const proven = trust.provenByLibrary && before !== undefined && trust.hasPoolOf(before);
    const result = acceptPeer(socket, trust, proven, this.#deps.nowMs());
    if (!result.ok) return result.refusal.code;
    this.#provenUnder.set(socket, trust);
    return null;
  }

  accept(
    socket: net.Socket,
    hello: ClientHelloFacts,
    answerable: readonly string[],
    limits: Pick<Limits, 'handshakeTimeoutMs'>,
    onDone: (result: HandshakeResult) => void,
  ): void {
    const installed = this.#current;
    const done = (result: HandshakeResult): void => {
      try {
        onDone(result);
      } catch (thrown) {
        socket.destroy();
        this.#deps.onBug(thrown);
      }
    };
    const attempt = new HandshakeAttempt(socket, hello, {
      onSecured: (secure) => {
        done(this.#judge(attempt, installed!, answer, secure));
      },
      onFailed: (end, error) => {
        done(this.#failure(attempt, refusalOf(end, error), null, errorCodeOf(error)));
        if (end === 'bug') this.#deps.onBug(error);
      },
    });
    if (installed === null) {
      socket.destroy();
      process.nextTick(() => {
        done(this.#failure(attempt, NO_SECRET, null, ''));
      });
      return;
    }
    const answer = chooseAlpn(answerable, hello.alpn);
    this.#attempts.set(socket, attempt);
    try {
      attempt.start(installed.servers.serverFor(answer), limits.handshakeTimeoutMs);
    } catch (thrown) {
      process.nextTick(() => {
        attempt.fail('bug', thrown);
      });
    }
  }

  readonly #onSecure = (socket: tls.TLSSocket): void => {
    const attempt = this.#attemptOf(socket);
    if (attempt === undefined) socket.destroy();
    else attempt.secured(socket);
  };

  readonly #onError = (error: unknown, socket: tls.TLSSocket): void => {
    this.#attemptOf(socket)?.fail('library-error', error);
  };

  /** Once: either answer ends the attempt, and a connection is not to keep its own for life. */
  #attemptOf(socket: tls.TLSSocket): HandshakeAttempt | undefined {
    const raw: unknown = Reflect.get(socket, '_parent');
    if (!(raw instanceof net.Socket)) return undefined;
    const attempt = this.#attempts.get(raw);
    this.#attempts.delete(raw);
    return attempt;
  }

  /** The library is content: only `acceptPeer` makes a peer of that. Never throws. */
  #judge(
    attempt: HandshakeAttempt,
    began: Installed,
    answer: string,
    socket: tls.TLSSocket,
  ): HandshakeResult {
    const { counters, nowMs } = this.#deps;
    try {
      const trust = (this.#current ?? began).trust;
      const verdict = acceptPeer(
        socket,
        trust,
        trust.provenByLibrary && trust.hasPoolOf(began.trust),
        nowMs(),
      );
      const alpn = typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : '';
      if (!verdict.ok) {
        attempt.raw.destroy();
        return this.#failure(attempt, verdict.refusal, verdict.presented, verdict.libraryError);
      }
      if (alpn !== answer) {
        attempt.raw.destroy();
        return this.#failure(attempt, ALPN_DIFFERS, null, '');
      }
      this.#provenUnder.set(socket, trust);
      const cipher = socket.getCipher().name;
      const tlsVersion = socket.getProtocol() ?? '';
      counters.addHandshake(tlsVersion, cipher, verdict.resumed);
      const { peer, chainSerials, resumed } = verdict;
      const { raw, hello } = attempt;
      return {
        ok: true,
        secure: { socket, raw, peer, chainSerials, alpn, sni: hello.sni, tlsVersion, cipher, resumed },
      };
    } catch (thrown) {
      attempt.raw.destroy();
      this.#deps.onBug(thrown);
      return this.#failure(attempt, BUG, null, '');
    }
  }

  #failure(
    attempt: HandshakeAttempt,
    refusal: Refusal,
    presented: PresentedCertificate | null,
    libraryError: string,
  ): HandshakeFailure {
    countHandshakeFailure(this.#deps.counters, refusal);
    return {
      ok: false,
      code: refusal.code,
      reason: refusal.reason,
      hint: refusal.hint,
      direction: 'inbound',
      remote: attempt.remote,
      sni: attempt.hello.sni,
      offeredAlpn: attempt.hello.alpn,
      presented,
      trustBundleSubjects: this.#current?.trust.subjects.slice(0, MAX_SUBJECTS) ?? NO_SUBJECTS,
      libraryError,
    };
  }
}

const ALPN_DIFFERS: Refusal = {
  code: 'tls_handshake_failed',
  reason: 'alpn_differs',
  hint: 'the ClientHello was read in two ways: its ALPN list chose one chain and the handshake answered for another',
};

function refusalOf(end: AttemptEnd, error: unknown): Refusal {
  switch (end) {
    case 'timeout':
      return TIMEOUT;
    case 'closed':
      return CLOSED;
    case 'bug':
      return BUG;
    case 'library-error':
      return explainLibraryError(errorCodeOf(error));
    default:
      return end satisfies never;
  }
}
