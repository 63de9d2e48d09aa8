/**
 * What a policy decision costs with 10 and with 10,000 policies of one kind (`npm run bench:micro -- policy`): a
 * request that one policy matches and one that none does, on a warm connection and on a new one; and what it costs
 * to compile them. Nothing is cached by request, so each decision looks its request up again.
 */
import { parseArgs } from 'node:util';
import { Bench } from 'tinybench';
import { ANY_OPERATION, ANY_SOURCE } from '../src/core/authorization-plan.ts';
import type {
  AuthorizationPlan,
  PlannedPolicy,
  PolicyOperation,
  PolicyRule,
  PolicySource,
} from '../src/core/authorization-plan.ts';
import { compilePolicies } from '../src/policy/compile-policies.ts';
import { decideAccess } from '../src/policy/decide-access.ts';
import type { ActionRules } from '../src/policy/decision.ts';
import { PolicyConnection } from '../src/policy/policy-connection.ts';
import type { PolicyConnectionFacts, PolicyRequest } from '../src/policy/policy-request.ts';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '0.3' } },
  allowPositionals: true,
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) {
  console.error(`--seconds is a number above 0, not "${values.seconds}"`);
  process.exit(2);
}

const FEW = 10;
const MANY = 10_000;
/** The policy that is met where it is always the same one: the memory it stands in is then as warm in both sets. */
const MET = 7;
/** Requests of one batch, each of its own connection. */
const REQUESTS = 64;
const ROUNDS = 6;

interface Kind {
  readonly name: string;
  rule(policy: number): Partial<PlannedRule>;
  /** Facts and request that only policy `policy` matches; null: that none does. */
  visit(policy: number | null, request: number): { facts?: Facts; request?: Partial<PolicyRequest> };
}

type Facts = Partial<PolicyConnectionFacts>;

interface PlannedRule {
  readonly from: Partial<PolicySource>;
  readonly to: Partial<PolicyOperation>;
  readonly when: { readonly key: string; readonly values: readonly string[] };
}

const ipOf = (policy: number | null): string =>
  policy === null ? '11.0.0.1' : `10.${policy >> 8}.${policy & 255}.1`;

const idOf = (policy: number | null): string =>
  policy === null ? 'none' : `n${String(policy).padStart(5, '0')}`;

