/** A CUSTOM policy that asks a provider about every request; inbound as in `inbound`, access log on. */
import { startProvider } from '../bench-run.ts';
import type { BenchRun } from '../bench-run.ts';
import { extAuthzPolicy } from '../policy/ext-authz-policy.ts';
import type { ScenarioResult } from '../results.ts';
import { measureBesideEnvoy } from './beside-envoy.ts';
import type { PolicyVariant } from './beside-envoy.ts';

const BOUND = 0.8;

export async function runExtAuthz(run: BenchRun): Promise<ScenarioResult> {
  const variants: PolicyVariant[] = [];
  for (const kind of run.options.providers) {
    const port = await startProvider(run.folder, kind);
    variants.push({ name: kind, policy: extAuthzPolicy(run.certificates, kind, port) });
  }
  const title = 'A provider asked about every request';
  return measureBesideEnvoy(run, { title, what: 'provider', variants, bound: BOUND });
}
