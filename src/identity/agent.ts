/**
 * Keeps one workload's certificate in force: a new key for every request, renewal in good time by the wall clock
 * (which sleep and a jump of the clock move as well), and the old certificate given out while it is valid.
 *
 *   get ─┐                       ┌─ the CA ─▶ checked ─▶ in force ─▶ subscribers
 *   tick ┴─▶ one attempt at a time ┘  └─ failure: again after 0.5 s … 8 s, sooner when somebody asks
 */
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from '../core/clock.ts';
import { detach } from '../core/detach.ts';
import { MeshError, messageOf, whyOf } from '../core/errors.ts';
import type { Log } from '../observe/log.ts';
import { SpiffeId } from '../svid/spiffe-id.ts';
import { checkAnswer, mergeRoots } from './agent-answer.ts';
import { requestCertificate } from './agent-ca-client.ts';
import { ExtraRoots } from './agent-roots.ts';
import { FIRST_RETRY_MS, renewalTimeMs, type RenewalSettings, retryDelayMs } from './agent-schedule.ts';
import type { KeyAlgorithmName } from './authority-keys.ts';
import { createCsr } from './csr-request.ts';
import { readBounded } from './read-bounded.ts';
import type { ServiceAccount } from './service-account.ts';
import { StreamTokens } from './stream-tokens.ts';
import type { SecretProvider, WorkloadSecret } from './workload-secrets.ts';

export interface AgentIdentityOptions {
  readonly workload: ServiceAccount;
  /** `root`: PEM, or a file that is read at each request. */
  readonly ca: {
    readonly address: string;
    readonly serverName: string;
    readonly root: { readonly pem: string } | { readonly file: string };
  };
  /** Read at each request; null: what SDS streams send. */
  readonly token: { readonly file: string } | { readonly get: () => Promise<string> } | null;
  readonly certificate: RenewalSettings & { readonly ttlMs: number; readonly key: KeyAlgorithmName };
  /** Roots that are trusted besides the CA's; null: none. */
  readonly trustBundleFile: string | null;
  readonly log: Log;
  /** Wall clock. */
  readonly nowMs?: () => number;
  /** How often the clock is looked at. */
  readonly checkIntervalMs?: number;
}

/** Never one long timer: those stand still in sleep, and beyond 2^31 ms they fire at once. */
const CHECK_INTERVAL_MS = 1_000;
/** Of the CSR alone: the CA decides by the token, and no CA takes another one for a mismatch. */
const CSR_TRUST_DOMAIN = 'cluster.local';

/** Certificates begin that much before they are issued. */
const CLOCK_LAG_MS = 120_000;

interface Held {
  /** With the CA's own roots only. */
  readonly answer: WorkloadSecret;
  readonly secret: WorkloadSecret;
  readonly cameAtMs: number;
  readonly renewAtMs: number;
}

interface Attempt {
  readonly tokens: readonly string[];
  readonly done: Promise<WorkloadSecret>;
}

export class Agent implements SecretProvider {
  readonly #options: AgentIdentityOptions;
  readonly #log: Log;
  readonly #nowMs: () => number;
  readonly #subscribers = new Set<() => void>();
  readonly #closing = new AbortController();
  readonly #extraRoots: ExtraRoots | null;
  readonly #streamTokens: StreamTokens;
  #held: Held | null = null;
  #attempt: Attempt | null = null;
  #timer: NodeJS.Timeout | null = null;
  #failures = 0;
  #lastAttemptAtMs = Number.NEGATIVE_INFINITY;
  #retryAtMs = 0;
  #problem: MeshError | null = null;
  /** Of SDS streams; in memory, for renewal. What was offered last may be worse than what worked. */
  #newestToken = '';
  #goodToken = '';

  constructor(options: AgentIdentityOptions) {
    this.#options = options;
    this.#log = options.log;
    this.#nowMs = options.nowMs ?? Date.now;
    this.#streamTokens = new StreamTokens((token) => this.#prove(token), this.#closing.signal);
    const file = options.trustBundleFile;
    this.#extraRoots =
      file === null
        ? null
        : new ExtraRoots({
            file,
            onChange: () => this.#rootsChanged(),
            onError: (message) => this.#log.error('identity_invalid', {}, message),
          });
  }

