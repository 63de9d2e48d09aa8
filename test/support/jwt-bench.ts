/** A JWT filter on its own: requests go in as heads, and what the app would get comes out. */
import type { FetchedKeySet, JwtPlan, VerifiedToken } from '../../src/core/jwt-plan.ts';
import { JwtAuthnFilter } from '../../src/filters/jwt-authn.ts';
import { JwtKeySets } from '../../src/filters/jwt-key-sets.ts';
import { TokenCache } from '../../src/filters/jwt-token-cache.ts';
import type { RequestContext, Verdict } from '../../src/http/filter.ts';
import { SILENT_LOG } from '../../src/observe/log.ts';
import { JwtCounters } from '../../src/observe/policy-counters.ts';

export interface JwtBenchRequest {
  readonly method?: string;
  readonly path?: string;
  readonly fields?: readonly string[];
}

export interface JwtBenchAnswer {
  /** '' : it went on. */
  readonly body: string;
  readonly status: number;
  readonly verdict: Verdict;
  /** As the app gets them. */
  readonly path: string;
  readonly fields: readonly string[];
  readonly token: VerifiedToken | null;
  /** Whether the filter answered in the same turn. */
  readonly isSync: boolean;
}

export class JwtBench {
  readonly keySets: JwtKeySets = new JwtKeySets();
  readonly counters: JwtCounters = new JwtCounters();
  readonly cache: TokenCache;
  nowMs: number = Date.now();
  filter: JwtAuthnFilter;

  constructor(plan: JwtPlan, fetched: readonly FetchedKeySet[] = [], cacheEntries = 100) {
    this.cache = new TokenCache(cacheEntries);
    this.keySets.put(fetched);
    this.filter = this.filterOf(plan);
  }

  filterOf(plan: JwtPlan): JwtAuthnFilter {
    const { cache, counters, keySets } = this;
    return new JwtAuthnFilter({
      plan,
      keySets,
      cache,
      counters,
      log: SILENT_LOG,
      nowMs: () => this.nowMs,
    });
  }

  async send(request: JwtBenchRequest): Promise<JwtBenchAnswer> {
    const { fields = [], method = 'GET', path = '/' } = request;
    const head = { method, path, fields: [...fields], authority: 'httpbin.foo:8000' };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the filter looks at
    const context = { head, connection: { tls: false }, token: null } as unknown as RequestContext;
    const pending = this.filter.onRequest(context);
    const isSync = !(pending instanceof Promise);
    const verdict = await pending;
    return {
      body: verdict.kind === 'deny' ? String(verdict.body) : '',
      status: verdict.kind === 'deny' ? verdict.status : 200,
      verdict,
      path: head.path,
      fields: head.fields,
      token: context.token,
      isSync,
    };
  }

  /** With this as `Authorization: Bearer`. */
  bearer(token: string): Promise<JwtBenchAnswer> {
    return this.send({ fields: ['authorization', `Bearer ${token}`] });
  }
}
