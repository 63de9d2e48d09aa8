/** Requests through the steps: head, path, CUSTOM, AUDIT, DENY, ALLOW and dry run, each with what it says. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Explanation } from '../../src/explain/explanation.ts';
import { ask, mode, policy, SLEEP, stepOf } from './ask.ts';

const ALLOW_GET = policy(
  'allow-get',
  '{rules: [{from: [{source: {namespaces: [foo]}}], to: [{operation: {methods: [GET], paths: ["/info*"]}}]}]}',
);
const ALLOW_ADMIN = policy('allow-admin', '{rules: [{from: [{source: {principals: ["*/sa/admin"]}}]}]}');
const DENY_HIDDEN = policy(
  'deny-hidden',
  '{action: DENY, rules: [{to: [{operation: {paths: ["/hidden"]}}]}]}',
);

const outcomes = ({ steps }: Explanation): string[] => steps.map(({ outcome, step }) => `${step} ${outcome}`);

function custom(provider: string, path: string, dryRun = false): string {
  return policy(
    `ask-${provider}`,
    `{action: CUSTOM, provider: {name: ${provider}}, rules: [{to: [{operation: {paths: ["${path}"]}}]}]}`,
    dryRun,
  );
}

describe('the head of a request', () => {
  for (const [request, status, details] of [
    ['{method: "G T"}', 400, /^bad_/],
    ['{method: ""}', 400, /^bad_/],
    ['{method: "GE\\r\\nX: y"}', 400, /^bad_method$/],
    ['{path: "/a b"}', 400, /^bad_/],
    ['{path: "/a HTTP/1.1\\r\\nx: y\\r\\n"}', 400, /^bad_target$/],
    ['{path: "a"}', 400, /^bad_target$/],
    ['{path: "/\\u00e9"}', 400, /^bad_/],
    ['{host: "a b"}', 400, /^bad_host$/],
    ['{host: "a,b"}', 400, /^bad_host$/],
    ['{host: "a\\r\\nx: y"}', 400, /^bad_host$/],
    ['{headers: {"a b": c}}', 400, /^bad_header_name$/],
    ['{headers: {"a:b": c}}', 400, /^bad_header_name$/],
    ['{headers: {a: "x\\ny: z"}}', 400, /^bad_header_value$/],
    ['{headers: {a: "\\u0001"}}', 400, /^bad_header_value$/],
    ['{headers: {Content-Length: "+1"}}', 400, /^bad_content_length$/],
    ['{headers: {transfer-encoding: gzip}}', 400, /^bad_transfer_encoding$/],
    ['{headers: {connection: upgrade, upgrade: websocket}}', 403, /^upgrade_refused$/],
    ['{path: "http://other/"}', 400, /^host_mismatch$/],
  ] as const) {
    it(`is refused by the codec for ${request}`, async () => {
      const explanation = await ask('', `request: ${request}`);
      assert.deepEqual([explanation.verdict, explanation.status], ['deny', status]);
      assert.match(explanation.details, details);
      assert.match(explanation.reason, /^denied: /);
      assert.deepEqual([explanation.steps, explanation.decidedBy], [[], null]);
      assert.equal(explanation.arrival.chain, 'http plaintext');
    });
  }

  it('is 431 with too many fields', async () => {
    const many = Array.from({ length: 200 }, (_, index) => `h${index}: x`).join(', ');
    const { details, status } = await ask('', `request: {headers: {${many}}}`);
    assert.deepEqual([status, details], [431, 'too_many_headers']);
  });

  it('is judged as the codec leaves it: names in lower case, hop-by-hop fields gone, ours added', async () => {
    const documents = policy(
      'headers',
      '{rules: [{when: [{key: "request.headers[x-a]", values: [one]}, {key: "request.headers[keep-alive]", values: ["*"]}, {key: "request.headers[x-forwarded-proto]", values: [http]}, {key: "request.headers[x-forwarded-client-cert]", values: ["*"]}, {key: "request.headers[x-envoy-a]", values: ["*"]}]}]}',
    );
    const request =
      'request: {headers: {X-A: [zero, one], keep-alive: "timeout=5", x-forwarded-client-cert: "By=a", x-envoy-a: b}}';
    const traces = stepOf(await ask(documents, request), 'ALLOW').policies[0]?.rules[0]?.fields;
    assert.deepEqual(
      traces?.map(({ field, matched }) => [field.slice(field.indexOf('.') + 1), matched]),
      [
        ['request.headers[x-a]', true],
        ['request.headers[keep-alive]', false],
        ['request.headers[x-forwarded-proto]', true],
        ['request.headers[x-forwarded-client-cert]', false],
        ['request.headers[x-envoy-a]', false],
      ],
    );
  });
});

