/**
 * Scenario: tokens, AuthorizationPolicy, an external authorizer and dry run before bar/httpbin. Every answer is a real
 * one, and `explain` must say the same of the same request by the same documents.
 */
import type { Explanation } from '../explain/explanation.ts';
import { explain } from '../explain/explain.ts';
import type { Observation, PlannedCheck, Scenario } from './check.ts';
import type { DemoMesh } from './demo-mesh.ts';
import { type ClientName, spiffeIdOf } from './demo-names.ts';
import { statusOf } from './describe-exchange.ts';

const SERVER = 'bar/httpbin';
const HOST = 'httpbin.bar';

interface Try {
  readonly name: string;
  readonly expected: string;
  readonly from?: ClientName;
  readonly path: string;
  readonly header?: readonly [name: string, value: string];
  /** `forged`: signed by somebody else. */
  readonly token?: 'good' | 'forged';
  /** What the external authorizer says to that. */
  readonly extAuthz?: 'allow' | 'deny';
}

const TRIES: readonly Try[] = [
  {
    name: 'no token where one is due',
    path: '/private',
    expected: '403, DENY bar/require-jwt rule 0',
  },
  { name: 'with a token', path: '/private', token: 'good', expected: '200, ALLOW bar/allow-sleep rule 0' },
  {
    name: 'a token of another key',
    path: '/private',
    token: 'forged',
    expected: '401, JWT bar/tokens rule 0',
  },
  { name: 'by principal', path: '/get', expected: '200, ALLOW bar/allow-sleep rule 0' },
  {
    name: 'by namespace',
    path: '/any',
    from: 'bar/sleep',
    expected: '200, ALLOW bar/allow-same-namespace rule 0',
  },
  { name: 'neither', path: '/any', expected: '403, ALLOW no rule' },
  {
    name: 'denied by path',
    path: '/admin',
    from: 'bar/sleep',
    expected: '403, DENY bar/no-admin rule 0',
  },
  {
    name: 'that path in disguise',
    path: '/get/../%61dmin',
    from: 'bar/sleep',
    expected: '403, DENY bar/no-admin rule 0',
  },
  {
    name: 'the authorizer refuses',
    path: '/partner',
    extAuthz: 'deny',
    expected: '403, CUSTOM bar/ask rule 0',
  },
  {
    name: 'the authorizer allows',
    path: '/partner',
    header: ['x-ext-authz', 'allow'],
    extAuthz: 'allow',
    expected: '200, ALLOW bar/allow-sleep rule 0',
  },
  {
    name: 'in dry run',
    path: '/old',
    expected: '200, ALLOW bar/allow-sleep rule 0; would have been denied by bar/retire-old',
  },
];

export const policies: Scenario = {
  title: 'Policies before bar/httpbin, each answer explained',
  checks: TRIES.map((one): PlannedCheck => ({
    name: one.name,
    expected: one.expected,
    observe: (mesh) => observe(mesh, one),
  })),
};

let requests = 0;

async function observe(mesh: DemoMesh, one: Try): Promise<Observation> {
  const { from = 'foo/sleep', path } = one;
  await mesh.setPolicies();
  const requestId = `demo-policy-${++requests}`;
  const headers: Record<string, string> = { 'x-request-id': requestId };
  if (one.header !== undefined) headers[one.header[0]] = one.header[1];
  if (one.token !== undefined) {
    const issuer = one.token === 'good' ? mesh.issuer : mesh.strangeIssuer;
    headers['authorization'] = `Bearer ${await issuer.token(from)}`;
  }
  const done = await mesh.call(from, HOST, path, headers);
  const status = done.answer?.status ?? 0;
  if (status !== 200 && status !== 401 && status !== 403) return { got: statusOf(done), notes: [] };
  const explanation = await explain({
    config: mesh.folder.join('mesh'),
    workload: { namespace: 'bar', name: 'httpbin-1', serviceAccount: 'httpbin', labels: { app: 'httpbin' } },
    request: {
      to: { port: 8080 },
      from: { principal: spiffeIdOf(from) },
      request: { path, host: HOST, headers },
      ...(one.extAuthz === undefined ? {} : { extAuthz: one.extAuthz }),
    },
  });
  const logged = status === 200 ? '' : await detailsLogged(mesh, requestId);
  const dryRun = missedInDryRun(explanation);
  const notes =
    dryRun === '' || status !== 200 ? [explanation.reason] : [await dryRunLogged(mesh, requestId)];
  const agrees = explanation.status === (status === 200 ? null : status) && logged === explanation.details;
  return {
    got: `${statusOf(done)}, ${decision(explanation)}${agrees ? '' : `; the sidecar says "${logged}"`}`,
    notes,
  };
}

/** RESPONSE_CODE_DETAILS of a refusal, from the sidecar's log. */
async function detailsLogged(mesh: DemoMesh, requestId: string): Promise<string> {
  const line = await mesh.workloads[SERVER].logs.waitFor(
    `about request ${requestId}`,
    (one) => one.field('requestId') === requestId && one.field('details') !== '',
  );
  return line.field('details');
}

/** What the sidecar says of it that nobody enforced. */
async function dryRunLogged(mesh: DemoMesh, requestId: string): Promise<string> {
  const line = await mesh.workloads[SERVER].logs.waitFor(
    `of the dry run of request ${requestId}`,
    (one) => one.code === 'rbac_dry_run' && one.field('requestId') === requestId,
  );
  return `${line.message}: ${line.field('why')}`;
}

/** The policy in dry run that would have denied; '' for none. */
function missedInDryRun({ steps }: Explanation): string {
  const dryRun = steps.find(({ step }) => step === 'DENY_DRY_RUN')?.policies ?? [];
  const missed = dryRun.find(({ rules }) => rules.some(({ matched }) => matched));
  return missed === undefined ? '' : `${missed.namespace}/${missed.name}`;
}

function decision(explanation: Explanation): string {
  const { closest, decidedBy } = explanation;
  const dryRun = missedInDryRun(explanation);
  const would = dryRun === '' ? '' : `; would have been denied by ${dryRun}`;
  if (decidedBy === null) return `${closest === null ? 'nothing decides' : 'ALLOW no rule'}${would}`;
  return `${decidedBy.step} ${decidedBy.policy} rule ${decidedBy.rule}${would}`;
}