const KINDS: readonly Kind[] = [
  {
    name: 'exact principal',
    rule: (policy) => ({ from: { principals: [`cluster.local/ns/foo/sa/${idOf(policy)}`] } }),
    visit: (policy) => ({ facts: { identities: [`spiffe://cluster.local/ns/foo/sa/${idOf(policy)}`] } }),
  },
  {
    name: 'exact path',
    rule: (policy) => ({ to: { paths: [`/api/v1/${idOf(policy)}/items`] } }),
    visit: (policy, request) => ({ request: { path: `/api/v1/${idOf(policy)}/items?page=${request}` } }),
  },
  {
    name: 'path prefix',
    rule: (policy) => ({ to: { paths: [`/api/v1/${idOf(policy)}/*`] } }),
    visit: (policy, request) => ({ request: { path: `/api/v1/${idOf(policy)}/items/${request}` } }),
  },
  {
    name: 'suffix principal',
    rule: (policy) => ({ from: { principals: [`*/ns/foo/sa/${idOf(policy)}`] } }),
    visit: (policy) => ({ facts: { identities: [`spiffe://cluster.local/ns/foo/sa/${idOf(policy)}`] } }),
  },
  {
    name: 'namespace',
    rule: (policy) => ({ from: { namespaces: [idOf(policy)] } }),
    visit: (policy) => ({ facts: { identities: [`spiffe://cluster.local/ns/${idOf(policy)}/sa/sleep`] } }),
  },
  {
    name: 'peer CIDR',
    rule: (policy) => ({ from: { ipBlocks: [`${ipOf(policy)}/24`] } }),
    visit: (policy) => ({ facts: { remoteIp: ipOf(policy) } }),
  },
  {
    name: 'client CIDR (X-Forwarded-For)',
    rule: (policy) => ({ from: { remoteIpBlocks: [`${ipOf(policy)}/24`] } }),
    visit: (policy, request) => ({
      request: { fields: [...FIELDS, 'x-forwarded-for', `192.168.0.${request}, ${ipOf(policy)}`] },
    }),
  },
  {
    name: 'JWT claim value',
    rule: (policy) => ({ when: { key: 'request.auth.claims[tenant]', values: [idOf(policy)] } }),
    visit: (policy) => ({ request: { token: tokenOf(idOf(policy)) } }),
  },
  {
    name: 'request principal',
    rule: (policy) => ({ from: { requestPrincipals: [`https://issuer.example/${idOf(policy)}`] } }),
    visit: (policy) => ({ request: { token: tokenOf(idOf(policy)) } }),
  },
  {
    name: 'header value',
    rule: (policy) => ({ when: { key: 'request.headers[x-tenant]', values: [idOf(policy)] } }),
    visit: (policy) => ({ request: { fields: [...FIELDS, 'x-tenant', idOf(policy)] } }),
  },
  {
    name: 'host',
    rule: (policy) => ({ to: { hosts: [`${idOf(policy)}.example.com`] } }),
    visit: (policy) => ({ request: { authority: `${idOf(policy)}.example.com` } }),
  },
  {
    name: 'path template',
    rule: (policy) => ({ to: { paths: [`/api/v1/${idOf(policy)}/{*}/items`] } }),
    visit: (policy, request) => ({ request: { path: `/api/v1/${idOf(policy)}/${request}/items` } }),
  },
  {
    name: 'method, path prefix and namespace',
    rule: (policy) => ({
      from: { namespaces: ['foo'] },
      to: { methods: ['GET'], paths: [`/api/v1/${idOf(policy)}/*`] },
    }),
    visit: (policy, request) => ({ request: { path: `/api/v1/${idOf(policy)}/items/${request}` } }),
  },
];

const FIELDS: readonly string[] = [
  'user-agent',
  'curl/8.11.1',
  'accept',
  '*/*',
  'x-forwarded-proto',
  'https',
  'x-request-id',
  '2f1c1a52-1f52-4e0a-9d2b-0e9e0d3b0a11',
  'x-forwarded-client-cert',
  'By=spiffe://cluster.local/ns/foo/sa/httpbin;Hash=0;URI=spiffe://cluster.local/ns/foo/sa/sleep',
];

function tokenOf(subject: string): PolicyRequest['token'] {
  const issuer = 'https://issuer.example';
  const payload = { iss: issuer, sub: subject, aud: ['a', 'b'], exp: 2_000_000_000, tenant: subject };
  return { issuer, subject, payload };
}

function planned(kind: Kind, policy: number): PlannedPolicy {
  const { from, to, when } = kind.rule(policy);
  const rule: PolicyRule = {
    from: from === undefined ? [] : [{ ...ANY_SOURCE, ...from }],
    to: to === undefined ? [] : [{ ...ANY_OPERATION, ...to }],
    when: when === undefined ? [] : [{ ...when, notValues: [] }],
  };
  return {
    namespace: 'foo',
    name: `p${policy}`,
    scope: 'namespace',
    action: 'ALLOW',
    provider: '',
    providerProblem: '',
    dryRun: false,
    rules: [rule],
  };
}

/** As the parser makes it: not seen before, in one piece. */
function fresh(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}

interface Visit {
  readonly facts: PolicyConnectionFacts;
  readonly connection: PolicyConnection;
  readonly request: PolicyRequest;
}

function planOf(kind: Kind, policies: number): AuthorizationPlan {
  return { policies: Array.from({ length: policies }, (_, i) => planned(kind, i)), providers: {} };
}