describe('the path', () => {
  const MERGE = '---\nmeshConfig: {pathNormalization: {normalization: DECODE_AND_MERGE_SLASHES}}\n';

  for (const [documents, received, normalised] of [
    ['', '/a/../b?c=/../d', '/b'],
    ['', '/%61%2fb', '/a%2fb'],
    ['', '/plain', '/plain'],
    ['', '/a#b', '/a'],
    [MERGE, '/a//b%2F%2Fc', '/a/b/c'],
  ] as const) {
    it(`${received} is judged as ${normalised}`, async () => {
      const { path } = await ask(documents, `request: {path: ${JSON.stringify(received)}}`);
      assert.deepEqual(path, { received, normalised });
    });
  }

  it('is 400 where it cannot be normalised', async () => {
    const explanation = await ask('', 'request: {path: /a%00}');
    assert.deepEqual(
      [explanation.verdict, explanation.status, explanation.details, explanation.path.normalised],
      ['deny', 400, 'path_normalization_failed', null],
    );
  });
});

describe('AUDIT, DENY and ALLOW', () => {
  it('let everything through where no policy applies', async () => {
    const explanation = await ask('', '{}');
    assert.deepEqual(
      [explanation.verdict, explanation.status, explanation.details, explanation.decidedBy],
      ['allow', null, '', null],
    );
    assert.deepEqual(outcomes(explanation), [
      'CUSTOM no policy',
      'JWT no policy',
      'AUDIT no policy',
      'DENY no policy',
      'ALLOW no policy',
    ]);
    assert.equal(explanation.reason, 'allowed: no ALLOW policy applies');
  });

  it('allow by a rule', async () => {
    const explanation = await ask(ALLOW_ADMIN + ALLOW_GET, `{${SLEEP}, request: {path: /info/x}}`);
    assert.equal(explanation.verdict, 'allow');
    assert.deepEqual(explanation.decidedBy, {
      step: 'ALLOW',
      policy: 'foo/allow-get',
      rule: 0,
      key: 'ns[foo]-policy[allow-get]-rule[0]',
    });
    assert.equal(explanation.closest, null);
    assert.match(explanation.reason, /^allowed by ALLOW foo\/allow-get rule 0: /);
  });

  it('deny where no rule matched, with the closest one and what it missed on', async () => {
    const explanation = await ask(ALLOW_ADMIN + ALLOW_GET, `{${SLEEP}, request: {path: /admin}}`);
    assert.deepEqual(
      [explanation.verdict, explanation.status, explanation.details, explanation.decidedBy],
      ['deny', 403, 'rbac_access_denied_matched_policy[none]', null],
    );
    assert.deepEqual(explanation.closest, {
      policy: 'foo/allow-get',
      rule: 0,
      key: 'ns[foo]-policy[allow-get]-rule[0]',
      field: 'to[0].operation.paths',
      wanted: ['/info*'],
      got: ['/admin'],
    });
    assert.equal(
      explanation.reason,
      'denied: 2 ALLOW policies apply, no rule matched; closest: foo/allow-get rule 0, missed on paths: wanted /info*, got /admin',
    );
    const { policies } = stepOf(explanation, 'ALLOW');
    assert.deepEqual(
      policies.map(({ key, scope }) => [key, scope]),
      [
        ['ns[foo]-policy[allow-admin]', 'namespace'],
        ['ns[foo]-policy[allow-get]', 'namespace'],
      ],
    );
    assert.deepEqual(
      policies[1]?.rules[0]?.fields.map(({ field, matched }) => [field, matched]),
      [
        ['from[0].source.namespaces', true],
        ['to[0].operation.methods', true],
        ['to[0].operation.paths', false],
      ],
    );
  });

  it('deny by a rule, and then ask no ALLOW policy', async () => {
    const explanation = await ask(DENY_HIDDEN + ALLOW_GET, `{${SLEEP}, request: {path: /a/../hidden}}`);
    assert.deepEqual(explanation.decidedBy, {
      step: 'DENY',
      policy: 'foo/deny-hidden',
      rule: 0,
      key: 'ns[foo]-policy[deny-hidden]-rule[0]',
    });
    assert.equal(
      explanation.details,
      'rbac_access_denied_matched_policy[ns[foo]-policy[deny-hidden]-rule[0]]',
    );
    assert.equal(
      explanation.reason,
      'denied by DENY foo/deny-hidden rule 0: paths wanted /hidden, got /hidden',
    );
    assert.deepEqual(stepOf(explanation, 'ALLOW'), { step: 'ALLOW', policies: [], outcome: 'not reached' });
  });

  it('answer a gRPC call with 200, as the wire does', async () => {
    const headers = 'headers: {content-type: application/grpc+proto}';
    const explanation = await ask(ALLOW_GET, `request: {method: POST, path: /pkg.Svc/Do, ${headers}}`);
    assert.deepEqual(
      [explanation.verdict, explanation.status, explanation.details],
      ['deny', 200, 'rbac_access_denied_matched_policy[none]'],
    );
  });

  it('tell an ALLOW policy without rules', async () => {
    const explanation = await ask(policy('deny-all', '{}'), '{}');
    assert.equal(explanation.reason, 'denied: 1 ALLOW policy applies, and it has no rule that could match');
    assert.equal(explanation.closest, null);
    assert.deepEqual(stepOf(explanation, 'ALLOW').policies[0]?.rules, []);
  });

  it('note what AUDIT matches, and decide nothing by it', async () => {
    const audit = policy('audit', '{action: AUDIT, rules: [{}]}');
    const explanation = await ask(audit + ALLOW_GET, '{}');
    assert.equal(stepOf(explanation, 'AUDIT').outcome, 'audit: foo/audit rule 0');
    assert.equal(explanation.verdict, 'deny');
    assert.equal(stepOf(await ask(audit, '{}'), 'ALLOW').outcome, 'no policy');
  });
});

