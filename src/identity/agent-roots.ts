/**
 * Roots of a file that are trusted besides the CA's own (`trustBundle.file`), watched; the last good ones stay on
 * any error.
 */
import { detach } from '../core/detach.ts';
import { MeshError, messageOf } from '../core/errors.ts';
import { parseRoots } from '../svid/trust-bundles.ts';
import { FileWatch, fingerprintOf } from './file-watch.ts';
import { readBounded } from './read-bounded.ts';

const SETTLE_MS = 100;
const POLL_MS = 5_000;

export interface ExtraRootsOptions {
  readonly file: string;
  readonly onChange: () => void;
  readonly onError: (message: string) => void;
}

/** Owns its watchers and timers; `close` ends them. */
export class ExtraRoots {
  readonly #options: ExtraRootsOptions;
  readonly #watch: FileWatch;
  #pem = '';
  #fingerprint = '';
  #lastError = '';
  #settleTimer: NodeJS.Timeout | null = null;
  #pollTimer: NodeJS.Timeout | null = null;
  #isClosed = false;

  constructor(options: ExtraRootsOptions) {
    this.#options = options;
    this.#watch = new FileWatch([options.file], () => this.#changed());
  }

  get pem(): string {
    return this.#pem;
  }

  /** Rejects with `identity_invalid` if the file cannot be used now; then nothing is left watching. */
  async start(): Promise<void> {
    try {
      await this.#load();
    } catch (thrown) {
      this.close();
      throw new MeshError('identity_invalid', messageOf(thrown), { cause: thrown });
    }
    // Network file systems report nothing.
    this.#pollTimer = setInterval(() => detach(this.#poll(), this.#report), POLL_MS);
  }

  close(): void {
    this.#isClosed = true;
    this.#watch.close();
    if (this.#settleTimer !== null) clearTimeout(this.#settleTimer);
    if (this.#pollTimer !== null) clearInterval(this.#pollTimer);
  }

  #changed(): void {
    if (this.#isClosed || this.#settleTimer !== null) return;
    this.#settleTimer = setTimeout(() => {
      this.#settleTimer = null;
      detach(this.#load(), this.#report);
    }, SETTLE_MS);
  }

  async #poll(): Promise<void> {
    if ((await fingerprintOf([this.#options.file])) !== this.#fingerprint) this.#changed();
  }

  async #load(): Promise<void> {
    const { file } = this.#options;
    await this.#watch.refresh();
    this.#fingerprint = await fingerprintOf([file]);
    let pem: string;
    try {
      pem = await readBounded(file);
    } catch (thrown) {
      const fix = 'correct trustBundle.file or the permissions';
      throw new Error(`Cannot read "${file}": ${messageOf(thrown)}; ${fix}`, { cause: thrown });
    }
    const roots = parseRoots(pem);
    if ('problem' in roots)
      throw new Error(`Cannot use "${file}": ${roots.problem}; give root certificates as PEM`);
    this.#lastError = '';
    if (this.#isClosed || pem === this.#pem) return;
    this.#pem = pem;
    this.#options.onChange();
  }

  readonly #report = (thrown: unknown): void => {
    const message = messageOf(thrown);
    if (this.#isClosed || message === this.#lastError) return;
    this.#lastError = message;
    this.#options.onError(message);
  };
}
