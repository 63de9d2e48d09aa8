import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CONFIG_LIMITS } from '../../src/config/config-limits.ts';
import { parseYaml } from '../../src/config/yaml-tree.ts';
import type { TreeNode } from '../../src/config/yaml-tree.ts';

function plain(node: TreeNode | undefined): unknown {
  if (node === undefined) return undefined;
  if (node.kind === 'scalar') return node.value;
  if (node.kind === 'list') return node.items.map(plain);
  return Object.fromEntries([...node.entries].map(([key, entry]) => [key, plain(entry.node)]));
}

describe('YAML tree', () => {
  const good: [string, string, unknown[]][] = [
    ['one document', 'a: 1\n', [{ a: 1 }]],
    ['several, empty ones left out', '# c\n---\na: 1\n---\n---\nb: x # c\n...\n', [{ a: 1 }, { b: 'x' }]],
    ['nothing', '', []],
    ['comments only', '# nothing\n\n', []],
    ['JSON with tabs', '{\n\t"a": [1,\n\t\t"x\\u0041"]\n}\n', [{ a: [1, 'xA'] }]],
    ['a byte order mark', '\uFEFFa: 1\n', [{ a: 1 }]],
    ['CR LF', 'a: 1\r\nb: 2\r\n', [{ a: 1, b: 2 }]],
    ['anchors', 'a: &x {k: v}\nb: *x\n', [{ a: { k: 'v' }, b: { k: 'v' } }]],
    ['an anchor set again', 'a: &x 1\nb: *x\nc: &x 2\nd: *x\n', [{ a: 1, b: 1, c: 2, d: 2 }]],
    ['merge keys', 'd: &d {k: 1, l: 2}\ne:\n  <<: *d\n  k: 3\n', [{ d: { k: 1, l: 2 }, e: { k: 3, l: 2 } }]],
    ['several merges, the earlier wins', 'x: {<<: [{a: 1}, {a: 2, b: 3}]}\n', [{ x: { a: 1, b: 3 } }]],
    ['keys that are numbers', '8080: a\ntrue: b\n', [{ 8080: 'a', true: 'b' }]],
    ['words that YAML 1.1 took for booleans', 'a: yes\nb: on\n', [{ a: 'yes', b: 'on' }]],
    ['times as text', 'a: 2026-01-31T12:00:00Z\n', [{ a: '2026-01-31T12:00:00Z' }]],
    ['the tags of JSON', 'a: !!str 1\n', [{ a: '1' }]],
  ];
  for (const [name, text, expected] of good) {
    it(`reads ${name}`, () => {
      const parsed = parseYaml(text);
      assert.deepEqual(parsed.problems, []);
      assert.deepEqual(parsed.documents.map(plain), expected);
    });
  }

  const bad: [string, string, string, string][] = [
    ['a tab for indentation', 'a:\n\tb: 1\n', 'syntax', '2:1'],
    ['a bracket that is not closed', 'a: [1,\n', 'syntax', '2:1'],
    ['a key that stands twice', 'a: 1\nb: 2\na: 3\n', 'duplicate_key', '3:1'],
    ['one port as number and as text', '8080: 1\n"8080": 2\n', 'duplicate_key', '2:1'],
    ['__proto__', 'a:\n  __proto__: {x: 1}\n', 'bad_key', '2:3'],
    ['__proto__ in JSON', '{"a": {"__proto__": 1}}', 'bad_key', '1:8'],
    ['a key that is a list', '? [a, b]\n: 1\n', 'bad_key', '1:3'],
    ['a key that is a mapping', '{{a: 1}: 2}\n', 'bad_key', '1:2'],
    ['an empty key', ': 1\n', 'bad_key', '1:1'],
    ['an alias without anchor', 'a: *x\n', 'syntax', '1:4'],
    ['an alias as a key', 'a: &x k\n*x : 1\n', 'bad_key', '2:1'],
    ['an alias within its own anchor', 'a: &x [*x]\n', 'syntax', '1:8'],
    ['a merge of something else', 'a: {<<: 1}\n', 'syntax', '1:9'],
    ['a tag of another language', 'a: !!js/function x\n', 'syntax', '1:4'],
    ['a tag of YAML 1.1', 'a: !!binary aGk=\n', 'syntax', '1:13'],
  ];
  for (const [name, text, code, place] of bad) {
    it(`refuses ${name} with its place`, () => {
      const parsed = parseYaml(text);
      const [first] = parsed.problems;
      assert.ok(first !== undefined);
      const { line, column } = parsed.lineColumn(first.offset);
      assert.deepEqual([first.code, `${line}:${column}`], [code, place]);
      assert.deepEqual(parsed.documents, []);
    });
  }

  it('keeps the documents beside one that has a problem', () => {
    const parsed = parseYaml('a: 1\n---\nb: 1\nb: 2\n---\nc: 3\n');
    assert.deepEqual(parsed.documents.map(plain), [{ a: 1 }, { c: 3 }]);
    assert.equal(parsed.problems.length, 1);
  });

  it('refuses an alias bomb without expanding it', () => {
    const lines = ['a0: &a0 [x,x,x,x,x,x,x,x,x,x]'];
    for (let i = 1; i < 12; i += 1)
      lines.push(
        `a${i}: &a${i} [${Array(10)
          .fill(`*a${i - 1}`)
          .join(',')}]`,
      );
    const parsed = parseYaml(lines.join('\n'));
    assert.equal(parsed.problems[0]?.code, 'too_large');
    assert.deepEqual(parsed.documents, []);
  });

  it('counts nesting through aliases', () => {
    const lines = ['a0: &a0 [x]'];
    for (let i = 1; i < 100; i += 1) lines.push(`a${i}: &a${i} [*a${i - 1}]`);
    assert.equal(parseYaml(lines.join('\n')).problems[0]?.code, 'too_large');
  });

  it('refuses nesting past the limit, in flow and in block style', () => {
    for (const depth of [CONFIG_LIMITS.maxDepth + 2, 5_000, 50_000]) {
      assert.ok(parseYaml('['.repeat(depth) + ']'.repeat(depth)).problems.length > 0);
    }
    const block = Array.from({ length: 300 }, (_, i) => `${' '.repeat(i)}a:`).join('\n');
    assert.ok(parseYaml(block).problems.length > 0);
  });
});
