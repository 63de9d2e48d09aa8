import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, relative } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { CONFIG_LIMITS } from '../../src/config/config-limits.ts';
import { loadDocuments } from '../../src/config/documents.ts';
import type { LoadedDocuments } from '../../src/config/documents.ts';

const pa = (name: string): string =>
  `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: ${name}}\n`;

const load = (...paths: string[]): LoadedDocuments =>
  loadDocuments(paths.map((path) => ({ path, namespace: 'default' })));
const names = (loaded: LoadedDocuments): string[] =>
  loaded.resources.peerAuthentications.map(({ name }) => name);
const codes = (loaded: LoadedDocuments): string[] =>
  loaded.problems.map(
    ({ severity, code, file, line, column }) => `${severity} ${code} ${basename(file)}:${line}:${column}`,
  );

describe('files and folders of documents', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'postern-documents-'));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const write = (name: string, content: string | Uint8Array): string => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };
  it('reads yaml, yml and json of a folder by the bytes of their paths, and nothing else', () => {
    write('b.yml', pa('b'));
    write('a.yaml', `${pa('a1')}---\n${pa('a2')}`);
    write('é.yaml', pa('e'));
    write(
      'Z.json',
      JSON.stringify({
        apiVersion: 'security.istio.io/v1',
        kind: 'PeerAuthentication',
        metadata: { name: 'z' },
      }),
    );
    write('.hidden.yaml', 'not: [valid');
    write('notes.txt', 'not: [valid');
    write('a.yaml~', 'not: [valid');
    const loaded = load(folder);
    assert.deepEqual(loaded.problems, []);
    assert.deepEqual(names(loaded), ['z', 'a1', 'a2', 'b', 'e']);
    assert.deepEqual(
      loaded.files.map((file) => relative(folder, file)),
      ['Z.json', 'a.yaml', 'b.yml', 'é.yaml'],
    );
  });

  it('reads the links of a Kubernetes volume once', () => {
    mkdirSync(join(folder, '..2026'));
    writeFileSync(join(folder, '..2026', 'a.yaml'), pa('a'));
    symlinkSync('..2026', join(folder, '..data'));
    symlinkSync('..data/a.yaml', join(folder, 'a.yaml'));
    const loaded = load(folder);
    assert.deepEqual(loaded.problems, []);
    assert.deepEqual(names(loaded), ['a']);
  });

  it('warns of a folder inside a folder and of a folder without documents', () => {
    mkdirSync(join(folder, 'inner'));
    writeFileSync(join(folder, 'inner', 'a.yaml'), pa('a'));
    assert.deepEqual(codes(load(folder)), [
      `warning ignored_kind ${basename(folder)}:1:1`,
      `warning empty ${basename(folder)}:1:1`,
    ]);
  });

  it('reads a file that is listed twice once, but not for two namespaces', () => {
    const file = write('a.yaml', pa('a'));
    assert.deepEqual(load(folder, file, file).problems, []);
    const loaded = loadDocuments([
      { path: file, namespace: 'one' },
      { path: file, namespace: 'two', position: { file: 'postern.yaml', line: 7, column: 3 } },
    ]);
    assert.deepEqual(codes(loaded), ['error conflict postern.yaml:7:3']);
  });

  it('says what is not there or cannot be read, at the line that names it', () => {
    const position = { file: 'postern.yaml', line: 7, column: 3 };
    const loaded = loadDocuments([{ path: join(folder, 'none'), namespace: 'default', position }]);
    assert.deepEqual(codes(loaded), ['error unreadable postern.yaml:7:3']);
    symlinkSync('nowhere', join(folder, 'dangling.yaml'));
    assert.deepEqual(codes(load(folder)), [`error unreadable ${basename(folder)}:1:1`]);
  });

  it('refuses what is not a regular file without waiting for it', () => {
    assert.deepEqual(codes(load('/dev/zero')), ['error unreadable zero:1:1']);
  });

  it('refuses a file past the limit without reading it whole', () => {
    const file = write('big.yaml', '');
    truncateSync(file, CONFIG_LIMITS.maxFileBytes + 1);
    assert.deepEqual(codes(load(folder)), ['error too_large big.yaml:1:1']);
  });

  it('refuses bytes that are not UTF-8 at their place, and takes a replacement character that is one', () => {
    write('a.yaml', Buffer.concat([Buffer.from(`${pa('a')}# caf`), Buffer.from([0xe9]), Buffer.from('\n')]));
    write('b.yaml', `${pa('b')}# \uFFFD\n`);
    const loaded = load(folder);
    assert.deepEqual(codes(loaded), ['error not_utf8 a.yaml:4:6']);
    assert.deepEqual(names(loaded), ['b']);
  });

  it('skips a postern.yaml that stands beside the documents, and says so', () => {
    write('a.yaml', pa('a'));
    write('postern.yaml', 'workload: {namespace: foo}\nconfig: [.]\n');
    const loaded = load(folder);
    assert.deepEqual(codes(loaded), ['info skipped_kinds postern.yaml:1:1']);
    assert.deepEqual(names(loaded), ['a']);
  });

  it('bounds the problems that it keeps and still says that there were more', () => {
    const fields = Array.from({ length: 2_000 }, (_, i) => `  wrong${i}: 1`).join('\n');
    write('a.yaml', `${pa('a')}spec:\n${fields}\n`);
    const loaded = load(folder);
    assert.equal(loaded.problems.length, CONFIG_LIMITS.maxProblems + 1);
    assert.equal(loaded.problems.at(-1)?.message, '1000 more problems are not shown');
  });
});
