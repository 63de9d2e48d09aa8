/**
 * The table of live downstream connections of one worker: what the admin server shows, what a new policy, CRL
 * or root re-judges, what a drain ends, and what `limits.maxConnections` counts.
 *
 * The listener adds and removes; whoever owns the connection keeps its entry up to date and ends it when told.
 */
import type { Address } from '../core/address.ts';
import { monotonicMs } from '../core/clock.ts';
import type { ErrorCodeName } from '../core/errors.ts';
import type { PeerIdentity } from '../core/peer-identity.ts';

/** How far a connection has come. */
export type ConnectionPhase = 'sniffing' | 'handshaking' | 'http' | 'tcp';

/** Whoever holds the sockets now. Both calls return at once and may end the connection within them. */
export interface ConnectionOwner {
  /** Ends it now. */
  close(reason: ErrorCodeName): void;
  /** Ends it when what is under way is done (drain, maxConnectionAgeMs). */
  closeGracefully(): void;
}

/** What is known of a connection before it has said anything. */
export interface ConnectionFacts {
  readonly direction: 'inbound' | 'outbound';
  readonly destination: Address;
  readonly remote: Address;
}

/** One live connection. The fields that change are written by its owner, `phase` through the table. */
export class LiveConnection {
  readonly id: number;
  readonly direction: 'inbound' | 'outbound';
  readonly destination: Address;
  readonly remote: Address;
  /** On the monotonic clock. */
  readonly openedAtMs: number;
  owner: ConnectionOwner;
  phase: ConnectionPhase = 'sniffing';
  /** The chain in words, for people. */
  chain = '';
  peer: PeerIdentity | null = null;
  /** Serials of the whole chain that the peer presented, leaf first, lower-case hex: CRLs are matched on them. */
  peerSerials: readonly string[] = [];
  /** The snapshot under which it was last found good. */
  policyGeneration = 0;
  requests = 0;

  constructor(id: number, facts: ConnectionFacts, owner: ConnectionOwner) {
    this.id = id;
    this.direction = facts.direction;
    this.destination = facts.destination;
    this.remote = facts.remote;
    this.openedAtMs = monotonicMs();
    this.owner = owner;
  }
}

/** A reason closes the connection, null lets it live. */
export type Judge = (connection: LiveConnection) => ErrorCodeName | null;

export interface RejudgeOutcome {
  readonly judged: number;
  readonly closed: number;
  /** A later call, with newer rules, took over; it judges the rest too. */
  readonly superseded: boolean;
}

/** How long live connections are judged at a stretch after a change of policy or trust. */
const REJUDGE_SLICE_MS = 4;

/** The clock is read once in so many judgements. */
const JUDGED_PER_CLOCK_READING = 16;

export class LiveConnections {
  // Ids only grow and a Map keeps the order of insertion, so an iterator survives removals and ends at an id.
  readonly #connections = new Map<number, LiveConnection>();
  readonly #counts: Record<ConnectionPhase, number> = { sniffing: 0, handshaking: 0, http: 0, tcp: 0 };
  #lastId = 0;
  #rejudging = 0;
  #inbound = 0;
  readonly #waitingForEmpty: (() => void)[] = [];
  readonly #waitingForNoneInbound: (() => void)[] = [];

  get size(): number {
    return this.#connections.size;
  }

  /** Live numbers by phase; the same object always. */
  get counts(): Readonly<Record<ConnectionPhase, number>> {
    return this.#counts;
  }

  /** Enters a connection in phase `sniffing`. */
  add(facts: ConnectionFacts, owner: ConnectionOwner): LiveConnection {
    const connection = new LiveConnection(++this.#lastId, facts, owner);
    this.#connections.set(connection.id, connection);
    this.#counts.sniffing++;
    if (facts.direction === 'inbound') this.#inbound++;
    return connection;
  }

  /** Takes a connection out; a second call does nothing. */
  remove(connection: LiveConnection): void {
    if (!this.#connections.delete(connection.id)) return;
    this.#counts[connection.phase]--;
    if (connection.direction === 'inbound' && --this.#inbound === 0)
      settle(this.#waitingForNoneInbound.splice(0));
    if (this.#connections.size === 0) settle(this.#waitingForEmpty.splice(0));
  }

  /** Moves a live connection on; one that was removed keeps its last phase. */
  setPhase(connection: LiveConnection, phase: ConnectionPhase): void {
    if (!this.#connections.has(connection.id)) return;
    this.#counts[connection.phase]--;
    this.#counts[phase]++;
    connection.phase = phase;
  }

  get(id: number): LiveConnection | undefined {
    return this.#connections.get(id);
  }

  /** In the order of acceptance; connections may be removed while iterating. */
  values(): MapIterator<LiveConnection> {
    return this.#connections.values();
  }

  /**
   * Judges every connection that is open now, at most `sliceMs` at a stretch, and closes those that get a
   * reason. Connections accepted meanwhile meet the new rules by themselves. A judge that throws closes.
   */
  rejudge(judge: Judge, sliceMs: number = REJUDGE_SLICE_MS): Promise<RejudgeOutcome> {
    const run = ++this.#rejudging;
    const { promise, resolve } = Promise.withResolvers<RejudgeOutcome>();
    const iterator = this.#connections.values();
    const lastId = this.#lastId;
    let judged = 0;
    let closed = 0;

    const slice = (): void => {
      const startedMs = monotonicMs();
      for (;;) {
        if (run !== this.#rejudging) return resolve({ judged, closed, superseded: true });
        const { value: connection } = iterator.next();
        if (connection === undefined || connection.id > lastId)
          return resolve({ judged, closed, superseded: false });
        const reason = judgeOne(judge, connection);
        judged++;
        if (reason !== null) {
          closed++;
          connection.owner.close(reason);
        }
        if (judged % JUDGED_PER_CLOCK_READING === 0 && monotonicMs() - startedMs >= sliceMs) break;
      }
      setImmediate(slice);
    };
    slice();
    return promise;
  }

  /** Asks every owner to end when it can; with a direction, those of it. */
  closeAllGracefully(direction?: LiveConnection['direction']): void {
    for (const connection of this.#connections.values())
      if (direction === undefined || connection.direction === direction) connection.owner.closeGracefully();
  }

  /** Ends all at once. */
  closeAll(reason: ErrorCodeName): void {
    for (const connection of this.#connections.values()) connection.owner.close(reason);
  }

  /** Settles when no connection is left, at once if none is. */
  whenEmpty(): Promise<void> {
    if (this.#connections.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waitingForEmpty.push(resolve);
    });
  }

  /** The same for those from outside. */
  whenNoneInbound(): Promise<void> {
    if (this.#inbound === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waitingForNoneInbound.push(resolve);
    });
  }
}

function settle(waiting: readonly (() => void)[]): void {
  for (const resolve of waiting) resolve();
}

function judgeOne(judge: Judge, connection: LiveConnection): ErrorCodeName | null {
  try {
    return judge(connection);
  } catch {
    return 'bug';
  }
}