describe('dry run', () => {
  it('shows what would have been, and decides nothing', async () => {
    const documents =
      policy('deny-dry', '{action: DENY, rules: [{to: [{operation: {paths: ["/info"]}}]}]}', true) +
      ALLOW_GET;
    const explanation = await ask(documents, `{${SLEEP}, request: {path: /info}}`);
    assert.equal(explanation.verdict, 'allow');
    assert.equal(stepOf(explanation, 'DENY').outcome, 'no policy');
    const dry = stepOf(explanation, 'DENY_DRY_RUN');
    assert.equal(dry.outcome, 'would deny: foo/deny-dry rule 0');
    assert.equal(dry.policies[0]?.key, 'ns[foo]-policy[deny-dry]');
    assert.equal(stepOf(explanation, 'DRY_RUN').outcome, 'would have been denied: DENY foo/deny-dry rule 0');
  });

  it('shows ALLOW policies in dry run that would deny, and those that would allow', async () => {
    const documents = policy('allow-dry', '{rules: [{to: [{operation: {paths: ["/info"]}}]}]}', true);
    const other = await ask(documents, 'request: {path: /other}');
    assert.equal(other.verdict, 'allow');
    assert.equal(stepOf(other, 'ALLOW').outcome, 'no policy');
    assert.equal(stepOf(other, 'ALLOW_DRY_RUN').outcome, 'would deny: no rule matched');
    assert.equal(stepOf(other, 'DRY_RUN').outcome, 'would have been denied: no ALLOW rule matched');
    const info = await ask(documents, 'request: {path: /info}');
    assert.equal(stepOf(info, 'ALLOW_DRY_RUN').outcome, 'would allow: foo/allow-dry rule 0');
    assert.match(stepOf(info, 'DRY_RUN').outcome, /^would have been allowed, as enforced/);
  });
});

