/**
 * Differences between Envoy and us that are meant: each is a row of `docs/differences.md`, and holds for exactly the
 * cases that the row is about.
 */
import type { Explanation } from '../../src/explain/explanation.ts';
import type { HttpRequest } from './policy-requests.ts';
import type { JudgedCase } from './policy-world.ts';

export interface AllowedDifference {
  /** The first cell of the row. */
  readonly row: string;
  readonly holds: (judged: JudgedCase, explanation: Explanation) => boolean;
}

export const ALLOWED_DIFFERENCES: readonly AllowedDifference[] = [
  {
    row: 'A request without a body that says no length, other than GET, HEAD and DELETE',
    holds: (judged) => sameIf(judged, withoutAddedLength(judged), forwardedOf(judged)),
  },
  {
    row: 'A repeated field that Envoy keeps in one slot (`x-forwarded-for`, `user-agent`, `authorization`)',
    holds: (judged) => sameIf(judged, withoutAddedLength(judged), joined(forwardedOf(judged))),
  },
  {
    row: '`Host: a,b`, an empty Host, user-info in Host',
    holds: ({ one, ours }) => one.kind === 'http' && /^:\d*$/.test(one.host) && ours.outcome.status === 400,
  },
  {
    row: 'The query once a token was cut out of it',
    holds: (judged) => {
      const [theirs, our] = [judged.envoy.outcome.forwarded, judged.ours.outcome.forwarded];
      const { one } = judged;
      if (one.kind !== 'http' || !/[?&]\w+=eyJ/.test(one.target)) return false;
      const [lineAtEnvoy = '', lineAtUs = ''] = [theirs[0], our[0]];
      const isRewritten =
        !lineAtEnvoy.includes('=eyJ') && !lineAtUs.includes('=eyJ') && lineAtUs.includes('?');
      const samePath = lineAtEnvoy.split(/[ ?]/)[1] === lineAtUs.split(/[ ?]/)[1];
      return (
        isRewritten && samePath && sameIf(judged, withoutAddedLength(judged).slice(1), joined(our).slice(1))
      );
    },
  },
  {
    row: 'An answer of the proxy itself that has no body, to a HEAD',
    holds: ({ envoy, one, ours }) =>
      one.kind === 'http' &&
      one.method === 'HEAD' &&
      envoy.details === ours.details &&
      envoy.details !== 'via_upstream' &&
      envoy.outcome.headers.includes(CHUNKED) &&
      JSON.stringify(envoy.outcome.headers.filter((field) => field !== CHUNKED)) ===
        JSON.stringify(ours.outcome.headers),
  },
  {
    row: '`hosts` in DENY, CUSTOM and AUDIT',
    holds: ({ one }, explanation) =>
      one.kind === 'http' &&
      (one.host.includes(':') || one.host.endsWith('.')) &&
      caughtMore(explanation, /\.operation\.hosts$|\.request\.headers\[host\]$/i),
  },
  {
    row: 'A repeated header in DENY and CUSTOM',
    holds: ({ one }, explanation) =>
      one.kind === 'http' &&
      repeatedNames(one).size > 0 &&
      caughtMore(explanation, /\.request\.headers\[[^\]]*\]$/),
  },
];

const CHUNKED = 'transfer-encoding: chunked';
const LENGTH_0 = 'content-length: 0';
const ONE_SLOT = new Set(['x-forwarded-for', 'user-agent', 'authorization', 'accept']);

const forwardedOf = ({ ours }: JudgedCase): readonly string[] => ours.outcome.forwarded;

/** Everything but what was forwarded is the same, and that is once it is `wanted` and `got`. */
function sameIf(
  { envoy, one, ours }: JudgedCase,
  wanted: readonly string[],
  got: readonly string[],
): boolean {
  return (
    one.kind === 'http' &&
    envoy.outcome.status === ours.outcome.status &&
    envoy.details === ours.details &&
    envoy.outcome.body === ours.outcome.body &&
    JSON.stringify(envoy.outcome.headers) === JSON.stringify(ours.outcome.headers) &&
    JSON.stringify(wanted) === JSON.stringify(got)
  );
}

function withoutAddedLength({ envoy, one }: JudgedCase): readonly string[] {
  const adds = one.kind === 'http' && !['GET', 'HEAD', 'DELETE'].includes(one.method);
  return adds ? envoy.outcome.forwarded.filter((field) => field !== LENGTH_0) : envoy.outcome.forwarded;
}

/** Copies of a field of one slot as one; empty ones leave no comma. */
function joined(fields: readonly string[]): readonly string[] {
  const copies = Map.groupBy(fields, (field) => field.split(':', 1)[0]!);
  return [...copies].flatMap(([name, list]) => {
    if (list.length === 1 || !ONE_SLOT.has(name)) return list;
    const values = list.map((field) => field.slice(name.length + 2)).filter((value) => value !== '');
    return [`${name}: ${values.join(',')}`];
  });
}

function repeatedNames({ headers }: HttpRequest): ReadonlySet<string> {
  const names = headers.map(([name]) => name.toLowerCase());
  return new Set(names.filter((name, at) => names.indexOf(name) !== at));
}

/** Whether a rule of CUSTOM, DENY or AUDIT matched, one of whose clauses that held is of this name. */
function caughtMore({ steps }: Explanation, name: RegExp): boolean {
  return steps
    .filter(({ step }) => /^(?:CUSTOM|DENY|AUDIT)/.test(step))
    .flatMap(({ policies }) => policies.flatMap(({ rules }) => rules))
    .some(({ fields, matched }) => matched && fields.some((each) => each.matched && name.test(each.field)));
}
