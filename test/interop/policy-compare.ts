/**
 * What one case must have in common: Envoy with our data half, both with `explain`; and which differences between Envoy
 * and us `docs/differences.md` allows.
 */
import type { Explanation } from '../../src/explain/explanation.ts';
import { ALLOWED_DIFFERENCES } from './policy-allowed-differences.ts';
import type { RbacNotes } from './policy-postern.ts';
import { requestBytes, type PolicyCase } from './policy-requests.ts';
import { yamlOf } from './policy-set.ts';
import type { JudgedCase, Side } from './policy-world.ts';

export interface Difference {
  readonly field: string;
  readonly wanted: unknown;
  readonly got: unknown;
}

export interface Comparison {
  /** Empty: all did the same, or a row allows it. */
  readonly differences: readonly Difference[];
  /** The row of `docs/differences.md` that allowed one; '' for none. */
  readonly row: string;
}

export function compareCase(judged: JudgedCase, explanation: Explanation): Comparison {
  const own = [...explainedDifferences(judged, explanation)];
  const beside = [...envoyDifferences(judged), ...notedDifferences(judged, explanation)];
  if (beside.length === 0) return { differences: own, row: '' };
  const allowed = ALLOWED_DIFFERENCES.find(({ holds }) => holds(judged, explanation));
  return allowed === undefined
    ? { differences: [...beside, ...own], row: '' }
    : { differences: own, row: allowed.row };
}

/** What caller, app and access log saw, Envoy's first. */
export function envoyDifferences({ envoy, one, ours }: JudgedCase): readonly Difference[] {
  const byRule = [envoy, ours].some(({ details }) => details.startsWith('rbac_'));
  const carried = isCarried(one, envoy) && isCarried(one, ours);
  return differing({
    status: [envoy.outcome.status, ours.outcome.status],
    body: [envoy.outcome.body, ours.outcome.body],
    headers: [envoy.outcome.headers, ours.outcome.headers],
    forwarded: [envoy.outcome.forwarded, ours.outcome.forwarded],
    // Why a handshake failed, or a connection that was carried ended in the end, is told elsewhere.
    ...((one.kind === 'http' || (byRule && !carried)) && { details: [envoy.details, ours.details] }),
  });
}

/** What Envoy's RBAC filters noted: the rule that let through, AUDIT, dry run. */
function notedDifferences(
  { envoy, one }: JudgedCase,
  { decidedBy, steps }: Explanation,
): readonly Difference[] {
  const { logged } = envoy;
  const notes = (one.kind === 'http' ? logged?.http : logged?.network) ?? null;
  if (notes === null) return [];
  const stepKey = (step: string): string | null => {
    const policies = steps.find((each) => each.step === step)?.policies ?? [];
    const keys = policies.flatMap(({ key, rules }) =>
      rules.filter(({ matched }) => matched).map(({ index }) => `${key}-rule[${index}]`),
    );
    return keys.toSorted(byBytes)[0] ?? null;
  };
  return differing({
    // Of TCP rules that are enforced it notes none.
    ...(one.kind === 'http' &&
      (decidedBy?.step === 'DENY' || decidedBy?.step === 'ALLOW') && {
        'rule noted by Envoy': [notes.enforced_effective_policy_id, decidedBy.key],
      }),
    ...(decidedBy?.step === 'CUSTOM' && {
      'CUSTOM rule noted by Envoy': [notes.istio_ext_authz_shadow_effective_policy_id, decidedBy.key],
    }),
    ...shadow(notes, 'deny', stepKey('DENY_DRY_RUN')),
    ...shadow(notes, 'allow', stepKey('ALLOW_DRY_RUN')),
    ...(typeof logged?.common?.access_log_hint === 'boolean' && {
      'AUDIT noted by Envoy': [logged.common.access_log_hint, stepKey('AUDIT') !== null],
    }),
  });
}

function shadow(
  notes: RbacNotes,
  action: 'deny' | 'allow',
  key: string | null,
): Record<string, [unknown, unknown]> {
  const result = notes[`istio_dry_run_${action}_shadow_engine_result`];
  if (result === undefined) return {};
  const denied = action === 'deny' ? key !== null : key === null;
  return {
    [`dry run of ${action} noted by Envoy`]: [
      [result, notes[`istio_dry_run_${action}_shadow_effective_policy_id`] ?? null],
      [denied ? 'denied' : 'allowed', key],
    ],
  };
}

/** What `explain` said, first, and what our data half did. */
function explainedDifferences(
  { decisions, one, ours }: JudgedCase,
  explanation: Explanation,
): readonly Difference[] {
  const { decidedBy, details, path, status, verdict } = explanation;
  const carried = isCarried(one, ours);
  const line = carried ? 'enforced allowed' : 'enforced denied';
  const byRule = (decidedBy?.step === 'DENY' || decidedBy?.step === 'ALLOW') && one.kind === 'http';
  return differing({
    'verdict explained': [verdict, carried ? 'allow' : 'deny'],
    ...(!carried && { 'status explained': [status ?? 0, ours.outcome.status] }),
    // Of what is refused before a head is read the access log tells otherwise, or nothing.
    ...(!carried &&
      /^(?:rbac|jwt|ext)_/.test(ours.details + details) && { 'details explained': [details, ours.details] }),
    ...(byRule && {
      'rule explained': [
        `${line}, matched policy ${decidedBy.key}`,
        decisions.findLast((each) => each.startsWith('enforced')),
      ],
    }),
    ...(carried &&
      one.kind === 'http' &&
      one.method !== 'HEAD' && {
        'path explained': [path.normalised, ours.outcome.forwarded[0]?.split(/[ ?]/)[1]],
      }),
  });
}

export function isCarried(one: PolicyCase, { outcome }: Side): boolean {
  if (one.kind === 'tcp') return outcome.body.startsWith('pong');
  return outcome.status === 200 && (one.method === 'HEAD' || outcome.forwarded.length > 0);
}

function differing(pairs: Readonly<Record<string, readonly [unknown, unknown]>>): readonly Difference[] {
  return Object.entries(pairs)
    .filter(([, [wanted, got]]) => JSON.stringify(wanted) !== JSON.stringify(got))
    .map(([field, [wanted, got]]) => ({ field, wanted, got }));
}

const byBytes = (a: string, b: string): number => (a < b ? -1 : 1);

/** All that is needed to see it again. */
export function reportOf(
  judged: JudgedCase,
  explanation: Explanation,
  differences: readonly Difference[],
): string {
  const { envoy, one, ours, prepared } = judged;
  const { decidedBy, reason } = explanation;
  return [
    `policy set "${prepared.set.name}"`,
    yamlOf(prepared.set).trimEnd(),
    `caller ${JSON.stringify(one.caller)}`,
    one.kind === 'tcp' ? 'TCP: "ping"' : requestBytes(one, 'id').trimEnd(),
    ...differences.map(
      ({ field, got, wanted }) => `${field}: wanted ${JSON.stringify(wanted)}, got ${JSON.stringify(got)}`,
    ),
    `Envoy:   ${sideText(envoy)}`,
    `ours:    ${sideText(ours)}`,
    `explain: ${reason} (${decidedBy?.key ?? 'no rule'})`,
  ].join('\n');
}

function sideText({ details, logged, outcome }: Side): string {
  const { body, forwarded, headers, status } = outcome;
  return JSON.stringify({ status, details, body, headers, forwarded, logged });
}
