/**
 * One stated request or connection through the steps of the sidecar, offline: arrival, head, path, CUSTOM, JWT, AUDIT,
 * DENY, ALLOW.
 */
import { ERROR_CODES } from '../core/errors.ts';
import { EdgeFieldsFilter } from '../filters/edge-fields.ts';
import { PathNormalizationFilter } from '../filters/path-normalization.ts';
import { policyConnectionOf, policyRequestOf } from '../filters/policy-facts.ts';
import { XfccFilter } from '../filters/xfcc.ts';
import type { RequestHead } from '../http/exchange.ts';
import type { ConnectionFacts, RequestContext } from '../http/filter.ts';
import { Http1RequestHead } from '../http/request-head.ts';
import { denyResponse } from '../http/respond-error.ts';
import { arrive, chainName } from './arrive.ts';
import type { Arrived } from './arrive.ts';
import { TokenStep } from './check-token.ts';
import type { ExplainRequest, StatedHttp } from './explain-request.ts';
import { explainAccess, explainCustom, StepList } from './explain-steps.ts';
import type { Ending } from './explain-steps.ts';
import type { ExplainTarget } from './explain-target.ts';
import type { Explanation, ExplanationStep } from './explanation.ts';
import { readHead } from './read-head.ts';

/** Judges it as the sidecar of this workload would. */
export async function explainExchange(target: ExplainTarget, request: ExplainRequest): Promise<Explanation> {
  const arrival = arrive(target.snapshot, target.sniOf, request);
  const { chain, plan } = arrival;
  const report = new Report(request, {
    mode: plan.mode,
    chain: chain === null ? null : chainName(chain),
    modeFrom: plan.modeFrom,
  });
  if (arrival.kind === 'turned-away') {
    const { details, reason, status } = arrival;
    return report.end({ ...DENIED, status, details, reason: `denied: ${reason}` }, []);
  }
  if (arrival.chain.kind === 'http') return explainHttp(target, request, request.http!, arrival, report);
  const steps = new StepList();
  const subject = {
    rules: target.policies.tcp,
    connection: policyConnectionOf(arrival.facts),
    request: null,
  };
  const { providers } = target.snapshot.authorization;
  const custom = explainCustom(subject, request.extAuthz, providers, steps);
  if (custom !== null) return report.end({ ...custom, status: null }, steps.finished());
  steps.add('JWT', [], 'ignored: it is not for TCP');
  return report.end(explainAccess(subject, steps), steps.finished());
}

const DENIED = { verdict: 'deny', decidedBy: null, closest: null } as const;

async function explainHttp(
  target: ExplainTarget,
  request: ExplainRequest,
  stated: StatedHttp,
  { facts }: Arrived,
  report: Report,
): Promise<Explanation> {
  const { snapshot, policies } = target;
  const head = readHead(stated, snapshot.limits);
  if (!(head instanceof Http1RequestHead)) {
    const { code, detail } = head;
    const { meaning, status } = ERROR_CODES[code];
    const reason = `denied: ${meaning} (${detail})`;
    return report.end({ ...DENIED, status, details: code, reason }, []);
  }
  const context = requestContext(head, facts);
  const tokens = new TokenStep(target, stated.jwt);
  tokens.place(context);
  for (const filter of edgeFilters(target)) {
    const verdict = filter.onRequest(context);
    // They answer in the same turn.
    if (verdict instanceof Promise || verdict.kind === 'continue') continue;
    const { details, status, why } = verdict;
    return report.end(asSeen({ ...DENIED, status, details, reason: `denied: ${why}` }, head), []);
  }
  report.normalised = withoutQuery(head.path);
  const steps = new StepList();
  const subject = (): Parameters<typeof explainCustom>[0] => ({
    rules: policies.http,
    connection: policyConnectionOf(facts),
    request: policyRequestOf(context),
  });
  const custom = explainCustom(subject(), request.extAuthz, snapshot.authorization.providers, steps);
  if (custom !== null) return report.end(asSeen(custom, head), steps.finished());
  const refused = await tokens.judge(context, steps);
  if (refused !== null) return report.end(asSeen(refused, head), steps.finished());
  return report.end(asSeen(explainAccess(subject(), steps), head), steps.finished());
}

/** With the status that the client sees: a gRPC call is always answered 200, and the refusal is its grpc-status. */
function asSeen(ending: Ending, { fields }: RequestHead): Ending {
  if (ending.status === null) return ending;
  const { details, reason, status } = ending;
  const deny = {
    kind: 'deny',
    code: 'rbac_denied',
    status,
    body: '',
    headers: [],
    details,
    why: reason,
  } as const;
  return { ...ending, status: denyResponse(deny, fields).head.status };
}

function edgeFilters({
  snapshot,
}: ExplainTarget): readonly [PathNormalizationFilter, EdgeFieldsFilter, XfccFilter] {
  const { trustDomains, workload } = snapshot;
  const ownSpiffeId = `spiffe://${trustDomains[0]}/ns/${workload.namespace}/sa/${workload.serviceAccount}`;
  return [
    new PathNormalizationFilter(snapshot.pathNormalization),
    new EdgeFieldsFilter(),
    new XfccFilter(() => ownSpiffeId),
  ];
}

function requestContext(head: RequestHead, connection: ConnectionFacts): RequestContext {
  return {
    connection,
    head,
    originalPath: head.path,
    requestId: '',
    token: null,
    readBody: () => Promise.resolve({ bytes: Buffer.alloc(0), truncated: false }),
  };
}

function withoutQuery(path: string): string {
  const query = path.indexOf('?');
  return query === -1 ? path : path.slice(0, query);
}

/** What is known of the answer before its end. */
class Report {
  normalised: string | null = null;
  readonly #received: string | null;
  readonly #arrival: Explanation['arrival'];

  constructor(request: ExplainRequest, arrival: Explanation['arrival']) {
    this.#received = request.http?.path ?? null;
    this.#arrival = arrival;
  }

  end(ending: Ending, steps: readonly ExplanationStep[]): Explanation {
    const { closest, decidedBy, details, reason, status, verdict } = ending;
    const path = { received: this.#received, normalised: this.normalised };
    return { verdict, status, details, path, arrival: this.#arrival, steps, decidedBy, closest, reason };
  }
}
