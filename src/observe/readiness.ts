/**
 * Why the sidecar is not ready: a set of reasons by code. It is ready when there is none.
 *
 * A refused reload is no reason; it shows as `config.lastError`.
 */

export interface ReadinessReason {
  readonly code: string;
  readonly message: string;
  /** ISO 8601. */
  readonly since: string;
}

export interface ReadinessConfig {
  /** 0: none was loaded yet. */
  readonly generation: number;
  /** ISO 8601. */
  readonly loadedAt: string | null;
  /** Why the newest documents were refused; null once newer ones were taken. */
  readonly lastError: string | null;
}

/** The answer of `/ready?format=json`. */
export interface ReadinessState {
  readonly ready: boolean;
  readonly reasons: readonly ReadinessReason[];
  readonly config: ReadinessConfig;
}

export interface ReadinessAnswer {
  readonly status: 200 | 503;
  readonly contentType: string;
  readonly body: string;
}

export class Readiness {
  readonly #reasons = new Map<string, ReadinessReason>();
  readonly #onChange: (ready: boolean) => void;
  #config: ReadinessConfig = { generation: 0, loadedAt: null, lastError: null };
  #wasReady = false;

  /** `onChange` is called whenever readiness turns, first when it first becomes ready. */
  constructor(onChange: (ready: boolean) => void = () => {}) {
    this.#onChange = onChange;
    this.#reasons.set('not_started', {
      code: 'not_started',
      message: 'listeners are not open yet',
      since: new Date().toISOString(),
    });
  }

  get isReady(): boolean {
    return this.#reasons.size === 0;
  }

  /** Holds readiness back; a reason that is already there keeps its `since`. */
  set(code: string, message: string): void {
    const since = this.#reasons.get(code)?.since ?? new Date().toISOString();
    this.#reasons.set(code, { code, message, since });
    this.#turn();
  }

  clear(code: string): void {
    if (this.#reasons.delete(code)) this.#turn();
  }

  configLoaded(generation: number, atMs: number): void {
    this.#config = { generation, loadedAt: new Date(atMs).toISOString(), lastError: null };
  }

  configRefused(message: string): void {
    this.#config = { ...this.#config, lastError: message };
  }

  state(): ReadinessState {
    return { ready: this.isReady, reasons: [...this.#reasons.values()], config: this.#config };
  }

  /** Answers `GET /ready`: `LIVE`, or 503 and one line why. */
  answer(query: URLSearchParams): ReadinessAnswer {
    const status = this.isReady ? 200 : 503;
    if (query.get('format') === 'json')
      return { status, contentType: 'application/json', body: `${JSON.stringify(this.state())}\n` };
    const why = [...this.#reasons.values()].map((reason) => `${reason.code}: ${reason.message}`).join('; ');
    const line = this.isReady ? 'LIVE' : `NOT READY: ${why.replaceAll(/\s+/g, ' ')}`;
    return { status, contentType: 'text/plain; charset=utf-8', body: `${line}\n` };
  }

  #turn(): void {
    const ready = this.isReady;
    if (ready === this.#wasReady) return;
    this.#wasReady = ready;
    this.#onChange(ready);
  }
}
