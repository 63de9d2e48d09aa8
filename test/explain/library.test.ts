/** `explain` of the library: values in, the JSON shape out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { explain } from '../../src/index.ts';
import { TempFolder } from '../support/temp-folder.ts';
import { policy } from './ask.ts';

const workload = { namespace: 'foo', name: 'httpbin' };
const documents = policy(
  'allow',
  '{rules: [{from: [{source: {principals: ["cluster.local/ns/foo/sa/sleep"]}}], when: [{key: "request.headers[x-role]", values: [b]}]}]}',
);
const request = {
  from: { principal: 'cluster.local/ns/foo/sa/sleep' },
  request: { path: '/info', headers: { 'x-role': ['a', 'b'] } },
} as const;

describe('the library’s explain', () => {
  it('answers in the shape of --output json', async () => {
    const explanation = await explain({ documents, workload, request });
    assert.deepEqual(Object.keys(explanation), [
      'verdict',
      'status',
      'details',
      'path',
      'arrival',
      'steps',
      'decidedBy',
      'closest',
      'reason',
    ]);
    assert.deepEqual(explanation.decidedBy, {
      step: 'ALLOW',
      policy: 'foo/allow',
      rule: 0,
      key: 'ns[foo]-policy[allow]-rule[0]',
    });
    assert.deepEqual(JSON.parse(JSON.stringify(explanation)), explanation);
  });

  it('reads documents from files and folders', async () => {
    using folder = new TempFolder();
    const file = folder.write('mesh/policy.yaml', documents);
    for (const config of [file, folder.join('mesh'), [file]]) {
      assert.equal((await explain({ config, workload, request })).verdict, 'allow');
      assert.equal((await explain({ config, workload, request: {} })).verdict, 'deny');
    }
  });

  it('throws every reason where documents or request cannot be used', async () => {
    const bad =
      '---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a}\nspec: {acton: DENY}\n';
    await assert.rejects(explain({ documents: bad, workload, request: {} }), /did you mean "action"/);
    await assert.rejects(
      explain({ documents, workload, request: { to: { port: 0 } } }),
      /to\.port: 0 is outside 1 to 65535/,
    );
    await assert.rejects(explain({ documents, request: {} }), /workload is missing/);
    await assert.rejects(explain({ workload, request: {} }), /either config or documents/);
    await assert.rejects(
      explain({ documents, config: 'x', workload, request: {} }),
      /either config or documents/,
    );
    await assert.rejects(explain({ config: '/nowhere', workload, request: {} }), /no such file/);
  });
});