  /** Rejects if the roots cannot be used. Asks at once if there is a token. */
  async start(): Promise<void> {
    await this.#extraRoots?.start();
    await this.#readCaRoots();
    if (this.#closing.signal.aborted) return;
    this.#timer = setInterval(() => this.#tick(), this.#options.checkIntervalMs ?? CHECK_INTERVAL_MS);
    this.#tick();
  }

  /** Nothing is asked any more, and nobody told. */
  close(): void {
    this.#closing.abort();
    this.#extraRoots?.close();
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#subscribers.clear();
    this.#newestToken = '';
    this.#goodToken = '';
  }

  /** What is in force and valid; null if nothing is. */
  get secret(): WorkloadSecret | null {
    const held = this.#held;
    return held !== null && this.#nowMs() < held.secret.notAfterMs ? held.secret : null;
  }

  /** Why there is no certificate although one is wanted; null: there is one, or it waits for a stream with a token. */
  get unreadyReason(): string | null {
    if (this.secret !== null) return null;
    if (this.#problem !== null) return `${this.#problem.code}: ${this.#problem.message}`;
    if (this.#held !== null) return 'identity_expired: the certificate has expired and is being renewed';
    return this.#options.token === null
      ? null
      : 'identity_missing: the CA is being asked for the first certificate';
  }

  /** Resolves once there is no reason to be unready. */
  async whenReady(): Promise<void> {
    if (this.unreadyReason === null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const unsubscribe = this.subscribe(resolve);
    await promise;
    unsubscribe();
  }

  /** An agent without a token of its own gives nothing to a stream whose token the CA does not take for its workload. */
  async get(token: string): Promise<WorkloadSecret> {
    if (this.#options.token === null) {
      if (token === '') throw this.#noToken();
      this.#newestToken = token;
      await this.#streamTokens.prove(token);
    }
    for (let isLast = false; ; isLast = true) {
      const { secret } = this;
      if (secret !== null) return secret;
      const attempt = this.#attempt ?? this.#begin(this.#allTokens(token));
      try {
        return await attempt.done;
      } catch (thrown) {
        // An attempt with the tokens of others says nothing of this one.
        const isOfOthers = this.#options.token === null && token !== '' && !attempt.tokens.includes(token);
        if (isLast || !isOfOthers) throw thrown;
      }
    }
  }

  subscribe(onChange: () => void): () => void {
    const subscriber = (): void => onChange();
    this.#subscribers.add(subscriber);
    return () => this.#subscribers.delete(subscriber);
  }

  /** Asks for a new certificate now, whatever the age of the one in force. */
  async renew(): Promise<WorkloadSecret> {
    return (this.#attempt ?? this.#begin(this.#allTokens(''))).done;
  }

  #tick(): void {
    if (this.#attempt !== null || monotonicMs() < this.#retryAtMs) return;
    const isWanted =
      this.#held === null
        ? this.#options.token !== null || this.#newestToken !== ''
        : isDue(this.#held, this.#nowMs());
    // What is wrong was told by the attempt itself.
    if (isWanted) detach(this.#begin(this.#allTokens('')).done, () => {});
  }

  #allTokens(first: string): readonly string[] {
    return [...new Set([first, this.#newestToken, this.#goodToken])].filter((one) => one !== '');
  }

  /** With this token alone, for it is this one that is judged. While a certificate is in force, nothing else comes of it. */
  async #prove(token: string): Promise<void> {
    while (this.#attempt !== null) await this.#attempt.done.catch(() => {});
    await (this.secret === null ? this.#begin([token]).done : this.#ask([token]));
  }

  #begin(tokens: readonly string[]): Attempt {
    const done = this.#run(tokens).finally(() => {
      this.#attempt = null;
    });
    const attempt = { tokens, done };
    this.#attempt = attempt;
    return attempt;
  }

  async #run(offered: readonly string[]): Promise<WorkloadSecret> {
    try {
      // However many ask, a CA that fails is asked twice a second at most.
      const waitMs = this.#failures === 0 ? 0 : this.#lastAttemptAtMs + FIRST_RETRY_MS - monotonicMs();
      if (waitMs > 0) await delay(waitMs, undefined, { signal: this.#closing.signal });
      this.#lastAttemptAtMs = monotonicMs();
      const answer = await this.#ask(await this.#tokens(offered));
      this.#closing.signal.throwIfAborted();
      return this.#hold(answer);
    } catch (thrown) {
      const error = thrown instanceof MeshError ? thrown : new MeshError('ca_unreachable', messageOf(thrown));
      this.#fail(error);
      throw error;
    }
  }

  async #tokens(offered: readonly string[]): Promise<readonly string[]> {
    const { token } = this.#options;
    if (token === null) {
      if (offered.length > 0) return offered;
      throw this.#noToken();
    }
    if ('get' in token) return [await token.get()];
    try {
      const text = (await readBounded(token.file)).trim();
      if (/^[\x21-\x7e]+$/.test(text)) return [text];
    } catch (thrown) {
      const fix = 'correct token.file or the permissions';
      throw new MeshError('token_missing', `Cannot read "${token.file}": ${messageOf(thrown)}; ${fix}`);
    }
    throw new MeshError('token_missing', `Cannot use "${token.file}": it does not hold one token`);
  }

  #noToken(): MeshError {
    const error = new MeshError(
      'token_missing',
      'Cannot ask the CA: there is no token; set token.file, or send "authorization: Bearer TOKEN" with the SDS stream',
    );
    if (this.#held === null) this.#problem ??= error;
    return error;
  }

  /** Tries the next token only where the CA refused this one. */
  async #ask(tokens: readonly string[]): Promise<WorkloadSecret> {
    const { certificate, ca, workload } = this.#options;
    const rootsPem = await this.#readCaRoots();
    const { namespace, serviceAccount } = workload;
    const { text } = SpiffeId.ofServiceAccount(CSR_TRUST_DOMAIN, namespace, serviceAccount);
    let failure: unknown = null;
    for (const token of tokens) {
      const { csrPem, keyPem } = await createCsr(text, certificate.key);
      try {
        const chain = await requestCertificate({
          address: ca.address,
          serverName: ca.serverName,
          rootsPem,
          token,
          csrPem,
          ttlMs: certificate.ttlMs,
          signal: this.#closing.signal,
        });
        const answer = checkAnswer(chain, keyPem, workload, this.#nowMs());
        this.#goodToken = token;
        return answer;
      } catch (thrown) {
        failure ??= thrown;
        const isOfToken =
          thrown instanceof MeshError && (thrown.code === 'ca_refused' || thrown.code === 'ca_bad_answer');
        if (!isOfToken) break;
      }
    }
    throw failure;
  }

  async #readCaRoots(): Promise<string> {
    const { root } = this.#options.ca;
    if ('pem' in root) return root.pem;
    try {
      return mergeRoots([await readBounded(root.file)]);
    } catch (thrown) {
      throw new MeshError(
        'ca_untrusted',
        `Cannot use ca.root "${root.file}": ${whyOf(thrown)}; start the CA first or correct the path`,
        { cause: thrown },
      );
    }
  }

  #hold(answer: WorkloadSecret): WorkloadSecret {
    const nowMs = this.#nowMs();
    const { certificate } = this.#options;
    const renewAtMs = renewalTimeMs(certificate, nowMs, answer.notAfterMs, Math.random());
    const before = this.#held;
    const secret = this.#withExtraRoots(answer);
    this.#held = { answer, secret, cameAtMs: nowMs, renewAtMs };
    this.#failures = 0;
    this.#retryAtMs = 0;
    this.#problem = null;
    const fields = {
      serial: secret.serial,
      notAfter: new Date(secret.notAfterMs).toISOString(),
      renewAt: new Date(renewAtMs).toISOString(),
      rootsChanged: before !== null && before.secret.rootsPem !== secret.rootsPem,
    };
    this.#log.info('certificate_received', fields, 'A new certificate is in force');
    this.#tell();
    return secret;
  }

  #fail(error: MeshError): void {
    if (this.#closing.signal.aborted) return;
    this.#failures++;
    const delayMs = retryDelayMs(this.#failures, Math.random());
    this.#retryAtMs = monotonicMs() + delayMs;
    this.#problem = error;
    const { secret } = this;
    const validUntil = secret === null ? null : new Date(secret.notAfterMs).toISOString();
    const fields = { why: whyOf(error), failures: this.#failures, retryInMs: Math.ceil(delayMs), validUntil };
    const message = secret === null ? 'There is no valid certificate' : 'The old certificate stays in force';
    this.#log.error(error.code, fields, message);
  }

  #withExtraRoots(answer: WorkloadSecret): WorkloadSecret {
    const extra = this.#extraRoots?.pem ?? '';
    return extra === '' ? answer : { ...answer, rootsPem: mergeRoots([answer.rootsPem, extra]) };
  }

  #rootsChanged(): void {
    if (this.#held === null) return;
    const secret = this.#withExtraRoots(this.#held.answer);
    if (secret.rootsPem === this.#held.secret.rootsPem) return;
    this.#held = { ...this.#held, secret };
    this.#log.info('roots_changed', {}, 'The trust bundle has changed');
    this.#tell();
  }

  #tell(): void {
    for (const subscriber of this.#subscribers) subscriber();
  }
}

/** Once its share of the life is over; and if the clock was set back so far that peers may find it not valid yet. */
function isDue(held: Held, nowMs: number): boolean {
  return nowMs >= held.renewAtMs || nowMs < held.cameAtMs - CLOCK_LAG_MS;
}
