/** What a person reads: the way in order, what matched marked, and no thousand policies. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printExplanation } from '../../src/explain/print-explanation.ts';
import { ask, mode, policy, SLEEP } from './ask.ts';

describe('the text of an explanation', () => {
  it('tells arrival, path, each step with rules and fields, and the verdict last', async () => {
    const documents =
      mode('STRICT') +
      policy('allow-get', '{rules: [{to: [{operation: {methods: [GET], paths: ["/info*"]}}]}]}') +
      policy('nothing', '{}');
    const text = printExplanation(await ask(documents, `{${SLEEP}, request: {path: "/a/../admin?x"}}`));
    const lines = text.split('\n');
    assert.equal(lines[0], 'arrival  http mTLS under STRICT by PeerAuthentication foo/mode');
    assert.equal(lines[1], 'path     "/a/../admin?x" → "/admin"');
    assert.deepEqual(
      lines.filter((line) => /^[A-Z]/.test(line)).map((line) => line.split(' ')[0]),
      ['CUSTOM', 'JWT', 'AUDIT', 'DENY', 'ALLOW'],
    );
    assert.ok(text.includes('  foo/allow-get (namespace)\n    ✗ rule 0\n'));
    assert.ok(text.includes('      ✓ to[0].operation.methods: wanted "GET", got "GET"\n'));
    assert.ok(text.includes('      ✗ to[0].operation.paths: wanted "/info*", got "/admin"\n'));
    assert.ok(text.includes('  foo/nothing (namespace): no rules, matches nothing\n'));
    assert.match(
      text,
      /\ndenied: 2 ALLOW policies apply, .*got \/admin\nthe client gets 403 \(rbac_access.*\)\n$/,
    );
  });

  it('says that a connection is closed, that a rule matches everything, and what dry run says', async () => {
    const closed = printExplanation(await ask(mode('STRICT'), '{}'));
    assert.match(
      closed,
      /^arrival {2}refused under STRICT by PeerAuthentication foo\/mode\npath .*not looked at\n/,
    );
    assert.match(closed, /the client gets a closed connection \(filter_chain_not_found\)\n$/);
    const all = printExplanation(await ask(policy('all', '{rules: [{}]}'), '{}'));
    assert.ok(all.includes('    ✓ rule 0: matches everything\n'));
    assert.ok(!all.includes('the client gets'));
    const dry = printExplanation(await ask(policy('all', '{action: DENY, rules: [{}]}', true), '{}'));
    assert.match(dry, /^DENY \(dry run\) would deny: foo\/all rule 0$/m);
    assert.match(dry, /^dry run {2}would have been denied: DENY foo\/all rule 0$/m);
  });

  it('notes where a rule looks at an address that the request does not state', async () => {
    for (const [spec, where] of [
      ['{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}', 'from.ip'],
      ['{from: [{source: {notRemoteIpBlocks: [10.0.0.0/8]}}]}', 'from.ip'],
      ['{when: [{key: destination.ip, values: [10.0.0.1]}]}', 'to.ip'],
    ]) {
      const documents = policy('ip', `{action: DENY, rules: [${spec}]}`);
      const unstated = printExplanation(await ask(documents, '{}'));
      assert.ok(
        unstated.includes(`foo/ip rule 0 looks at an address that the request does not state: add ${where}`),
      );
      const stated = printExplanation(await ask(documents, '{from: {ip: 10.0.0.9}, to: {ip: 10.0.0.2}}'));
      assert.ok(!stated.includes('note '));
    }
  });

  it('shows those that matched, the closest few, and how many more there are', async () => {
    const many = Array.from({ length: 40 }, (_, index) =>
      policy(
        `p${index}`,
        `{rules: [{from: [{source: {namespaces: [n${index}]}}], to: [{operation: {paths: [/p${index}]}}]}]}`,
      ),
    ).join('');
    const near = policy(
      'near',
      '{rules: [{from: [{source: {namespaces: [foo]}}], to: [{operation: {paths: [/p]}}]}]}',
    );
    const match = policy('match', '{rules: [{to: [{operation: {paths: [/a]}}]}]}');
    const text = printExplanation(await ask(many + near + match, `{${SLEEP}, request: {path: /a}}`));
    assert.ok(text.includes('foo/match (namespace)'));
    assert.ok(text.includes('foo/near (namespace)'));
    assert.ok(text.includes('… 36 more that did not match; --output json has all'));
    assert.ok(text.split('\n').length < 60);
  });

  it('shows of a policy with many rules those that matched, and of a field the first values', async () => {
    const rules = Array.from({ length: 30 }, (_, index) => `{to: [{operation: {paths: [/p${index}]}}]}`);
    const values = Array.from({ length: 30 }, (_, index) => `/v${index}`);
    const documents = policy(
      'many',
      `{rules: [${rules.join(', ')}, {to: [{operation: {paths: [${values.join(', ')}]}}]}]}`,
    );
    const text = printExplanation(await ask(documents, 'request: {path: /v3}'));
    assert.ok(text.includes('✓ rule 30'));
    assert.ok(text.includes('… 30 more rules that did not match'));
    assert.ok(text.includes('… (22 more), got "/v3"'));
  });
});
