/**
 * The identity of this process in the control half: opens the source that postern.yaml names, gives what comes
 * from it to the data halves, and keeps what `/ready`, `/certs` and the metrics say of it.
 *
 * Files must be usable at start. An SDS server may come later: until it has given both certificate and bundle
 * the process is not ready and says what it waits for.
 */
import type { PosternConfig } from './config/postern-config.ts';
import { detach } from './core/detach.ts';
import type { SecretMaterial, SecretSource } from './core/secret.ts';
import { openSecretSource } from './control-secret-source.ts';
import type { ControlCounters } from './observe/control-counters.ts';
import type { Log } from './observe/log.ts';
import type { Readiness } from './observe/readiness.ts';
import { OwnCertificate } from './own-certificate.ts';

export interface ControlIdentityOptions {
  readonly config: Pick<PosternConfig, 'identity' | 'workload'>;
  readonly counters: ControlCounters;
  readonly readiness: Readiness;
  readonly log: Log;
  /** Gives it to the data halves; `refusals` say why some could not take it. */
  readonly install: (secret: SecretMaterial) => Promise<{
    readonly installed: boolean;
    readonly refusals: readonly string[];
  }>;
  readonly onBug: (thrown: unknown) => void;
}

/** One source and what it has given. */
interface OpenSource {
  readonly source: SecretSource;
  /** The newest that it gave. */
  latest: SecretMaterial | null;
  /** The newest that was given on. */
  passedOn: SecretMaterial | null;
  /** As the source counts. */
  trustVersion: number;
  /** What is missing for the first one; '' if nothing is. */
  waitingFor: string;
  readonly first: PromiseWithResolvers<SecretMaterial>;
}

/** How long a change of trust domains waits for a source that may come later. */
const FIRST_SECRET_TIMEOUT_MS = 10_000;
const EXPIRY_CHECK_INTERVAL_MS = 1_000;

export class ControlIdentity {
  readonly certificate: OwnCertificate = new OwnCertificate();
  readonly #options: ControlIdentityOptions;
  /** What comes from it is passed on; null while a change of trust domains is under way. */
  #current: OpenSource | null = null;
  readonly #open = new Set<OpenSource>();
  #lastVersions = { version: 0, trustVersion: 0 };
  #expiryTimer: NodeJS.Timeout | null = null;
  #isStopped = false;

  constructor(options: ControlIdentityOptions) {
    this.#options = options;
  }

  /** Opens the source, and gives its secret, if there is one yet, to `apply`. Rejects if it cannot be used. */
  async start(
    trustDomains: readonly string[],
    apply: (secret: SecretMaterial | null) => Promise<void>,
  ): Promise<void> {
    const opened = await this.#openSource(trustDomains);
    const secret = opened.latest;
    await apply(secret);
    this.#adopt(opened, secret);
    this.#expiryTimer = setInterval(() => this.#checkExpiry(), EXPIRY_CHECK_INTERVAL_MS);
  }

  /** Other trust domains: the identity has to fit them, and both take effect together or not at all. */
  async change(
    trustDomains: readonly string[],
    apply: (secret: SecretMaterial | null) => Promise<void>,
  ): Promise<void> {
    const before = this.#current;
    const opened = await this.#openSource(trustDomains);
    let secret: SecretMaterial | null;
    try {
      // Who has none yet goes on waiting under the new names.
      secret = this.#isInForce() ? await firstOf(opened, trustDomains) : opened.latest;
      this.#current = null;
      await apply(secret);
    } catch (thrown) {
      this.#close(opened);
      this.#current = before;
      if (before !== null) this.#passOn(before);
      throw thrown;
    }
    if (before !== null) this.#close(before);
    this.#adopt(opened, secret);
  }

