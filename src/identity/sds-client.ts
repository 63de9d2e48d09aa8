/**
 * The secret source of `identity.sds`: certificate, key and bundle from an SDS server on this host, in memory only.
 *
 *   token file ─▶ connection ─▶ two streams ─▶ pairing ─▶ a verified version
 *        ▲                          │ ends
 *        └──── back-off, jitter ◀───┘          the last good version stays in force
 */
import { monotonicMs } from '../core/clock.ts';
import { detach } from '../core/detach.ts';
import { messageOf } from '../core/errors.ts';
import type { SecretMaterial, SecretSource } from '../core/secret.ts';
import { type Log, SILENT_LOG } from '../observe/log.ts';
import { readBounded } from './read-bounded.ts';
import { SdsConnection } from './sds-connection.ts';
import { SdsPairing } from './sds-pairing.ts';
import type { SdsContent } from './sds-resources.ts';
import { shortReason } from './sds-resources.ts';
import { SecretVersions } from './secret-versions.ts';

export interface SdsSecretsOptions {
  /** Absolute path of the server's Unix socket. */
  readonly socket: string;
  readonly certificateName: string;
  readonly bundleName: string;
  /** Sent as `authorization: Bearer`, read anew for every connection; null: none. */
  readonly tokenFile: string | null;
  /** Own trust domain first, then its aliases: all of them have our bundle. */
  readonly trustDomains: readonly string[];
  readonly workload: { readonly namespace: string; readonly name: string };
  readonly log?: Log;
  /** Whether a server answers now; called each time it changes. */
  readonly onConnected?: (connected: boolean) => void;
  /** The wait before the second attempt, and the longest one. */
  readonly backoffMs?: { readonly first: number; readonly longest: number };
  /** For both names to be answered on a new connection. */
  readonly answerTimeoutMs?: number;
  /** For a certificate or a bundle to be followed by the one that fits it. */
  readonly holdMs?: number;
  /** Wall clock. */
  readonly nowMs?: () => number;
}

const BACKOFF_MS = { first: 200, longest: 5_000 };
/** The server may have to get a certificate first. */
const ANSWER_TIMEOUT_MS = 30_000;
const HOLD_MS = 10_000;
const TOKEN = /^[\x21-\x7e]{1,16384}$/;

export function createSdsSecrets(options: SdsSecretsOptions): SecretSource {
  return new SdsSecrets(options);
}

class SdsSecrets implements SecretSource {
  readonly #options: SdsSecretsOptions;
  readonly #log: Log;
  readonly #address: string;
  readonly #backoffMs: { readonly first: number; readonly longest: number };
  readonly #versions: SecretVersions;
  readonly #pairing: SdsPairing;
  #onSecret: (secret: SecretMaterial) => void = () => {};
  #onError: (message: string) => void = () => {};
  #onWaiting: (why: string) => void = () => {};
  #connection: SdsConnection | null = null;
  #connectedAtMs = 0;
  #retryTimer: NodeJS.Timeout | null = null;
  #waitMs: number;
  /** Why the last connection ended; '' while there is one that has answered. */
  #lastEnd = '';
  #lastError = '';
  #lastWaiting = '';
  #hasSecret = false;
  #isConnected = false;
  #isStopped = false;

