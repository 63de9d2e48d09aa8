/**
 * Files of policy tests: documents, a workload, and requests with what is expected of each. Every key that is not known
 * is an error.
 */
import { CONFIG_LIMITS } from '../config/config-limits.ts';
import { describe } from '../config/field-reader.ts';
import type { FieldReader } from '../config/field-reader.ts';
import { hasErrors, ProblemList } from '../config/problem.ts';
import type { Problem } from '../config/problem.ts';
import type { Position } from '../config/resources.ts';
import { shown } from '../config/yaml-tree.ts';
import type { ExplainRequest } from './explain-request.ts';
import type { TargetWorkload } from './explain-target.ts';
import { readDocuments, readExplainRequest, REQUEST_KEYS } from './read-explain-request.ts';

export interface PolicyTestFile {
  /** As written: relative to the folder of the file. */
  readonly config: readonly string[];
  /** null: that of a postern.yaml in `config`. */
  readonly workload: TargetWorkload | null;
  readonly cases: readonly PolicyTestCase[];
}

export interface PolicyTestCase {
  readonly name: string;
  readonly position: Position;
  readonly request: ExplainRequest;
  readonly expect: Expectation;
}

/** null: not stated, and so not compared. */
export interface Expectation {
  readonly verdict: 'allow' | 'deny' | null;
  readonly status: number | null;
  /** `NAMESPACE/NAME`. */
  readonly policy: string | null;
  readonly rule: number | null;
}

export interface ReadPolicyTest {
  /** null where a problem is an error. */
  readonly test: PolicyTestFile | null;
  readonly problems: readonly Problem[];
}

const VERDICTS = ['allow', 'deny'] as const;

/** Reads one file; `file` is its name for messages. */
export function readPolicyTest(text: string, file: string): ReadPolicyTest {
  const problems = new ProblemList(CONFIG_LIMITS.maxProblems);
  const [reader, second] = readDocuments(text, file, problems);
  if (second !== undefined) {
    const fix = 'write another file for another workload';
    problems.add('error', 'not_a_document', second.position, '', 'a second document', fix);
  }
  let test: PolicyTestFile | null = null;
  if (reader !== undefined) test = readTest(reader);
  else if (problems.sorted().length === 0) {
    const place = { file, line: 1, column: 1 };
    problems.add('error', 'empty', place, '', 'no test is there', 'write config, workload and cases');
  }
  const sorted = problems.sorted();
  return { test: hasErrors(sorted) ? null : test, problems: sorted };
}

function readTest(reader: FieldReader): PolicyTestFile {
  reader.refuseUnknown(['config', 'workload', 'cases'], 'a policy test');
  const node = reader.node('config');
  const config = node?.kind === 'scalar' ? [reader.text('config') ?? ''] : reader.texts('config');
  if (config.length === 0) {
    reader.report('config', 'missing_field', 'no documents are listed', 'add config: [FILE or FOLDER]');
  }
  const cases = reader.objects('cases');
  if (cases.length === 0) {
    const fix = 'add cases: [{name: …, request: {path: /info}, expect: allow}]';
    reader.report('cases', 'missing_field', 'no case is there', fix);
  }
  return { config, workload: readWorkload(reader), cases: cases.map(readCase) };
}

function readWorkload(reader: FieldReader): TargetWorkload | null {
  const workload = reader.object('workload');
  if (workload === null) return null;
  workload.refuseUnknown(['namespace', 'name', 'serviceAccount', 'labels'], 'workload');
  const namespace = workload.text('namespace');
  const serviceAccount = workload.text('serviceAccount');
  const name = workload.text('name') ?? serviceAccount;
  const labels = workload.textMap('labels');
  if (namespace === null) {
    workload.report('namespace', 'missing_field', 'namespace is missing', 'add namespace: foo');
  }
  if (name === null) workload.report('name', 'missing_field', 'name is missing', 'add name: httpbin');
  return {
    namespace: namespace ?? '',
    name: name ?? '',
    ...(serviceAccount === null ? {} : { serviceAccount }),
    ...(labels === null ? {} : { labels }),
  };
}

function readCase(reader: FieldReader): PolicyTestCase {
  reader.refuseUnknown([...REQUEST_KEYS, 'name', 'expect'], 'a case');
  const name = reader.text('name');
  if (name === null || name === '') {
    reader.report('name', 'missing_field', 'the case has no name', 'add name: what it shows');
  }
  const { position } = reader;
  return { name: name ?? '', position, request: readExplainRequest(reader), expect: readExpect(reader) };
}

function readExpect(reader: FieldReader): Expectation {
  const nothing = { verdict: null, status: null, policy: null, rule: null };
  const node = reader.node('expect');
  if (node === null) {
    reader.report('expect', 'missing_field', 'the case expects nothing', 'add expect: allow, or deny');
    return nothing;
  }
  if (node.kind === 'scalar') return { ...nothing, verdict: reader.oneOf('expect', VERDICTS) };
  const expect = reader.object('expect');
  if (expect === null) return nothing;
  expect.refuseUnknown(['verdict', 'status', 'policy', 'rule'], 'expect');
  const policy = expect.text('policy');
  if (policy !== null && !/^[^/]+\/[^/]+$/.test(policy)) {
    expect.reportValue(
      'policy',
      'bad_value',
      `"${shown(policy)}" is not NAMESPACE/NAME`,
      'write foo/allow-get',
    );
  }
  if (!expect.names().some((name) => expect.has(name))) {
    reader.report(
      'expect',
      'missing_field',
      `${describe(node)} without a field`,
      'add verdict: allow, or deny',
    );
  }
  return {
    verdict: expect.oneOf('verdict', VERDICTS),
    status: expect.integer('status', 100, 599),
    policy,
    rule: expect.integer('rule', 0, 511),
  };
}
