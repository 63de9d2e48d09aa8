/** A token on every request and ten AuthorizationPolicies; inbound as in `inbound`, access log on. */
import type { BenchRun } from '../bench-run.ts';
import { jwtPolicy } from '../policy/jwt-policy.ts';
import type { ScenarioResult } from '../results.ts';
import { measureBesideEnvoy } from './beside-envoy.ts';

const BOUND = 0.35;

export function runJwt(run: BenchRun): Promise<ScenarioResult> {
  const variants = run.options.algorithms.map((algorithm) => ({
    name: algorithm,
    policy: jwtPolicy(run.certificates, algorithm),
  }));
  const title = 'A token on every request and 10 policies';
  return measureBesideEnvoy(run, { title, what: 'token', variants, bound: BOUND });
}