/** Policies all over a set, as many as there are visits. */
function spread(policies: number): number[] {
  return Array.from({ length: REQUESTS }, (_, i) => Math.floor((i * policies) / REQUESTS));
}

/** One visit to each of the policies in turn; null: to none. */
function visitsOf(kind: Kind, policies: readonly (number | null)[]): Visit[] {
  return Array.from({ length: REQUESTS }, (_, i) => {
    const met = policies[i % policies.length] ?? null;
    const { facts, request } = kind.visit(met, i);
    const whole = {
      identities: ['spiffe://cluster.local/ns/foo/sa/sleep'],
      remoteIp: '10.255.0.9',
      destinationIp: '10.255.0.2',
      destinationPort: 8000,
      sni: '',
      ...facts,
    };
    return {
      facts: whole,
      connection: new PolicyConnection(whole),
      request: {
        method: 'GET',
        framing: { bodyLength: 0, statesEmptyBody: false, acceptsTrailers: false, expectContinue: false },
        path: fresh(request?.path ?? `/index/${i}`),
        authority: fresh(request?.authority ?? 'httpbin.foo:8000'),
        fields: (request?.fields ?? FIELDS).map(fresh),
        scheme: 'https',
        token: request?.token ?? null,
      },
    };
  });
}

async function medianNs(
  name: string,
  rules: ActionRules,
  visits: readonly Visit[],
  onNew: boolean,
  met: boolean,
): Promise<number> {
  const bench = new Bench({ time: seconds * 1_000, warmupTime: 100 });
  bench.add(name, () => {
    // A batch, since one decision is about as long as reading the clock.
    for (let i = 0; i < REQUESTS; i++) {
      const visit = visits[i]!;
      const connection = onNew ? new PolicyConnection(visit.facts) : visit.connection;
      if (decideAccess(rules, connection, visit.request).allowed !== met)
        throw new Error(`${name}: wrong answer`);
    }
  });
  await bench.run();
  const [task] = bench.tasks;
  if (task === undefined || !('latency' in task.result)) throw new Error(`"${name}" did not run`);
  return (task.result.latency.p50 * 1e6) / REQUESTS;
}

const rows: Record<string, string | number>[] = [];
for (const kind of KINDS) {
  const fewRules = compilePolicies(planOf(kind, FEW), ['cluster.local']);
  const manyPlan = planOf(kind, MANY);
  const before = process.threadCpuUsage();
  const manyRules = compilePolicies(manyPlan, ['cluster.local']);
  const compiling = process.threadCpuUsage(before);
  const compileMs = (compiling.user + compiling.system) / 1_000;
  const row: Record<string, string | number> = { policies: kind.name };
  for (const { label, few, many, onNew, isMet } of [
    { label: 'one is met', few: [MET], many: [MET], onNew: false, isMet: true },
    { label: 'any is met', few: spread(FEW), many: spread(MANY), onNew: false, isMet: true },
    { label: 'none is met', few: [null], many: [null], onNew: false, isMet: false },
    { label: 'one, new connection', few: [MET], many: [MET], onNew: true, isMet: true },
  ]) {
    const fewVisits = visitsOf(kind, few);
    const manyVisits = visitsOf(kind, many);
    // In turns, and the better of each: other work on the machine is in neither.
    const costs = { few: Infinity, many: Infinity };
    for (let round = 0; round < ROUNDS; round++) {
      costs.few = Math.min(costs.few, await medianNs(kind.name, fewRules.http, fewVisits, onNew, isMet));
      costs.many = Math.min(costs.many, await medianNs(kind.name, manyRules.http, manyVisits, onNew, isMet));
    }
    row[`${label}: ns`] = `${costs.few.toFixed(0)} → ${costs.many.toFixed(0)}`;
    row[`${label}: ×`] = Number((costs.many / costs.few).toFixed(2));
  }
  row['compile 10,000: CPU ms'] = Math.round(compileMs);
  rows.push(row);
}
console.table(rows);
