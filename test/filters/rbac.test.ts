import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ExplanationBudget } from '../../src/filters/explanation-budget.ts';
import { policyConnectionOf, policyRequestOf } from '../../src/filters/policy-facts.ts';
import { denyOpenConnection } from '../../src/filters/rbac-denial.ts';
import { RbacFilter } from '../../src/filters/rbac.ts';
import type { RequestContext, Verdict } from '../../src/http/filter.ts';
import type { Log, LogFields } from '../../src/observe/log.ts';
import { RbacCounters } from '../../src/observe/policy-counters.ts';
import type { ActionRules, MatchedRule, PolicyTrace, RuleSet } from '../../src/policy/decision.ts';
import { connectionFacts } from '../support/connection-facts.ts';

const NOTHING: ActionRules = {
  custom: [],
  customShadow: [],
  audit: null,
  deny: null,
  denyShadow: null,
  allow: null,
  allowShadow: null,
};

/** Rules that match or not, whatever comes. */
class FixedRules implements RuleSet {
  readonly action: RuleSet['action'];
  readonly size: number;
  explained = 0;
  readonly #name: string | null;

  constructor(action: RuleSet['action'], matching: string | null, size = 1) {
    this.action = action;
    this.size = size;
    this.#name = matching;
  }

  match(): MatchedRule | null {
    const name = this.#name;
    return name === null ? null : { key: `ns[foo]-policy[${name}]-rule[0]`, namespace: 'foo', name, rule: 0 };
  }

  explain(): readonly PolicyTrace[] {
    this.explained++;
    const name = this.#name ?? 'closest';
    const fields = [
      { field: 'to[0].operation.paths', wanted: ['/info*'], got: ['/admin'], matched: this.#name !== null },
    ];
    const rules = [{ index: 0, matched: this.#name !== null, fields }];
    return [{ key: `ns[foo]-policy[${name}]`, namespace: 'foo', name, scope: 'namespace', rules }];
  }
}

type Line = readonly [level: string, code: string, message: string, fields: LogFields];

class Recorded implements Log {
  debugEnabled = false;
  readonly lines: Line[] = [];
  error(code: string, fields: LogFields, message: string): void {
    this.lines.push(['error', code, message, fields]);
  }
  warn(code: string, fields: LogFields, message: string): void {
    this.lines.push(['warn', code, message, fields]);
  }
  info(code: string, fields: LogFields, message: string): void {
    this.lines.push(['info', code, message, fields]);
  }
  debug(code: string, fields: LogFields, message: string): void {
    this.lines.push(['debug', code, message, fields]);
  }
}

const FACTS = connectionFacts({
  sni: 'A.Example',
  peer: {
    spiffeId: 'spiffe://td/ns/foo/sa/a',
    trustDomain: 'td',
    namespace: 'foo',
    serviceAccount: 'a',
    dnsNames: ['a.foo', 'b.foo'],
    subject: 'CN=a',
    hash: '',
    serial: '',
    notAfterMs: 0,
  },
});

const REQUEST: RequestContext = {
  connection: FACTS,
  head: {
    method: 'GET',
    rawTarget: '/x/../admin?access_token=t',
    path: '/admin?access_token=t',
    authority: 'httpbin.foo:8080',
    version: '1.1',
    fields: ['x-a', 'b'],
    bodyLength: 0,
    statesEmptyBody: false,
    expectContinue: false,
    acceptsTrailers: false,
  },
  originalPath: '/x/../admin?access_token=t',
  requestId: 'id',
  token: null,
  whenGone: null,
  readBody: () => Promise.reject(new Error('not asked for here')),
};

interface Run {
  readonly verdict: Verdict;
  readonly counters: RbacCounters;
  readonly log: Recorded;
}

function run(rules: Partial<ActionRules>, debug = false, protocol: 'http' | 'tcp' = 'http'): Run {
  const log = new Recorded();
  log.debugEnabled = debug;
  const counters = { http: new RbacCounters(), tcp: new RbacCounters() };
  const judged: ActionRules = { ...NOTHING, ...rules };
  const filter = new RbacFilter({
    policies: { http: NOTHING, tcp: NOTHING, [protocol]: judged },
    counters,
    log,
    budgets: { denials: new ExplanationBudget(), dryRuns: new ExplanationBudget() },
  });
  const verdict = protocol === 'http' ? filter.onRequest(REQUEST) : filter.onConnection(FACTS);
  return { verdict, counters: counters[protocol], log };
}

/** Those that are not 0. */
function counted(counters: RbacCounters): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).filter(([, value]) => value !== 0));
}

const hit = (action: RuleSet['action'], name: string): RuleSet => new FixedRules(action, name);
const miss = (action: RuleSet['action']): RuleSet => new FixedRules(action, null);
const key = (name: string): string => `ns[foo]-policy[${name}]-rule[0]`;

