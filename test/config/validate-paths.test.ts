import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { validatePaths } from '../../src/config/validate-paths.ts';

const FILES: Readonly<Record<string, string>> = {
  'peer.yaml':
    'apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {mtls: {mode: STRICT}}\n',
  'postern.yaml':
    'workload: {namespace: foo, serviceAccount: a}\nidentity: {files: {certificateChain: c, privateKey: k, trustBundle: r}}\nconfig: [./mesh]\nadmin: {prot: 1}\n',
  'agent.yaml':
    'workload: {namespace: foo, serviceAccount: a}\nsocket: {path: a.sock}\nca: {address: "127.0.0.1:15012", root: r.pem}\ntoken: {fil: t}\n',
  'ca.yaml': 'listen: {bind: 127.0.0.1, port: 15012}\ntrustDomain: cluster.local\nroot: {selfSigned: {}}\n',
  'good-ca.yaml': 'root: {selfSigned: {}}\ntokens: [{development: {publicKey: k.pub}}]\n',
  'mesh.yaml': 'meshConfig: {trustDomain: td}\n',
  'broken.yaml': 'a: [\n',
};

describe('validate', () => {
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'postern-validate-'));
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
  });
  after(() => rmSync(folder, { recursive: true }));

  const codes = (...paths: string[]): string[] =>
    validatePaths(paths, folder).problems.map(
      ({ severity, code, file, line, column }) => `${severity} ${code} ${basename(file)}:${line}:${column}`,
    );

  it('tells the kinds of files apart by content', () => {
    assert.deepEqual(codes('peer.yaml'), []);
    assert.deepEqual(codes('mesh.yaml'), []);
    assert.deepEqual(codes('postern.yaml'), ['error unknown_field postern.yaml:4:9']);
    assert.deepEqual(codes('agent.yaml'), ['error unknown_field agent.yaml:4:9']);
    assert.deepEqual(codes('ca.yaml'), ['error missing_field ca.yaml:1:1']);
    assert.deepEqual(codes('good-ca.yaml'), []);
    assert.deepEqual(codes('broken.yaml'), ['error syntax broken.yaml:2:1']);
  });

  it('takes a folder of all of them, and gives the documents', () => {
    assert.deepEqual(codes('.').toSorted(), [
      'error missing_field ca.yaml:1:1',
      'error syntax broken.yaml:2:1',
      'error unknown_field agent.yaml:4:9',
      'error unknown_field postern.yaml:4:9',
    ]);
    const { resources } = validatePaths(['.'], folder).documents;
    assert.deepEqual([resources.peerAuthentications.length, resources.meshConfig.trustDomain], [1, 'td']);
  });

  it('says of a path that is not there that it is not', () => {
    assert.deepEqual(codes('none.yaml'), ['error unreadable none.yaml:1:1']);
  });
});
