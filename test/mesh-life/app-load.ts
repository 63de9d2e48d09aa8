/**
 * The app of foo/sleep at work: requests on connections that it keeps and on fresh ones, all the time, at a rate that
 * leaves the machine room. Every answer must be 200 and name the caller by SPIFFE ID, or it is a failure to be told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { echoedHeader, type Echo } from '../support/echo-app.ts';
import { connectRaw, type RawClient } from '../support/raw-client.ts';
import { withDeadline } from '../support/with-deadline.ts';

const CALLER = ';URI=spiffe://cluster.local/ns/foo/sa/sleep';
const REQUEST = 'GET /work HTTP/1.1\r\nhost: httpbin.foo\r\n';
const KEPT_PAUSE_MS = 20;
const FRESH_PAUSE_MS = 30;
const PROGRESS_MS = 15_000;

export interface LoadFailure {
  readonly on: 'kept' | 'fresh';
  /** The client's port; 0 where there was no connection. */
  readonly port: number;
  /** When the connection began, as `performance.now()`. */
  readonly sinceMs: number;
  readonly failedAtMs: number;
  readonly why: string;
}

export class AppLoad implements AsyncDisposable {
  readonly failures: LoadFailure[] = [];
  /** Requests answered as they should be. */
  answered = 0;
  readonly #host: string;
  readonly #port: number;
  readonly #kept = new Set<RawClient>();
  readonly #lanes: Promise<void>[];
  #stopped = false;
  #wake = Promise.withResolvers<void>();

  constructor(target: { readonly host: string; readonly egressPort: number }, kept = 4) {
    this.#host = target.host;
    this.#port = target.egressPort;
    this.#lanes = Array.from({ length: kept }, () => this.#runKept());
    this.#lanes.push(this.#runFresh());
  }

  /** Client ports of the kept connections that are open now. */
  get keptPorts(): readonly number[] {
    return [...this.#kept].map(({ tcp }) => tcp.localPort ?? 0);
  }

  /** Waits until so many more were answered. */
  async more(count: number): Promise<void> {
    const wanted = this.answered + count;
    const loop = async (): Promise<void> => {
      while (this.answered < wanted) await this.#wake.promise;
    };
    const seen = (): string => `${this.answered} answered, ${JSON.stringify(this.failures.slice(-5))}`;
    await withDeadline(loop(), PROGRESS_MS, `${count} more answers`, seen);
  }

  /** Ends all connections; nothing runs any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#lanes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #runKept(): Promise<void> {
    while (!this.#stopped) {
      await this.#onConnection('kept', async (client) => {
        this.#kept.add(client);
        try {
          while (!this.#stopped) {
            await this.#ask(client, `${REQUEST}\r\n`);
            await delay(KEPT_PAUSE_MS);
          }
        } finally {
          this.#kept.delete(client);
        }
      });
    }
  }

  /** Every second one is closed by the sidecar, which is asked to; the others by the client. */
  async #runFresh(): Promise<void> {
    for (let index = 0; !this.#stopped; index++) {
      await this.#onConnection('fresh', async (client) => {
        const isLast = index % 2 === 0;
        await this.#ask(client, `${REQUEST}${isLast ? 'connection: close\r\n' : ''}\r\n`);
        if (isLast) await client.readToEnd();
      });
      await delay(FRESH_PAUSE_MS);
    }
  }

  async #onConnection(on: LoadFailure['on'], use: (client: RawClient) => Promise<void>): Promise<void> {
    const sinceMs = performance.now();
    let port = 0;
    try {
      using client = await connectRaw({ host: this.#host, port: this.#port });
      port = client.tcp.localPort ?? 0;
      await use(client);
    } catch (thrown) {
      const why = thrown instanceof Error ? thrown.message : String(thrown);
      this.failures.push({ on, port, sinceMs, failedAtMs: performance.now(), why });
      await delay(KEPT_PAUSE_MS);
    }
  }

  async #ask(client: RawClient, request: string): Promise<void> {
    const { body, status } = await client.request(request);
    const text = body.toString();
    if (status !== 200) throw new Error(`${status} ${text}`);
    const xfcc = echoedHeader(JSON.parse(text) as Echo, 'x-forwarded-client-cert') ?? '';
    if (!xfcc.endsWith(CALLER)) throw new Error(`the app saw "${xfcc}"`);
    this.answered++;
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }
}
