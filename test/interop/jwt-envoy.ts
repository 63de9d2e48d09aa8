/**
 * RequestAuthentications beside a real Envoy: rules are translated for its jwt_authn, requests with good and bad tokens
 * at all kinds of places are drawn from a seed and put to both. Same answer, and the app sees the same.
 */
import assert from 'node:assert/strict';
import type { JwtRule } from '../../src/core/jwt-plan.ts';
import { jwtFilter } from '../../src/translate/jwt-authn.ts';
import { type Echo, startEchoApp } from '../support/echo-app.ts';
import { JwtBench, type JwtBenchAnswer } from '../support/jwt-bench.ts';
import { connectRaw, type RawClient } from '../support/raw-client.ts';
import { jwtPlan } from '../support/test-tokens.ts';
import { EnvoyProcess } from './envoy-process.ts';
import { JwtDraw, RULE_SETS } from './jwt-requests.ts';
import type { DrawnRequest } from './jwt-requests.ts';
import { Rng } from './policy-rng.ts';

const TYPE = 'type.googleapis.com/envoy.extensions.filters';

/** How many cases ended how: `verified`, `no token`, `401`, `403`, `stricter`. */
export type Distribution = Readonly<Record<string, number>>;

export interface Comparison {
  readonly distribution: Distribution;
  /** Of what is not the same; tokens by name. */
  readonly differences: readonly string[];
}

export async function compareJwt(seed: number, requests: number): Promise<Comparison> {
  const draw = await JwtDraw.make(new Rng(seed));
  await using app = await startEchoApp();
  await using envoy = await EnvoyProcess.start(bootstrap(app.port));
  const clients = await Promise.all(
    RULE_SETS.map((_, index) => connectRaw({ port: envoy.ports[`set-${index}`]! })),
  );
  using _ = { [Symbol.dispose]: () => clients.forEach((client) => client[Symbol.dispose]()) };
  const benches = RULE_SETS.map((rules) => new JwtBench(jwtPlan(...rules)));
  const distribution: Record<string, number> = {};
  const differences: string[] = [];
  for (let index = 0; index < requests; index++) {
    const request = draw.request();
    const theirs = await ask(clients[request.set]!, request);
    const ours = await benches[request.set]!.send({ path: request.path, fields: request.fields });
    const { difference, kind } = compare(ours, theirs);
    distribution[kind] = (distribution[kind] ?? 0) + 1;
    if (difference !== '')
      differences.push(draw.named(`request ${index} ${describe(request)}: ${difference}`));
  }
  return { distribution, differences };
}

/** Fails on a difference, and where a kind of answer was hardly met. */
export function assertSame({ differences, distribution }: Comparison): void {
  assert.deepEqual(differences.slice(0, 5), []);
  const total = Object.values(distribution).reduce((sum, count) => sum + count, 0);
  for (const [kind, percent] of [
    ['verified', 15],
    ['no token', 3],
    ['401', 15],
    ['403', 0.1],
  ] as const) {
    assert.ok((distribution[kind] ?? 0) >= (total * percent) / 100, JSON.stringify(distribution));
  }
  assert.ok((distribution['stricter'] ?? 0) <= total / 5, JSON.stringify(distribution));
}

interface Theirs {
  readonly status: number;
  readonly body: string;
  /** null: it did not reach the app. */
  readonly echo: Echo | null;
}

async function ask(client: RawClient, { fields, path }: DrawnRequest): Promise<Theirs> {
  const lines = fields.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${fields[at + 1]}`] : []));
  const { body, status } = await client.request(
    [`GET ${path} HTTP/1.1`, 'host: httpbin.foo', ...lines, '', ''].join('\r\n'),
  );
  const text = body.toString();
  return { status, body: text, echo: status === 200 ? (JSON.parse(text) as Echo) : null };
}

function compare(
  ours: JwtBenchAnswer,
  theirs: Theirs,
): { readonly kind: string; readonly difference: string } {
  const kind = ours.status === 200 ? (ours.token === null ? 'no token' : 'verified') : String(ours.status);
  if (theirs.echo === null) {
    const isSame = ours.status === theirs.status && ours.body === theirs.body;
    const difference = isSame
      ? ''
      : `Envoy ${theirs.status} "${theirs.body}", we ${ours.status} "${ours.body}"`;
    return { kind, difference };
  }
  // A token that no rule accepts is refused wherever it stands, and the compact form is read strictly.
  if (ours.status !== 200) return { kind: 'stricter', difference: '' };
  const [seen, given] = [seenBy(theirs.echo), forwarded(ours)];
  const difference = seen === given ? '' : `the app sees behind Envoy ${seen}, behind us ${given}`;
  return { kind, difference };
}

/** Fields that a connection manager adds say nothing of tokens. */
function seenBy({ headers, target }: Echo): string {
  const fields = headers.filter(
    ([name]) => !/^(?:host|x-forwarded-proto|x-request-id|x-envoy-.*)$/.test(name),
  );
  return JSON.stringify([inOrder(target), fields.map(([name, value]) => `${name}: ${value}`).toSorted()]);
}

/** Where Envoy takes a parameter out it writes the others anew, sorted; we leave them as they were. */
function inOrder(target: string): string {
  const [path = '', query = ''] = target.replace('%73', 's').split('?');
  return `${path}?${query.split('&').toSorted().join('&')}`;
}

/** Envoy writes fields with one slot as one. */
function forwarded({ fields, path }: JwtBenchAnswer): string {
  const values = new Map<string, string>();
  const lines: string[] = [];
  for (let at = 0; at < fields.length; at += 2) {
    const [name, value] = [fields[at]!, fields[at + 1]!];
    const before = values.get(name);
    if (name === 'authorization') values.set(name, before === undefined ? value : `${before},${value}`);
    else lines.push(`${name}: ${value}`);
  }
  return JSON.stringify([
    inOrder(path),
    [...lines, ...[...values].map((field) => field.join(': '))].toSorted(),
  ]);
}

function describe({ fields, path, set }: DrawnRequest): string {
  return `rule set ${set}, ${path}, ${JSON.stringify(fields)}`;
}

function bootstrap(appPort: number): object {
  return {
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: 0 } } },
    staticResources: {
      listeners: RULE_SETS.map((rules, index) => listener(`set-${index}`, rules)),
      clusters: [
        {
          name: 'app',
          loadAssignment: {
            clusterName: 'app',
            endpoints: [{ lbEndpoints: [{ endpoint: { address: address(appPort) } }] }],
          },
        },
      ],
    },
  };
}

function listener(name: string, rules: readonly JwtRule[]): object {
  const router = {
    name: 'envoy.filters.http.router',
    typedConfig: { '@type': `${TYPE}.http.router.v3.Router` },
  };
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'app' } }];
  return {
    name,
    address: address(0),
    filterChains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typedConfig: {
              '@type': `${TYPE}.network.http_connection_manager.v3.HttpConnectionManager`,
              statPrefix: name,
              normalizePath: true,
              routeConfig: { virtualHosts: [{ name: 'app', domains: ['*'], routes }] },
              httpFilters: [jwtFilter(jwtPlan(...rules), []), router],
            },
          },
        ],
      },
    ],
  };
}

function address(portValue: number): object {
  return { socketAddress: { address: '127.0.0.1', portValue } };
}