  stop(): void {
    this.#isStopped = true;
    this.#current = null;
    for (const opened of this.#open) this.#close(opened);
    if (this.#expiryTimer !== null) clearInterval(this.#expiryTimer);
    this.#expiryTimer = null;
  }

  // --- the source

  async #openSource(trustDomains: readonly string[]): Promise<OpenSource> {
    const { config, counters, log } = this.#options;
    const opened: OpenSource = {
      source: await openSecretSource({
        config,
        trustDomains,
        log,
        onConnected: (connected) => {
          counters.sdsConnected = connected ? 1 : 0;
        },
      }),
      latest: null,
      passedOn: null,
      trustVersion: 0,
      waitingFor: '',
      first: Promise.withResolvers<SecretMaterial>(),
    };
    // Nobody may be waiting for it.
    detach(opened.first.promise, () => {});
    this.#open.add(opened);
    try {
      await opened.source.start(
        (given) => this.#onSecret(opened, given),
        (message) => {
          if (this.#current !== opened) opened.first.reject(new Error(message));
          this.#refuse(message);
        },
        (why) => {
          opened.waitingFor = why;
          this.#tellWaiting();
        },
      );
    } catch (thrown) {
      this.#close(opened);
      throw thrown;
    }
    if (this.#isStopped) this.#close(opened);
    return opened;
  }

  #close(opened: OpenSource): void {
    this.#open.delete(opened);
    opened.source.stop();
    opened.first.reject(new Error('the sidecar was closed'));
  }

  /** A source counts from 1; versions of this process only grow. */
  #onSecret(opened: OpenSource, given: SecretMaterial): void {
    const last = this.#lastVersions;
    const before = opened.trustVersion === given.trustVersion ? opened.latest : null;
    const version = last.version + 1;
    const trustVersion = before?.trustVersion ?? last.trustVersion + 1;
    this.#lastVersions = { version, trustVersion: Math.max(trustVersion, last.trustVersion) };
    opened.trustVersion = given.trustVersion;
    opened.latest = { ...given, version, trustVersion };
    opened.first.resolve(opened.latest);
    if (this.#current === opened) this.#passOn(opened);
  }

  /** What comes from this source is in force from now on; `secret` already is. */
  #adopt(opened: OpenSource, secret: SecretMaterial | null): void {
    if (this.#isStopped) return;
    this.#current = opened;
    opened.passedOn = secret;
    if (secret !== null) this.#note(secret);
    this.#tellWaiting();
    this.#passOn(opened);
  }

  #passOn(opened: OpenSource): void {
    const { latest } = opened;
    if (latest === null || latest === opened.passedOn) return;
    opened.passedOn = latest;
    detach(this.#install(latest), this.#options.onBug);
  }

  async #install(secret: SecretMaterial): Promise<void> {
    const { installed, refusals } = await this.#options.install(secret);
    if (this.#isStopped) return;
    for (const why of refusals) this.#refuse(why);
    if (installed) this.#note(secret);
  }

  // --- what is said of it

  #refuse(why: string): void {
    const { counters, log } = this.#options;
    counters.secretsRefused++;
    const message = 'The new certificate, key or bundle cannot be used; the last good ones stay';
    log.error('identity_invalid', { why }, message);
  }

  #isInForce(): boolean {
    return this.certificate.facts().notAfterMs !== 0;
  }

  #tellWaiting(): void {
    const { config, readiness } = this.#options;
    const { identity } = config;
    if (this.#isInForce() || identity.kind !== 'sds') return;
    const waitingFor = this.#current?.waitingFor ?? '';
    const why = `no certificate and trust bundle from "unix:${identity.socket}" yet`;
    readiness.set('identity_missing', waitingFor === '' ? why : waitingFor);
  }

  #note(secret: SecretMaterial): void {
    const { config, counters, log, readiness } = this.#options;
    counters.rotations++;
    counters.secretTakenAtMs = Date.now();
    this.certificate.set(secret);
    this.#checkExpiry();
    readiness.clear('identity_missing');
    const { trustVersion, version } = secret;
    log.info('secret', { version, trustVersion, ...this.certificate.shown() }, 'A certificate is in force');
    const oddity = this.certificate.oddityFor(config.workload);
    if (oddity !== '') log.warn('identity_of_another_workload', {}, oddity);
  }

  #checkExpiry(): void {
    const { counters, readiness } = this.#options;
    const { notAfterMs } = this.certificate.facts();
    counters.certificateNotAfterMs = notAfterMs;
    counters.rootNotAfterMs = this.certificate.rootNotAfterMs();
    if (!this.#isInForce() || Date.now() < notAfterMs) readiness.clear('identity_expired');
    else {
      const since = new Date(notAfterMs).toISOString();
      readiness.set('identity_expired', `the own certificate expired at ${since}: give a new one`);
    }
  }
}

/** Its first secret; rejects if it cannot be used or does not come. */
async function firstOf(opened: OpenSource, trustDomains: readonly string[]): Promise<SecretMaterial> {
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const names = trustDomains.join('", "');
    const missing = opened.waitingFor === '' ? '' : `: ${opened.waitingFor}`;
    reject(new Error(`Cannot change the trust domains to "${names}": no certificate came in time${missing}`));
  }, FIRST_SECRET_TIMEOUT_MS);
  try {
    return await Promise.race([opened.first.promise, timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