describe('the RBAC filter', () => {
  for (const [title, rules, allowed, details, counts] of [
    ['nothing applies', {}, true, '', {}],
    ['DENY misses', { deny: miss('DENY') }, true, '', { allowed: 1 }],
    ['DENY matches', { deny: hit('DENY', 'd'), allow: hit('ALLOW', 'a') }, false, key('d'), { denied: 1 }],
    [
      'DENY misses, ALLOW matches',
      { deny: miss('DENY'), allow: hit('ALLOW', 'a') },
      true,
      '',
      { allowed: 2 },
    ],
    [
      'DENY misses, ALLOW misses',
      { deny: miss('DENY'), allow: miss('ALLOW') },
      false,
      'none',
      { allowed: 1, denied: 1 },
    ],
    [
      'AUDIT passes as any filter does',
      { audit: hit('AUDIT', 'u'), allow: miss('ALLOW') },
      false,
      'none',
      { allowed: 1, denied: 1 },
    ],
    [
      'dry-run DENY matches',
      { denyShadow: hit('DENY', 'd') },
      true,
      '',
      { dryRunDenyShadowDenied: 1, dryRunWouldDeny: 1 },
    ],
    [
      'dry-run ALLOW misses',
      { allowShadow: miss('ALLOW') },
      true,
      '',
      { dryRunAllowShadowDenied: 1, dryRunWouldDeny: 1 },
    ],
    [
      'dry-run DENY misses and ALLOW matches',
      { denyShadow: miss('DENY'), allowShadow: hit('ALLOW', 'a') },
      true,
      '',
      { dryRunDenyShadowAllowed: 1, dryRunAllowShadowAllowed: 1, dryRunWouldAllow: 1 },
    ],
    [
      'dry-run ALLOW misses beside an ALLOW that matches: nothing would change',
      { allow: hit('ALLOW', 'a'), allowShadow: miss('ALLOW') },
      true,
      '',
      { allowed: 1, dryRunAllowShadowDenied: 1, dryRunWouldAllow: 1 },
    ],
    [
      'dry-run ALLOW matches what ALLOW misses: it would be let in',
      { allow: miss('ALLOW'), allowShadow: hit('ALLOW', 'a') },
      false,
      'none',
      { denied: 1, dryRunAllowShadowAllowed: 1, dryRunWouldAllow: 1 },
    ],
    [
      'dry-run DENY misses beside an ALLOW that misses',
      { allow: miss('ALLOW'), denyShadow: miss('DENY') },
      false,
      'none',
      { denied: 1, dryRunDenyShadowAllowed: 1, dryRunWouldDeny: 1 },
    ],
    [
      'dry-run ALLOW matches what DENY matches: DENY stays',
      { deny: hit('DENY', 'd'), allowShadow: hit('ALLOW', 'a') },
      false,
      key('d'),
      { denied: 1, dryRunWouldDeny: 1 },
    ],
  ] as const) {
    for (const protocol of ['http', 'tcp'] as const) {
      it(`${title} (${protocol}): ${allowed ? 'goes on' : 'denies'}`, () => {
        const { verdict, counters } = run(rules, false, protocol);
        assert.equal(verdict.kind, allowed ? 'continue' : 'deny');
        assert.deepEqual(counted(counters), counts);
        if (verdict.kind !== 'deny') return;
        assert.equal(verdict.code, 'rbac_denied');
        assert.equal(verdict.status, 403);
        assert.equal(verdict.body, 'RBAC: access denied');
        assert.deepEqual(verdict.headers, []);
        assert.equal(verdict.details, `rbac_access_denied_matched_policy[${details}]`);
      });
    }
  }

  it('writes white space of a name as underscores in the details', () => {
    const { verdict } = run({ deny: hit('DENY', 'a b\tc') });
    assert.ok(verdict.kind === 'deny');
    assert.equal(verdict.details, 'rbac_access_denied_matched_policy[ns[foo]-policy[a_b_c]-rule[0]]');
  });

  it('does not count ALLOW in dry run for what DENY stopped: Envoy’s filter never saw it', () => {
    const { counters } = run({ deny: hit('DENY', 'd'), allowShadow: miss('ALLOW') });
    assert.equal(counters.dryRunAllowShadowDenied, 0);
    assert.equal(counters.denied, 1);
  });

  it('evaluates CUSTOM in dry run, counts and says it, and asks nobody', () => {
    const customShadow = [
      { provider: 'opa', problem: '', rules: hit('CUSTOM', 'c') },
      { provider: 'other', problem: 'no such provider', rules: miss('CUSTOM') },
    ];
    const { verdict, counters, log } = run({ customShadow }, true);
    assert.equal(verdict.kind, 'continue');
    assert.deepEqual(counted(counters), { extAuthzShadowAllowed: 1, extAuthzShadowDenied: 1 });
    assert.deepEqual(
      log.lines.map(([level, code, message]) => [level, code, message]),
      [
        [
          'debug',
          'rbac_custom_dry_run',
          `shadow denied, matched policy ${key('c')}: provider opa would have been asked`,
        ],
        ['debug', 'rbac_custom_dry_run', 'shadow allowed, matched policy none'],
      ],
    );
  });

  it('says dry run at info level where it differs, at debug level where it agrees, without the query', () => {
    const differs = run({ denyShadow: hit('DENY', 'd') });
    assert.deepEqual(
      differs.log.lines.map(([level, code, message]) => [level, code, message]),
      [['info', 'rbac_dry_run', 'Dry run: would have been denied']],
    );
    const [, , , fields] = differs.log.lines[0]!;
    assert.deepEqual(fields, {
      connection: 1,
      remote: '10.0.0.9',
      port: 8080,
      peer: 'spiffe://td/ns/foo/sa/a',
      requestId: 'id',
      method: 'GET',
      path: '/admin',
      host: 'httpbin.foo:8080',
      enforced: 'allowed',
      policy: key('d'),
      why: 'DENY foo/d rule 0: paths wanted /info*, got /admin',
    });
    const agrees = { denyShadow: miss('DENY') };
    assert.deepEqual(run(agrees).log.lines, []);
    const said = run(agrees, true).log.lines.map(([level, code, message]) => [level, code, message]);
    assert.deepEqual(said.at(-1), ['debug', 'rbac_dry_run', 'Dry run: would have been allowed']);
  });

  it('says nothing per request while debug is off', () => {
    const { log } = run({ audit: hit('AUDIT', 'u'), deny: miss('DENY'), allow: hit('ALLOW', 'a') });
    assert.deepEqual(log.lines, []);
  });

  it('explains a flood of denials within its budget, and names the policy all the same', () => {
    const deny = new FixedRules('DENY', 'd');
    const allow = new FixedRules('ALLOW', null);
    for (const [rules, set, expected] of [
      [{ deny }, deny, 'denied by DENY foo/d rule 0'],
      [
        { allow },
        allow,
        'denied: none of 1 ALLOW rules matched; not explained, for there are too many denials',
      ],
    ] as const) {
      const filter = new RbacFilter({
        policies: { http: { ...NOTHING, ...rules }, tcp: NOTHING },
        counters: { http: new RbacCounters(), tcp: new RbacCounters() },
        log: new Recorded(),
        budgets: { denials: new ExplanationBudget(() => 0), dryRuns: new ExplanationBudget(() => 0) },
      });
      let last = '';
      for (let time = 0; time < 1_000; time++) {
        const verdict = filter.onRequest(REQUEST);
        if (verdict.kind === 'deny') last = verdict.why;
      }
      assert.equal(set.explained, 100);
      assert.equal(last, expected);
    }
  });

  it('does not look for the closest of very many rules', () => {
    const allow = new FixedRules('ALLOW', null, 10_000);
    const { verdict } = run({ allow });
    assert.ok(verdict.kind === 'deny');
    assert.equal(
      verdict.why,
      'denied: none of 10000 ALLOW rules matched; which came closest is not looked for among so many',
    );
    assert.equal(allow.explained, 0);
  });
});