describe('CUSTOM', () => {
  const MESH = `---
meshConfig:
  extensionProviders:
    - {name: closed, envoyExtAuthzGrpc: {service: opa.foo.svc.cluster.local, port: 9191, statusOnError: "503"}}
    - {name: open, envoyExtAuthzGrpc: {service: opa.foo.svc.cluster.local, port: 9191, failOpen: true}}
---
apiVersion: v1
kind: Service
metadata: {name: opa, namespace: foo}
spec: {ports: [{name: tcp, port: 9191}]}
`;
  const CLOSED = MESH + custom('closed', '/api/*');

  it('is undecided where nothing says what the provider answers', async () => {
    const explanation = await ask(CLOSED, 'request: {path: /api/x}');
    assert.deepEqual(
      [explanation.verdict, explanation.status, explanation.decidedBy],
      ['undecided', null, null],
    );
    assert.match(
      explanation.reason,
      /^undecided: CUSTOM foo\/ask-closed rule 0.*add extAuthz: \{closed: allow\}/,
    );
    assert.equal(stepOf(explanation, 'DENY').outcome, 'not reached');
  });

  it('asks nobody where no rule matches', async () => {
    const explanation = await ask(CLOSED, 'request: {path: /other}');
    assert.equal(explanation.verdict, 'allow');
    assert.equal(stepOf(explanation, 'CUSTOM').outcome, 'no match');
  });

  it('goes on after an allow, and DENY still denies', async () => {
    assert.equal((await ask(CLOSED, '{request: {path: /api/x}, extAuthz: allow}')).verdict, 'allow');
    const both = CLOSED + policy('deny', '{action: DENY, rules: [{}]}');
    const explanation = await ask(both, '{request: {path: /api/x}, extAuthz: allow}');
    assert.equal(explanation.decidedBy?.step, 'DENY');
  });

  it('denies as the provider does', async () => {
    const explanation = await ask(CLOSED, '{request: {path: /api/x}, extAuthz: {closed: deny}}');
    assert.deepEqual(
      [explanation.verdict, explanation.status, explanation.details],
      ['deny', 403, 'ext_authz_denied'],
    );
    assert.deepEqual(explanation.decidedBy, {
      step: 'CUSTOM',
      policy: 'foo/ask-closed',
      rule: 0,
      key: 'istio-ext-authz-closed-ns[foo]-policy[ask-closed]-rule[0]',
    });
  });

  it('cannot ask an HTTP provider of a TCP connection, whatever the file states', async () => {
    const documents = `${policy('ask', '{action: CUSTOM, provider: {name: h}, rules: [{}]}')}---
meshConfig: {extensionProviders: [{name: h, envoyExtAuthzHttp: {service: h.foo.svc.cluster.local, port: 80}}]}
---
apiVersion: v1
kind: Service
metadata: {name: h, namespace: foo}
spec: {ports: [{name: http, port: 80}]}
`;
    const stated = '{tcp: true, to: {port: 5555}, extAuthz: allow}';
    const closed = await ask(documents, stated);
    assert.deepEqual([closed.verdict, closed.details], ['deny', 'ext_authz_error']);
    assert.match(closed.reason, /provider "h" is an HTTP provider and cannot judge a TCP connection/);
    const open = await ask(documents.replace('port: 80}', 'port: 80, failOpen: true}'), stated);
    assert.equal(open.verdict, 'allow');
  });

  it('answers a failure of the provider by failOpen and statusOnError', async () => {
    const closed = await ask(CLOSED, '{request: {path: /api/x}, extAuthz: error}');
    assert.deepEqual([closed.verdict, closed.status, closed.details], ['deny', 503, 'ext_authz_error']);
    const open = await ask(MESH + custom('open', '/api/*'), '{request: {path: /api/x}, extAuthz: error}');
    assert.equal(open.verdict, 'allow');
    assert.match(stepOf(open, 'CUSTOM').outcome, /failOpen is true/);
  });

  it('asks every provider whose rules match, in their order', async () => {
    const both = MESH + custom('closed', '/api/*') + custom('open', '/api/*');
    const answer = async (extAuthz: string): Promise<Explanation> =>
      ask(both, `{request: {path: /api/x}, extAuthz: ${extAuthz}}`);
    assert.equal((await answer('{closed: allow, open: allow}')).verdict, 'allow');
    assert.equal((await answer('{closed: allow, open: deny}')).decidedBy?.policy, 'foo/ask-open');
    assert.equal((await answer('{closed: allow}')).verdict, 'undecided');
    assert.equal((await answer('{closed: deny}')).decidedBy?.policy, 'foo/ask-closed');
  });

  it('denies what it matches where the provider cannot be asked', async () => {
    const explanation = await ask(custom('nobody', '/api/*'), '{request: {path: /api/x}, extAuthz: allow}');
    assert.deepEqual([explanation.verdict, explanation.status], ['deny', 403]);
    assert.equal(
      explanation.details,
      'rbac_access_denied_matched_policy[istio-ext-authz-nobody-ns[foo]-policy[ask-nobody]-rule[0]-deny-due-to-bad-CUSTOM-action]',
    );
    assert.match(explanation.reason, /provider "nobody" cannot be asked/);
    assert.equal((await ask(custom('nobody', '/api/*'), '{}')).verdict, 'allow');
  });

  it('in dry run says that it would ask, and asks nobody', async () => {
    const explanation = await ask(MESH + custom('closed', '/api/*', true), 'request: {path: /api/x}');
    assert.equal(explanation.verdict, 'allow');
    assert.match(stepOf(explanation, 'CUSTOM_DRY_RUN').outcome, /^would ask: provider "closed"/);
  });
});

