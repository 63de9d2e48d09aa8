/** What npm publishes: the built program and nothing else, with types that a consumer can check against. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findOldNode } from './support/old-node.ts';
import { TempFolder } from './support/temp-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;

function runIn(folder: string, command: string, args: readonly string[]): string {
  const ran = spawnSync(command, args, { cwd: folder, encoding: 'utf8' });
  assert.equal(ran.status, 0, `${command} ${args.join(' ')}:\n${ran.stdout}${ran.stderr}`);
  return ran.stdout;
}

describe('the package', () => {
  const folder = new TempFolder();
  const installed = folder.join('node_modules/postern');
  let files: readonly string[] = [];

  before(() => {
    runIn(ROOT, 'npm', ['pack', '--silent', '--pack-destination', folder.path]);
    const tarball = `postern-${manifest.version}.tgz`;
    files = runIn(folder.path, 'tar', ['-tzf', tarball])
      .trim()
      .split('\n')
      .map((name) => name.replace('package/', ''));
    mkdirSync(installed, { recursive: true });
    runIn(folder.path, 'tar', ['-xzf', tarball, '-C', installed, '--strip-components=1']);
    // As an install would lay them; which platform package there is depends on the machine.
    const platform = `node-${process.platform}-${process.arch}`;
    for (const name of [...Object.keys(manifest.dependencies), platform]) {
      mkdirSync(path.dirname(folder.join('node_modules', name)), { recursive: true });
      symlinkSync(path.join(ROOT, 'node_modules', name), folder.join('node_modules', name));
    }
    folder.write('package.json', '{"type":"module"}');
  });

  after(() => {
    folder.remove();
  });

  it('holds the build, the launcher and the three documents, and nothing else', () => {
    const others = files.filter(
      (file) => !/^dist\/(?:[a-z0-9_-]+\/)*[a-z0-9_-]+(?:\.d\.ts|\.js)$/.test(file),
    );
    assert.deepEqual(others.toSorted(), [
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'package.json',
      'src/launcher.js',
    ]);
    for (const file of ['dist/main.js', 'dist/index.js', 'dist/index.d.ts'])
      assert.ok(files.includes(file), file);
  });

  it('has types that a strict consumer can check against', () => {
    folder.write(
      'consumer.ts',
      `import * as postern from 'postern';
       import type { Filter } from 'postern';
       export const create: (...options: never[]) => unknown = postern.createSidecar;
       export const filters: readonly Filter[] = [];
       // @ts-expect-error: there is no such export
       export const missing: unknown = postern.noSuchExport;`,
    );
    const options = { strict: true, noEmit: true, target: 'esnext', module: 'nodenext', types: ['node'] };
    const typeRoots = [path.join(ROOT, 'node_modules/@types')];
    folder.write(
      'tsconfig.json',
      JSON.stringify({ compilerOptions: { ...options, typeRoots }, files: ['consumer.ts'] }),
    );
    runIn(folder.path, path.join(ROOT, 'node_modules/.bin/tsc'), ['-p', '.']);
  });

  it('can be imported by its name', () => {
    folder.write('import.js', "import { createSidecar } from 'postern'; console.log(typeof createSidecar);");
    assert.equal(runIn(folder.path, process.execPath, ['import.js']), 'function\n');
  });

  for (const [what, node] of [
    ['Node 26', process.execPath],
    ['an older Node', findOldNode()],
  ] as const) {
    it(
      `tells its version by its bin on ${what}`,
      node === null ? { skip: 'no Node older than 26 is on PATH' } : {},
      () => {
        const told = runIn(folder.path, node ?? '', [path.join(installed, 'src/launcher.js'), '--version']);
        assert.match(told, new RegExp(`\\b${manifest.version.replaceAll('.', '\\.')}\\b`));
      },
    );
  }

  it('is locked without the host of any registry', () => {
    const lock = readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8');
    assert.doesNotMatch(lock, /"resolved": "http/);
    for (const name of Object.keys(manifest.optionalDependencies))
      assert.ok(lock.includes(`"node_modules/${name}"`), name);
  });
});
