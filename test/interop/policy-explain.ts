/**
 * A case as `explain` is asked about it, and what it must have said of what then happened.
 */
import { DEFAULT_LIMITS, type Limits } from '../../src/core/limits.ts';
import { explainExchange } from '../../src/explain/explain-exchange.ts';
import type { ExplainRequest } from '../../src/explain/explain-request.ts';
import { type ExplainTarget, loadExplainTarget } from '../../src/explain/explain-target.ts';
import type { Explanation } from '../../src/explain/explanation.ts';
import { WORKLOAD_PORT } from './policy-alphabet.ts';
import { headersOf, type PolicyCase } from './policy-requests.ts';
import { documentsOf, type PolicySet, PROVIDERS, WORKLOAD } from './policy-set.ts';
import { JWKS } from './policy-tokens.ts';

/** The cache of tokens is made for each set, and none sees many. */
const limits: Limits = { ...DEFAULT_LIMITS, jwtCacheEntries: 50 };

/** Loads a set; throws what validation says against it. */
export function targetOf(set: PolicySet): ExplainTarget {
  const { problems, target } = loadExplainTarget({
    paths: [],
    text: documentsOf(set, JWKS),
    folder: '/',
    workload: WORKLOAD,
    jwks: new Map(),
  });
  const errors = problems.filter(({ severity }) => severity === 'error');
  if (target === null) throw new Error(errors.map(({ message, path }) => `${path}: ${message}`).join('\n'));
  return { ...target, snapshot: { ...target.snapshot, limits } };
}

/** As the app answers. */
export function answerOfProvider(provider: string): 'allow' | 'deny' | null {
  return PROVIDERS[provider as keyof typeof PROVIDERS] ?? null;
}

/** `ip`: where it is sent. */
export function explainCase(target: ExplainTarget, one: PolicyCase, ip: string): Promise<Explanation> {
  return explainExchange(target, { ...questionOf(one, ip), extAuthz: answerOfProvider });
}

/** No provider is asked. */
export function questionOf(one: PolicyCase, ip: string): Omit<ExplainRequest, 'extAuthz'> {
  const { caller } = one;
  return {
    to: { port: WORKLOAD_PORT, ip },
    from: { sans: caller.id === '' ? null : [`spiffe://${caller.id}`], ip: caller.ip },
    tls: caller.id === '' ? null : { sni: caller.sni, alpn: null },
    http:
      one.kind === 'tcp'
        ? null
        : {
            method: one.method,
            path: one.target,
            host: one.host,
            headers: headersOf(one, '0').flat(),
            jwt: null,
          },
  };
}
