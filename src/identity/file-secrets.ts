/**
 * The secret source of `identity.files`: reads chain, key and bundle, verifies them together, and watches them.
 *
 * A version is given out only when all three fit; on any error the last good one stays and the reason is told,
 * once. Files are read again 100 ms after the last change, so that a rewrite of several is seen whole.
 */
import { monotonicMs } from '../core/clock.ts';
import { detach } from '../core/detach.ts';
import { MeshError, messageOf } from '../core/errors.ts';
import type { SecretMaterial, SecretSource } from '../core/secret.ts';
import { verifyOwnIdentity } from '../svid/own-identity.ts';
import { FileWatch, fingerprintOf } from './file-watch.ts';
import { readBounded } from './read-bounded.ts';
import { SecretVersions } from './secret-versions.ts';

export interface FileSecretsOptions {
  /** Absolute, or relative to the working directory. */
  readonly certificateChain: string;
  readonly privateKey: string;
  readonly trustBundle: string;
  /** Own trust domain first, then its aliases: all of them have our bundle. */
  readonly trustDomains: readonly string[];
  /** Quiet time after the last change before the files are read again. */
  readonly settleMs?: number;
  /** How often the files are looked at besides, for file systems that report no changes. */
  readonly pollMs?: number;
  /** Wall clock. */
  readonly nowMs?: () => number;
}

const SETTLE_MS = 100;
const MAX_SETTLES = 20;
const POLL_MS = 5_000;

export function createFileSecrets(options: FileSecretsOptions): SecretSource {
  return new FileSecrets(options);
}

class FileSecrets implements SecretSource {
  readonly #options: FileSecretsOptions;
  readonly #files: readonly [chain: string, key: string, bundle: string];
  readonly #watch: FileWatch;
  readonly #versions: SecretVersions;
  readonly #nowMs: () => number;
  #onSecret: (secret: SecretMaterial) => void = () => {};
  #onError: (message: string) => void = () => {};
  #lastError = '';
  /** State of the files at the last read. */
  #fingerprint = '';
  #settleTimer: NodeJS.Timeout | null = null;
  #pollTimer: NodeJS.Timeout | null = null;
  /** Files that never come to rest are read all the same. */
  #settleBy = 0;
  #isReading = false;
  #isStopped = false;

  constructor(options: FileSecretsOptions) {
    this.#options = options;
    this.#files = [options.certificateChain, options.privateKey, options.trustBundle];
    this.#watch = new FileWatch(this.#files, this.#changed);
    this.#versions = new SecretVersions(options.trustDomains);
    this.#nowMs = options.nowMs ?? Date.now;
  }

  /** Rejects with `identity_invalid` if the files cannot be used now; then nothing is left watching. */
  async start(onSecret: (secret: SecretMaterial) => void, onError: (message: string) => void): Promise<void> {
    this.#onSecret = onSecret;
    this.#onError = onError;
    const problem = await this.#load();
    if (this.#isStopped) return;
    if (problem !== null) {
      this.stop();
      throw new MeshError('identity_invalid', problem);
    }
    this.#schedulePoll();
  }

  stop(): void {
    this.#isStopped = true;
    this.#watch.close();
    if (this.#settleTimer !== null) clearTimeout(this.#settleTimer);
    if (this.#pollTimer !== null) clearTimeout(this.#pollTimer);
    this.#settleTimer = null;
    this.#pollTimer = null;
  }

  readonly #changed = (): void => {
    if (this.#isStopped) return;
    const settleMs = this.#options.settleMs ?? SETTLE_MS;
    const now = monotonicMs();
    if (this.#settleTimer === null) this.#settleBy = now + MAX_SETTLES * settleMs;
    else clearTimeout(this.#settleTimer);
    const waitMs = Math.max(0, Math.min(settleMs, this.#settleBy - now));
    this.#settleTimer = setTimeout(this.#settled, waitMs);
  };

  readonly #settled = (): void => {
    this.#settleTimer = null;
    // A read that is under way may have seen half of it: this one waits for its turn.
    if (this.#isReading) this.#changed();
    else detach(this.#reload(), this.#report);
  };

  /** Any error but the one told last; the same one again says nothing new. */
  readonly #report = (thrown: unknown): void => {
    const message = messageOf(thrown);
    if (this.#isStopped || message === this.#lastError) return;
    this.#lastError = message;
    this.#onError(message);
  };

  async #reload(): Promise<void> {
    const problem = await this.#load();
    if (problem !== null) this.#report(new Error(problem));
  }

  async #load(): Promise<string | null> {
    this.#isReading = true;
    try {
      // Watches first: a change between reading and watching would be seen by the poll only.
      await this.#watch.refresh();
      return await this.#read();
    } finally {
      this.#isReading = false;
    }
  }

  #schedulePoll(): void {
    this.#pollTimer = setTimeout(() => {
      detach(this.#poll(), this.#report);
    }, this.#options.pollMs ?? POLL_MS);
  }

  async #poll(): Promise<void> {
    const fingerprint = await fingerprintOf(this.#files);
    if (this.#isStopped) return;
    if (fingerprint !== this.#fingerprint && this.#settleTimer === null) this.#changed();
    this.#schedulePoll();
  }

  /** Reads and verifies; gives out a new version, or answers with what is wrong. */
  async #read(): Promise<string | null> {
    this.#fingerprint = await fingerprintOf(this.#files);
    const texts: string[] = [];
    for (const file of this.#files) {
      try {
        texts.push(await readBounded(file));
      } catch (thrown) {
        return `Cannot read "${file}": ${messageOf(thrown)}; correct the path or the permissions`;
      }
    }
    if (this.#isStopped) return null;
    const [chain = '', key = '', bundle = ''] = texts;
    const answer = verifyOwnIdentity(chain, key, bundle, this.#nowMs());
    const where = `"${this.#files.join('", "')}"`;
    if (!answer.ok) return `Cannot use ${where}: ${answer.reasons.join('; ')}`;
    const { trustDomains } = this.#options;
    const { trustDomain } = answer.identity.facts;
    if (!trustDomains.includes(trustDomain)) {
      const known = trustDomains.join('", "');
      return `Cannot use ${where}: the certificate is of trust domain "${trustDomain}", this mesh's are "${known}"; set meshConfig.trustDomain or issue the certificate in it`;
    }
    this.#lastError = '';
    const secret = this.#versions.next(answer.identity);
    if (secret !== null) this.#onSecret(secret);
    return null;
  }
}
