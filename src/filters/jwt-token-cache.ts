/**
 * Tokens that were verified, by digest: what was proved of each, never the token itself. Times, issuers and audiences
 * are compared again on every request; what is remembered is the taking apart and the signatures.
 */
import { hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { JwtPlan } from '../core/jwt-plan.ts';
import { compileJwtRules } from './jwt-rules.ts';
import type { CompiledJwtRules } from './jwt-rules.ts';
import type { TokenEntry } from './jwt-verify.ts';

/** A parsed token takes several times its text; in all no more than this many bytes of text are remembered. */
const MAX_TOKEN_BYTES = 16_777_216;

export class TokenCache {
  readonly #entries: LRUCache<string, { readonly entry: TokenEntry; readonly bytes: number }>;
  #compiled: { readonly text: string; readonly rules: CompiledJwtRules } | null = null;
  #keysVersion = 0;
  #epoch = 0;

  /** `limits.jwtCacheEntries`. */
  constructor(maxEntries: number) {
    this.#entries = new LRUCache({
      max: Math.max(1, maxEntries),
      maxSize: MAX_TOKEN_BYTES,
      sizeCalculation: ({ bytes }) => bytes,
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** Another one since it was emptied: what was verified before belongs there no more. */
  get epoch(): number {
    return this.#epoch;
  }

  /** The rules ready for use; the same object as long as they say the same. Other rules empty the cache. */
  rulesOf(plan: JwtPlan): CompiledJwtRules {
    const text = JSON.stringify(plan.rules);
    if (this.#compiled?.text === text) return this.#compiled.rules;
    const rules = compileJwtRules(plan);
    this.#compiled = { text, rules };
    this.#empty();
    return rules;
  }

  /** Other keys empty the cache. */
  useKeys(version: number): void {
    if (version === this.#keysVersion) return;
    this.#keysVersion = version;
    this.#empty();
  }

  #empty(): void {
    this.#entries.clear();
    this.#epoch++;
  }

  get(token: string): TokenEntry | undefined {
    return this.#entries.get(digestOf(token))?.entry;
  }

  put(token: string, entry: TokenEntry): void {
    this.#entries.set(digestOf(token), { entry, bytes: token.length });
  }

  delete(token: string): void {
    this.#entries.delete(digestOf(token));
  }
}

function digestOf(token: string): string {
  return hash('sha256', token, 'base64url');
}
