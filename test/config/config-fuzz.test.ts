import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { loadDocumentText } from '../../src/config/documents.ts';
import { parseDuration } from '../../src/config/duration.ts';
import { formatProblem } from '../../src/config/problem.ts';
import { parsePosternConfig } from '../../src/config/postern-config.ts';
import { CONFIG_KEYS, environmentName } from '../../src/config/config-keys.ts';

/** Raised for a long run by hand: `POSTERN_FUZZ_RUNS=50000 node --test test/config/config-fuzz.test.ts`. */
const RUNS = Number(process.env['POSTERN_FUZZ_RUNS'] ?? 500);

const WORDS = (
  'apiVersion kind metadata spec items name namespace labels selector matchLabels mtls mode portLevelMtls ports port ' +
  'targetPort meshConfig data mesh trustDomain creationTimestamp workload identity files config intercept limits ' +
  '__proto__ constructor toString << 8080'
).split(' ');
const TEXTS = (
  'security.istio.io/v1 security.istio.io/v1beta1 networking.istio.io/v1 v1 PeerAuthentication Service List ConfigMap ' +
  'MeshConfig Sidecar STRICT foo ['
).split(' ');
const VALUES = [...TEXTS, '', 'trustDomain: x\na: [', 8080, -1, 1.5, true, null];
/** Pieces that YAML gives a meaning to. */
const PIECES = [
  ...WORDS,
  '- ',
  ': ',
  '\n',
  '  ',
  '    ',
  '\t',
  '"',
  "'",
  '|',
  '>-',
  '&a ',
  '*a',
  '<<: ',
  '{',
  '}',
  '[',
  ']',
  ',',
  '#',
  '---\n',
  '...\n',
  '%YAML 1.1\n',
  '!!str ',
  '!x ',
  '?',
  '\r\n',
  '\u0000',
  '\uFEFF',
  'é',
  '\u{1F600}',
];

/** Nested mappings and lists of the words that documents are made of. */
const tree = fc.letrec((tie) => ({
  node: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(...VALUES),
    fc.array(tie('node'), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom(...WORDS), tie('node'), { maxKeys: 6, noNullPrototype: true }),
  ),
})).node;
const document = fc.record(
  {
    apiVersion: fc.constantFrom(
      'security.istio.io/v1',
      'v1',
      'networking.istio.io/v1',
      'install.istio.io/v1alpha1',
    ),
    kind: fc.constantFrom(
      'PeerAuthentication',
      'Service',
      'List',
      'ConfigMap',
      'MeshConfig',
      'DestinationRule',
      'IstioOperator',
    ),
    metadata: fc.oneof(fc.constant({ name: 'a' }), tree),
    spec: tree,
    data: tree,
    items: tree,
  },
  { requiredKeys: ['apiVersion', 'kind'] },
);

const yamlText = fc.array(fc.constantFrom(...PIECES), { maxLength: 60 }).map((parts) => parts.join(''));

function load(text: string): void {
  const { problems } = loadDocumentText(text, 'fuzz.yaml');
  const lines = text.split('\n').length;
  for (const problem of problems) {
    assert.ok(problem.line >= 1 && problem.line <= lines + 1 && problem.column >= 1, formatProblem(problem));
    assert.ok(!formatProblem(problem).includes('\n'));
  }
  parsePosternConfig(text, { file: '/a/postern.yaml', environment: {}, workingDirectory: '/' });
}

describe('whatever a file holds', () => {
  it('ends in a value or a problem with a place: documents of random shape', () => {
    fc.assert(
      fc.property(document, (value) => load(JSON.stringify(value, null, 1))),
      { numRuns: RUNS },
    );
  });

  it('ends in a value or a problem with a place: pieces of YAML', () => {
    fc.assert(fc.property(yamlText, load), { numRuns: 2 * RUNS });
  });

  it('ends in a value or a problem with a place: any bytes as text', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => load(Buffer.from(bytes).toString('latin1'))),
      {
        numRuns: RUNS,
      },
    );
  });

  it('ends in a value or a problem: any environment', () => {
    const variables = CONFIG_KEYS.flatMap((key) => environmentName(key) ?? []);
    const environment = fc.dictionary(fc.oneof(fc.constantFrom(...variables), fc.string()), fc.string());
    fc.assert(
      fc.property(environment, (values) => {
        parsePosternConfig('', { file: '/a/postern.yaml', environment: values, workingDirectory: '/' });
      }),
      { numRuns: RUNS },
    );
  });

  it('never leaves a mark on the prototype of objects', () => {
    load('{"__proto__": {"polluted": 1}, "workload": {"labels": {"__proto__": "x", "constructor": "y"}}}');
    assert.equal(Reflect.get({}, 'polluted'), undefined);
  });

  it('reads a duration in bounded time', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('0', '9', '.', 'h', 'm', 's', 'ms'), maxLength: 100 }),
        (text) => {
          const ms = parseDuration(text);
          assert.ok(ms === null || (Number.isSafeInteger(ms) && ms >= 0));
        },
      ),
      { numRuns: 2 * RUNS },
    );
  });
});