describe('an open TCP connection under new rules', () => {
  it('is ended by what denies it, and by a CUSTOM rule only if its provider cannot be asked', () => {
    const opa = { provider: 'opa', problem: '', rules: hit('CUSTOM', 'c') };
    const nobody = { provider: 'nobody', problem: 'no such provider', rules: hit('CUSTOM', 'n') };
    for (const [rules, details] of [
      [{}, null],
      [{ deny: miss('DENY'), allow: hit('ALLOW', 'a') }, null],
      [{ denyShadow: hit('DENY', 'd'), customShadow: [nobody] }, null],
      [{ custom: [opa] }, null],
      [{ deny: hit('DENY', 'd') }, key('d')],
      [{ allow: miss('ALLOW') }, 'none'],
      [{ custom: [opa, nobody] }, key('n')],
    ] as const) {
      const denial = denyOpenConnection({ ...NOTHING, ...rules }, FACTS);
      const expected = details === null ? undefined : `rbac_access_denied_matched_policy[${details}]`;
      assert.equal(denial?.details, expected);
    }
  });
});

describe('what policies are shown', () => {
  it('of a connection: what the peer proved in Envoy’s order, once for its life', () => {
    const connection = policyConnectionOf(FACTS);
    assert.deepEqual(connection.facts, {
      identities: ['spiffe://td/ns/foo/sa/a', 'a.foo', 'b.foo', 'CN=a'],
      remoteIp: '10.0.0.9',
      destinationIp: '10.0.0.2',
      destinationPort: 8080,
      sni: 'a.example',
    });
    assert.equal(policyConnectionOf(FACTS), connection);
    const unnamed = { ...FACTS, peer: { ...FACTS.peer!, subject: '', dnsNames: [] } };
    assert.deepEqual(policyConnectionOf(unnamed).facts.identities, ['spiffe://td/ns/foo/sa/a']);
    assert.deepEqual(policyConnectionOf({ ...FACTS, peer: null }).facts.identities, []);
  });

  it('of a request: the head as it is at that time', () => {
    assert.deepEqual(
      { ...policyRequestOf(REQUEST) },
      {
        method: 'GET',
        path: '/admin?access_token=t',
        authority: 'httpbin.foo:8080',
        fields: ['x-a', 'b'],
        framing: REQUEST.head,
        scheme: 'https',
        token: null,
      },
    );
    const plain = { ...REQUEST, connection: { ...FACTS, tls: false, peer: null } };
    assert.equal(policyRequestOf(plain).scheme, 'http');
  });
});
