/**
 * Client sessions, each with what its server proved in the full handshake that it stands on: Node checks nothing on
 * resumption and tells nothing of the server, so a session without these facts is worth nothing.
 *
 * One cache a secret version: another certificate of ours or other trust begins with none.
 */
import type { ServerCertificates } from './server-certificates.ts';

export interface RememberedSession {
  readonly session: Buffer;
  readonly server: ServerCertificates;
}

/** Targets with a session; the one that was renewed longest ago goes. */
const MAX_SESSIONS = 1_024;

export class SessionCache {
  readonly #byTarget = new Map<string, RememberedSession>();

  get(target: string): RememberedSession | undefined {
    return this.#byTarget.get(target);
  }

  put(target: string, remembered: RememberedSession): void {
    this.#byTarget.delete(target);
    if (this.#byTarget.size >= MAX_SESSIONS) {
      const oldest = this.#byTarget.keys().next();
      if (oldest.done !== true) this.#byTarget.delete(oldest.value);
    }
    this.#byTarget.set(target, remembered);
  }

  drop(target: string): void {
    this.#byTarget.delete(target);
  }
}