  constructor(options: SdsSecretsOptions) {
    this.#options = options;
    this.#log = options.log ?? SILENT_LOG;
    this.#address = `unix:${options.socket}`;
    this.#backoffMs = options.backoffMs ?? BACKOFF_MS;
    this.#waitMs = this.#backoffMs.first;
    this.#versions = new SecretVersions(options.trustDomains);
    this.#pairing = new SdsPairing({
      trustDomains: options.trustDomains,
      holdMs: options.holdMs ?? HOLD_MS,
      nowMs: options.nowMs ?? Date.now,
      onIdentity: (identity) => {
        const secret = this.#versions.next(identity);
        this.#hasSecret = true;
        this.#lastError = '';
        if (secret !== null) this.#onSecret(secret);
      },
    });
  }

  /** Resolves at once, whether or not the server is there. */
  start(
    onSecret: (secret: SecretMaterial) => void,
    onError: (message: string) => void,
    onWaiting: (why: string) => void = () => {},
  ): Promise<void> {
    this.#onSecret = onSecret;
    this.#onError = onError;
    this.#onWaiting = onWaiting;
    this.#tellWaiting();
    this.#connect();
    return Promise.resolve();
  }

  stop(): void {
    this.#isStopped = true;
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    this.#connection?.close();
    this.#connection = null;
    this.#pairing.clear();
  }

  readonly #connect = (): void => {
    this.#retryTimer = null;
    this.#connectedAtMs = monotonicMs();
    detach(this.#open(), (thrown) => this.#ended(messageOf(thrown)));
  };

  async #open(): Promise<void> {
    const {
      answerTimeoutMs = ANSWER_TIMEOUT_MS,
      bundleName,
      certificateName,
      socket,
      workload,
    } = this.#options;
    const token = await this.#readToken();
    if (this.#isStopped) return;
    this.#connection = new SdsConnection({
      socket,
      names: { certificate: certificateName, bundle: bundleName },
      token,
      node: `${workload.name}.${workload.namespace}`,
      answerTimeoutMs,
      onContent: (content, accept, refuse) => this.#take(content, accept, refuse),
      onRefused: (name, why) => this.#refused(name, why),
      onEnd: (why) => this.#ended(why),
    });
  }

  async #readToken(): Promise<string> {
    const { tokenFile } = this.#options;
    if (tokenFile === null) return '';
    let token: string;
    try {
      token = (await readBounded(tokenFile)).trim();
    } catch (thrown) {
      throw new Error(`cannot read "${tokenFile}": ${messageOf(thrown)}; correct identity.tokenFile`, {
        cause: thrown,
      });
    }
    // Its text is not told: a token that is nearly right is a secret all the same.
    if (!TOKEN.test(token)) throw new Error(`"${tokenFile}" does not hold one token; write it anew`);
    return token;
  }

  #take(content: SdsContent, accept: () => void, refuse: (why: string) => void): void {
    if (this.#lastEnd !== '')
      this.#log.info('sds_connected', { server: this.#address }, 'The SDS server answers');
    this.#lastEnd = '';
    this.#setConnected(true);
    this.#pairing.offer(content, accept, refuse);
    this.#tellWaiting();
  }

  /** What the server sent cannot be used; the same again says nothing new. */
  #refused(name: string, why: string): void {
    const message = `Cannot use "${name}" of ${this.#address}: ${why}`;
    if (message === this.#lastError) return;
    this.#lastError = message;
    this.#onError(message);
    this.#tellWaiting();
  }

  #ended(why: string): void {
    if (this.#isStopped) return;
    this.#connection = null;
    this.#setConnected(false);
    this.#pairing.clear();
    const reason = shortReason(why);
    if (reason !== this.#lastEnd)
      this.#log.warn(
        'sds_disconnected',
        { server: this.#address, error: reason },
        'The SDS server is not there',
      );
    this.#lastEnd = reason;
    // One that lived longer than the longest wait was no failed attempt.
    if (monotonicMs() - this.#connectedAtMs > this.#backoffMs.longest) this.#waitMs = this.#backoffMs.first;
    // Half of it is chance: the proxies of a host do not come back all at once.
    this.#retryTimer = setTimeout(this.#connect, this.#waitMs * (0.5 + Math.random() / 2));
    this.#waitMs = Math.min(this.#waitMs * 2, this.#backoffMs.longest);
    this.#tellWaiting();
  }

  #setConnected(connected: boolean): void {
    if (connected === this.#isConnected) return;
    this.#isConnected = connected;
    this.#options.onConnected?.(connected);
  }

  #tellWaiting(): void {
    const why = this.#hasSecret ? '' : this.#missing();
    if (why === this.#lastWaiting) return;
    this.#lastWaiting = why;
    this.#onWaiting(why);
  }

  #missing(): string {
    const { bundleName, certificateName } = this.#options;
    const missing = this.#pairing.missing();
    const what =
      missing.length === 1 && missing[0] === 'bundle'
        ? `no trust bundle "${bundleName}"`
        : missing.length === 1
          ? `no certificate "${certificateName}"`
          : 'no certificate';
    const why = this.#lastEnd || this.#pairing.misfit || this.#lastError;
    return `${what} from ${this.#address} yet${why === '' ? '' : `: ${why}`}`;
  }
}
