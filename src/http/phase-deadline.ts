/**
 * What a server connection waits for, and until when: one phase, one deadline.
 *
 *   idle ─ head ─ body ⇄ waiting ⇄ reader ─ … ─ flush ─ linger
 *
 * A phase that is entered again while it lasts keeps its deadline, so that a head that drips in, or a client
 * that takes a byte now and then, does not move it.
 */
import { Deadline } from '../core/clock.ts';
import { ERROR_CODES } from '../core/errors.ts';
import type { Limits } from '../core/limits.ts';
import type { ResetReason } from './exchange.ts';

/**
 * idle: for a request. head: for the rest of a head. body: for the client's next body bytes. reader: for the
 * client to take what was sent. waiting: for the upstream or a filter. flush: for the last bytes to be taken
 * before a close. linger: for the client's FIN. none: between two of these, within one event-loop turn.
 */
export type Phase = 'none' | 'idle' | 'head' | 'body' | 'reader' | 'waiting' | 'flush' | 'linger';

/** After an answer that ends a connection with request bytes still coming, they are read and dropped. */
const LINGER_MS = 1_000;

/**
 * How long a connection that is to end still waits for a request. One may be on its way: closed at once, every busy
 * client would lose it. Who keeps quiet that long is unlikely to speak just then.
 */
export const LAST_REQUEST_MS = 250;

const TIMED_OUT: ResetReason = { code: 'idle_timeout', detail: ERROR_CODES.idle_timeout.meaning };

/** Whose phases these are: hears which of them took too long. */
export interface PhaseOwner {
  readonly bytesWritten: number;
  onHeadTimeout(): void;
  onBodyStalled(): void;
  onReaderStalled(): void;
  close(): void;
  /** Nothing can be said to the client any more. */
  destroy(reason: ResetReason): void;
  onBug(thrown: unknown): void;
}

export class PhaseDeadline {
  phase: Phase = 'none';
  readonly #limits: Limits;
  readonly #owner: PhaseOwner;
  readonly #deadline: Deadline;
  #isLast = false;
  /** What was written when the current wait was last looked at. */
  #writtenMark = 0;

  constructor(limits: Limits, owner: PhaseOwner) {
    this.#limits = limits;
    this.#owner = owner;
    this.#deadline = new Deadline(() => this.#onDue());
  }

  enter(phase: Phase): void {
    if (phase === this.phase) return;
    this.phase = phase;
    this.restart();
  }

  /** Enters the phase of an open connection: what is in the way comes first. */
  choose(blocked: boolean, bodyFlows: boolean, answerOwed: boolean, inHead: boolean): void {
    if (blocked) this.enter('reader');
    else if (bodyFlows) this.enter('body');
    else if (answerOwed) this.enter('waiting');
    else this.enter(inHead ? 'head' : 'idle');
  }

  /** The next phase begins with a deadline of its own, even if it is the same one. */
  leave(): void {
    this.phase = 'none';
  }

  /** Something moved: the phase's time begins again. */
  restart(): void {
    if (this.phase !== 'none') this.#deadline.set(this.#duration());
  }

  /** The next request is the last one, and waited for no longer than a moment. */
  expectLast(): void {
    this.#isLast = true;
    if (this.phase === 'idle') this.restart();
  }

  clear(): void {
    this.phase = 'none';
    this.#deadline.clear();
  }

  #onDue(): void {
    const owner = this.#owner;
    try {
      switch (this.phase) {
        case 'head':
          owner.onHeadTimeout();
          return;
        case 'body':
          if (!this.#answerMoved()) owner.onBodyStalled();
          return;
        case 'reader':
        case 'flush':
          owner.onReaderStalled();
          return;
        case 'idle':
          owner.close();
          return;
        case 'waiting':
          if (!this.#answerMoved()) owner.destroy(TIMED_OUT);
          return;
        case 'linger':
        case 'none':
          owner.destroy(TIMED_OUT);
          return;
        default:
          this.phase satisfies never;
      }
    } catch (thrown) {
      owner.onBug(thrown);
    }
  }

  /** An answer that is being sent counts as movement: the wait begins again. */
  #answerMoved(): boolean {
    const written = this.#owner.bytesWritten;
    if (written === this.#writtenMark) return false;
    this.#writtenMark = written;
    this.restart();
    return true;
  }

  #duration(): number {
    const limits = this.#limits;
    switch (this.phase) {
      case 'head':
        return limits.headTimeoutMs;
      case 'body':
      case 'reader':
      case 'flush':
        return limits.bodyStallTimeoutMs;
      case 'linger':
        return LINGER_MS;
      case 'idle':
        return this.#isLast ? Math.min(LAST_REQUEST_MS, limits.idleTimeoutMs) : limits.idleTimeoutMs;
      case 'none':
      case 'waiting':
        return limits.idleTimeoutMs;
      default:
        return this.phase satisfies never;
    }
  }
}
