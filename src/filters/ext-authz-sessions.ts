/**
 * HTTP/2 connections to one endpoint of a provider, kept open between checks; each carries many unary calls.
 *
 *   dialling ─ open ─┬─ retired (another secret, GOAWAY, silent for too long): no new calls, closed with the last
 *                    └─ gone: its calls fail, or are made again where nobody can have processed them
 *
 * Owns its connections; their calls belong to who made them.
 */
import { connect } from 'node:http2';
import type { ClientHttp2Session, OutgoingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import { Deadline, monotonicMs } from '../core/clock.ts';
import type { DialAttempt } from '../core/dialer.ts';
import { whyOf } from '../core/errors.ts';
import type { AuthzEndpoint } from './authz-upstream.ts';
import { UnaryCall } from './ext-authz-call.ts';
import type { CallCarrier, CallSink } from './ext-authz-call.ts';

/** Connections to one endpoint, without those that only end what they carry. */
export const MAX_SESSIONS = 4;

/** Calls on one connection, where the provider's own limit is not lower. */
export const MAX_CALLS_PER_SESSION = 256;

/** A call given up, and no answer to any since the first of so long ago: the connection carries no other. */
const SILENT_MS = 5_000;

interface Session {
  readonly http2: ClientHttp2Session;
  readonly epoch: number;
  readonly idle: Deadline;
  readonly calls: Set<UnaryCall>;
  carried: number;
  /** The provider has said how many calls it takes; until then it gets one, for the rest would be refused. */
  settled: boolean;
  /** When the first call began that is not followed by an answer to any; null: there is none. */
  silentSinceMs: number | null;
  retired: boolean;
}

/** A call and how it is made. */
interface Made {
  readonly headers: OutgoingHttpHeaders;
  session: Session | null;
}

export class CheckSessions implements CallCarrier {
  readonly endpoint: AuthzEndpoint;
  readonly #idleTimeoutMs: () => number;
  readonly #sessions = new Set<Session>();
  readonly #calls = new Map<UnaryCall, Made>();
  readonly #waiting = new Set<UnaryCall>();
  #dialling: DialAttempt | null = null;
  #closed = false;

  constructor(endpoint: AuthzEndpoint, idleTimeoutMs: () => number) {
    this.endpoint = endpoint;
    this.#idleTimeoutMs = idleTimeoutMs;
  }

  /** Connections, the one being dialled included. */
  get size(): number {
    return this.#sessions.size + (this.#dialling === null ? 0 : 1);
  }

  /** Calls `path` of the provider with one message. */
  call(headers: OutgoingHttpHeaders, message: Uint8Array, sink: CallSink): UnaryCall {
    const call = new UnaryCall(message, sink, this);
    const { counters } = this.endpoint;
    this.endpoint.active++;
    counters.rqTotal++;
    counters.rqActive++;
    this.#calls.set(call, { headers, session: null });
    if (this.#closed) call.fail('the sidecar is going down');
    else {
      this.#waiting.add(call);
      this.#pump();
    }
    return call;
  }

  /** After a change of secret: connections of before end with their last call. */
  retire(): void {
    for (const session of this.#sessions)
      if (session.epoch !== this.endpoint.epoch) this.#retireSession(session);
  }

  /** Everything ends at once. */
  close(): void {
    this.#closed = true;
    this.#dialling?.abort();
    this.#dialling = null;
    for (const call of this.#calls.keys()) call.fail('the sidecar is going down');
    for (const session of this.#sessions) session.http2.destroy();
  }

  onCallEnded(call: UnaryCall): void {
    const made = this.#calls.get(call)!;
    this.#calls.delete(call);
    this.#waiting.delete(call);
    this.endpoint.active--;
    this.endpoint.counters.rqActive--;
    const { session } = made;
    if (session === null) return;
    if (call.heard) session.silentSinceMs = null;
    else if (this.#isSilent(session)) session.retired = true;
    this.#leave(call, session);
    this.#pump();
  }

  onCallRefused(call: UnaryCall): void {
    const made = this.#calls.get(call)!;
    const { session } = made;
    made.session = null;
    if (session !== null) {
      session.retired = true;
      this.#leave(call, session);
    }
    this.#waiting.add(call);
    this.#pump();
  }

  /** Hung, or cut off without a word: only what was asked tells. */
  #isSilent({ silentSinceMs }: Session): boolean {
    const most = Math.min(SILENT_MS, this.#idleTimeoutMs());
    return silentSinceMs !== null && monotonicMs() - silentSinceMs > most;
  }

  #leave(call: UnaryCall, session: Session): void {
    session.calls.delete(call);
    if (session.calls.size > 0) return;
    if (session.retired) session.http2.destroy();
    else session.idle.set(this.#idleTimeoutMs());
  }

  #retireSession(session: Session): void {
    session.retired = true;
    if (session.calls.size === 0) session.http2.destroy();
  }

  /** Waiting calls go to connections that have room; another one is dialled where none has. */
  #pump(): void {
    for (const call of this.#waiting) {
      const session = this.#sessionWithRoom();
      if (session === null) {
        if (this.#mayDial) this.#dial();
        return;
      }
      this.#start(call, session);
    }
  }

  /** None has room: whether another one may be dialled, and the provider of none has yet to say what it takes. */
  get #mayDial(): boolean {
    if (this.#closed || this.#dialling !== null) return false;
    let lasting = 0;
    for (const session of this.#sessions) {
      if (!isLasting(session)) continue;
      if (!session.settled) return false;
      lasting++;
    }
    return lasting < MAX_SESSIONS;
  }

  #sessionWithRoom(): Session | null {
    this.retire();
    let best: Session | null = null;
    for (const session of this.#sessions) {
      if (!isLasting(session)) continue;
      const { calls, http2, settled } = session;
      const allowed = settled ? (http2.remoteSettings.maxConcurrentStreams ?? MAX_CALLS_PER_SESSION) : 1;
      if (calls.size >= Math.min(MAX_CALLS_PER_SESSION, allowed)) continue;
      if (best === null || calls.size < best.calls.size) best = session;
    }
    return best;
  }

  #start(call: UnaryCall, session: Session): void {
    const made = this.#calls.get(call)!;
    this.#waiting.delete(call);
    session.idle.clear();
    session.calls.add(call);
    made.session = session;
    try {
      call.start(session.http2.request(made.headers), session.carried > 0);
      session.carried++;
      session.silentSinceMs ??= monotonicMs();
    } catch (thrown) {
      session.retired = true;
      call.fail(whyOf(thrown));
    }
  }

  #dial(): void {
    const { endpoint } = this;
    const { epoch } = endpoint;
    this.#dialling = endpoint.dial(
      (socket) => {
        this.#dialling = null;
        this.#adopt(socket, epoch);
        this.#pump();
      },
      (error) => {
        this.#dialling = null;
        this.#failWaiting(`cannot connect to ${endpoint.name}: ${whyOf(error)}`);
      },
    );
  }

  /** Those that wait for room on a connection that is there go on waiting. */
  #failWaiting(why: string): void {
    for (const session of this.#sessions) if (isLasting(session)) return;
    for (const call of this.#waiting) call.fail(why);
  }

  #adopt(socket: Socket, epoch: number): void {
    const http2 = connect(`${this.endpoint.scheme}://${this.endpoint.name}`, {
      createConnection: () => socket,
      maxReservedRemoteStreams: 0,
      settings: { enablePush: false },
    });
    const session: Session = {
      http2,
      epoch,
      idle: new Deadline(() => http2.destroy()),
      calls: new Set(),
      carried: 0,
      settled: false,
      silentSinceMs: null,
      retired: false,
    };
    this.#sessions.add(session);
    // Who it was dialled for may be gone.
    session.idle.set(this.#idleTimeoutMs());
    const { counters } = this.endpoint;
    counters.cxTotal++;
    counters.cxActive++;
    http2.on('goaway', () => this.#retireSession(session));
    http2.on('remoteSettings', () => {
      session.settled = true;
      this.#pump();
    });
    // Dialled sockets may be half open, and a session on such a one outlives the other side's end (Node 26.10).
    socket.on('end', () => http2.destroy());
    // Its streams say what it means.
    http2.on('error', () => {});
    http2.on('close', () => {
      const neverBegan = !session.settled && !session.retired;
      session.idle.clear();
      session.retired = true;
      this.#sessions.delete(session);
      counters.cxActive--;
      counters.cxDestroy++;
      // Or each that waits would try it once more, one after the other.
      if (neverBegan)
        this.#failWaiting(`${this.endpoint.name} closed the connection, and does not speak HTTP/2`);
      this.#pump();
    });
  }
}

/** It will take calls again. */
function isLasting({ http2, retired }: Session): boolean {
  return !retired && !http2.closed && !http2.destroyed;
}