describe('a TCP connection', () => {
  const TCP = '{tcp: true, from: {principal: cluster.local/ns/foo/sa/sleep}}';

  it('is judged by the rules for TCP: an ALLOW rule with HTTP fields is none', async () => {
    const explanation = await ask(ALLOW_GET, TCP);
    assert.deepEqual(
      [explanation.verdict, explanation.status, explanation.details],
      ['deny', null, 'rbac_access_denied_matched_policy[none]'],
    );
    assert.deepEqual(explanation.path, { received: null, normalised: null });
    assert.match(stepOf(explanation, 'JWT').outcome, /^ignored/);
  });

  it('is allowed and denied by identity', async () => {
    const allow = policy('allow', '{rules: [{from: [{source: {namespaces: [foo]}}]}]}');
    assert.equal((await ask(allow, TCP)).decidedBy?.policy, 'foo/allow');
    assert.equal((await ask(allow, 'tcp: true')).verdict, 'deny');
    const deny = policy('deny', '{action: DENY, rules: [{from: [{source: {namespaces: [foo]}}]}]}');
    const denied = await ask(deny, TCP);
    assert.deepEqual([denied.status, denied.decidedBy?.step], [null, 'DENY']);
  });

  it('of a request on a TCP port meets the rules for TCP', async () => {
    const documents = `${mode('PERMISSIVE')}---
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {selector: {app: httpbin}, ports: [{name: tcp, port: 80}]}
`;
    const explanation = await ask(documents + ALLOW_GET, `{${SLEEP}, request: {path: /info}}`);
    assert.equal(explanation.arrival.chain, 'tcp mTLS');
    assert.equal(explanation.verdict, 'deny');
    assert.deepEqual(explanation.path, { received: '/info', normalised: null });
  });
});

describe('addresses', () => {
  const IPS = policy(
    'ips',
    '{rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}], when: [{key: destination.ip, values: [10.9.9.9]}]}]}',
  );

  it('are those that the request states, and match nothing where it does not', async () => {
    assert.equal((await ask(IPS, '{from: {ip: 10.1.1.1}, to: {ip: 10.9.9.9}}')).verdict, 'allow');
    assert.equal((await ask(IPS, '{from: {ip: 10.1.1.1}}')).verdict, 'deny');
    assert.equal((await ask(IPS, '{to: {ip: 10.9.9.9}}')).verdict, 'deny');
  });
});
