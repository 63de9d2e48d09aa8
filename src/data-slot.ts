/**
 * The place of one data half: starts one, and another one whenever it ends without having been told to.
 *
 *   open ──▶ live ──died──▶ waiting ──back-off──▶ starting ──brought up──▶ live
 *                              ▲                     └──died or refused──▶ waiting
 *                              └────────────────────────────┘
 */
import { detach } from './core/detach.ts';
import { monotonicMs } from './core/clock.ts';
import { whyOf } from './core/errors.ts';
import { DataConversation } from './data-conversation.ts';
import type { StartDataHalf } from './data-half.ts';

/** Before the first restart, the second, and so on; the last one goes on. */
export const RESTART_DELAYS_MS: readonly number[] = [0, 250, 1_000, 2_500, 5_000];
/** Who lived that long begins again with the first delay. */
const SETTLED_MS = 30_000;
/** After so many failed starts in a row the sidecar is not ready. */
export const MAX_FAILED_STARTS = 3;

/** How a data half ended, and what comes next. */
export interface DataHalfEnd {
  readonly why: string;
  /** Whether it served; else it ended while starting. */
  readonly wasLive: boolean;
  readonly restartInMs: number;
}

export interface DataSlotOptions {
  readonly worker: number;
  readonly start: StartDataHalf;
  /** Tells a new one all that the others know and calls `slot.enter`; rejects if it cannot serve. */
  readonly bringUp: (slot: DataSlot, conversation: DataConversation) => Promise<void>;
  readonly onEnded: (slot: DataSlot, end: DataHalfEnd) => void;
}

export class DataSlot {
  readonly worker: number;
  /** The one that serves; null: none does. */
  live: DataConversation | null = null;
  /** Starts in a row that came to nothing. */
  failedStarts = 0;
  /** Of the last start that failed. */
  lastFailure = '';
  readonly #options: DataSlotOptions;
  /** The one that serves or starts. */
  #current: DataConversation | null = null;
  #restarts = false;
  #delays = 0;
  #liveSinceMs = 0;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: DataSlotOptions) {
    this.worker = options.worker;
    this.#options = options;
  }

  /** Starts the first one. It counts as live at once; its answers tell what it cannot do. */
  open(): void {
    this.live = this.#begin();
    this.#liveSinceMs = monotonicMs();
  }

  /** From here on another one is started when this one ends; false: not any more. */
  setRestarts(restarts: boolean): void {
    this.#restarts = restarts;
    if (restarts || this.#timer === null) return;
    clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** The one that was started knows all that the others know. */
  enter(conversation: DataConversation): void {
    if (this.#current !== conversation) return;
    this.live = conversation;
    this.failedStarts = 0;
    this.lastFailure = '';
    this.#liveSinceMs = monotonicMs();
  }

  /** Ends one that does not answer or cannot be used; another one takes its place. */
  replace(conversation: DataConversation, why: string): void {
    if (this.#current !== conversation) return;
    detach(conversation.half.end(), () => {});
    this.#died(conversation, why);
  }

  /** Ends what runs here for good. */
  async end(): Promise<void> {
    this.setRestarts(false);
    const current = this.#current;
    this.live = null;
    this.#current = null;
    current?.end('it was told to end');
    await current?.half.end();
  }

  #begin(): DataConversation {
    const half = this.#options.start(this.worker, {
      onMessage: (message) => void conversation.hear(message),
      onDied: (why) => this.#died(conversation, why),
    });
    const conversation = new DataConversation(half);
    this.#current = conversation;
    return conversation;
  }

  #died(conversation: DataConversation, why: string): void {
    conversation.end(why);
    if (this.#current !== conversation) return;
    const wasLive = this.live === conversation;
    this.live = null;
    this.#current = null;
    if (wasLive && monotonicMs() - this.#liveSinceMs > SETTLED_MS) this.#delays = 0;
    this.#again(wasLive, why);
  }

  #again(wasLive: boolean, why: string): void {
    if (!this.#restarts) return;
    if (!wasLive) {
      this.failedStarts++;
      this.lastFailure = why;
    }
    const restartInMs = RESTART_DELAYS_MS[Math.min(this.#delays, RESTART_DELAYS_MS.length - 1)] ?? 0;
    this.#delays++;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#restart();
    }, restartInMs);
    this.#options.onEnded(this, { why, wasLive, restartInMs });
  }

  #restart(): void {
    let conversation: DataConversation;
    try {
      conversation = this.#begin();
    } catch (thrown) {
      this.#again(false, whyOf(thrown));
      return;
    }
    detach(this.#options.bringUp(this, conversation), (thrown) => this.replace(conversation, whyOf(thrown)));
  }
}
