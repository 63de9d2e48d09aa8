/**
 * Which tokens of SDS streams are this workload's. Who may connect to the socket is not yet who may have the key:
 * the CA says so, once for each token. Kept as digests.
 */
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { MeshError } from '../core/errors.ts';
import { FIRST_RETRY_MS } from './agent-schedule.ts';

/** More than the proxies of a workload hold; the oldest is forgotten, and asked about again when it comes back. */
const MAX_KNOWN = 256;
/** Tokens that wait for their turn; each may take as long as a call of the CA. */
const MAX_WAITING = 16;

export class StreamTokens {
  readonly #ask: (token: string) => Promise<unknown>;
  readonly #closing: AbortSignal;
  readonly #known = new Set<string>();
  readonly #waiting = new Map<string, Promise<void>>();
  #lastTurn: Promise<void> = Promise.resolve();

  /** `ask` rejects unless the CA gives this workload's certificate for the token. */
  constructor(ask: (token: string) => Promise<unknown>, closing: AbortSignal) {
    this.#ask = ask;
    this.#closing = closing;
  }

  /** Resolves once the token is known to be good; rejects with a MeshError. */
  prove(token: string): Promise<void> {
    const digest = createHash('sha256').update(token).digest('base64url');
    if (this.#known.has(digest)) return Promise.resolve();
    const waiting = this.#waiting.get(digest);
    if (waiting !== undefined) return waiting;
    if (this.#waiting.size >= MAX_WAITING)
      return Promise.reject(new MeshError('token_invalid', 'too many tokens wait for the CA; try again'));
    const turn = this.#take(this.#lastTurn, token, digest);
    this.#waiting.set(digest, turn);
    this.#lastTurn = turn.catch(() => this.#pause());
    return turn;
  }

  /** One at a time: guessing costs the guesser more than the CA. */
  async #take(before: Promise<void>, token: string, digest: string): Promise<void> {
    try {
      await before;
      await this.#ask(token);
      const [oldest] = this.#known;
      if (this.#known.size >= MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
      this.#known.add(digest);
    } finally {
      this.#waiting.delete(digest);
    }
  }

  async #pause(): Promise<void> {
    try {
      await delay(FIRST_RETRY_MS, undefined, { signal: this.#closing });
    } catch {
      // Closed: nobody is asked any more.
    }
  }
}
