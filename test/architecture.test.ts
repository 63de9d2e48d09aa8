/** The rooms of `src` keep to their table, and the checker finds what it is there to find. */
import assert from 'node:assert/strict';
import { existsSync, globSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { findFaults, roomOf, type SourceTree } from './support/architecture.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const SRC = path.join(ROOT, 'src');

function readTree(): SourceTree {
  const files = globSync('**/*.ts', { cwd: SRC }).map((file) => file.replaceAll(path.sep, '/'));
  return new Map(files.map((file) => [file, readFileSync(path.join(SRC, file), 'utf8')]));
}

const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

describe('architecture', () => {
  const tree = readTree();

  it('keeps every file of src to the table of rooms and the rules of the house', () => {
    assert.ok(tree.size > 50, `only ${tree.size} files were found`);
    assert.deepEqual(findFaults(tree, Object.keys(manifest.dependencies)), []);
  });

  it('gives every room a README of at most 60 lines', () => {
    const rooms = new Set([...tree.keys()].filter((file) => file.includes('/')).map(roomOf));
    const faults = [...rooms].flatMap((room) => {
      const readme = path.join(SRC, room, 'README.md');
      if (!existsSync(readme)) return [`src/${room}/README.md is missing`];
      const lines = readFileSync(readme, 'utf8').trimEnd().split('\n').length;
      return lines > 60 ? [`src/${room}/README.md has ${lines} lines`] : [];
    });
    assert.deepEqual(faults, []);
  });
});

describe('architecture checker', () => {
  const planted: readonly (readonly [what: string, file: string, text: string, fault: RegExp])[] = [
    ['a wrong edge', 'tls/a.ts', "import { b } from '../intercept/b.ts';", /tls must not import intercept/],
    [
      'a wrong edge of types',
      'tls/a.ts',
      "import type { B } from '../intercept/b.ts';",
      /tls must not import intercept/,
    ],
    [
      'a wrong edge over lines',
      'tls/a.ts',
      "import {\n  b,\n  c,\n} from '../intercept/b.ts';",
      /must not import intercept/,
    ],
    [
      'a wrong re-export',
      'tls/a.ts',
      "export { b } from '../intercept/b.ts';",
      /tls must not import intercept/,
    ],
    [
      'a wrong star export',
      'tls/a.ts',
      "export * from '../intercept/b.ts';",
      /tls must not import intercept/,
    ],
    [
      'a wrong dynamic import',
      'tls/a.ts',
      "const b = await import('../intercept/b.ts');",
      /must not import intercept/,
    ],
    ['a wrong import type', 'tls/a.ts', "let b: import('../intercept/b.ts').B;", /must not import intercept/],
    [
      'a wrong worker',
      'tls/a.ts',
      "new Worker(new URL('../intercept/b.ts', import.meta.url));",
      /must not import/,
    ],
    [
      'a side effect of another room',
      'core/a.ts',
      "import '../intercept/b.ts';",
      /core must not import intercept/,
    ],
    [
      'identity in the data path',
      'sidecar.ts',
      "import { s } from './identity/s.ts';",
      /reaches the control half: sidecar.ts → identity\/s.ts/,
    ],
    [
      'the admin server in the data path',
      'http/a.ts',
      "import { s } from '../observe/admin-server.ts';",
      /reaches the control half/,
    ],
    [
      'the watcher behind another file',
      'sidecar.ts',
      "import { s } from './config/reads.ts';",
      /sidecar.ts → config\/reads.ts → config\/watch-config.ts/,
    ],
    [
      'a private file of another room',
      'tls/a.ts',
      "import { p } from '../core/_private.ts';",
      /is private to core/,
    ],
    ['a file that does not exist', 'tls/a.ts', "import { p } from '../core/gone.ts';", /does not exist/],
    ['a file outside src', 'tls/a.ts', "import { p } from '../../test/p.ts';", /outside src/],
    ['an unknown room', 'helper/a.ts', '', /not in the table of rooms/],
    [
      'a room that imports a map',
      'tls/a.ts',
      "import { m } from '../messages.ts';",
      /tls must not import MAPS/,
    ],
    [
      'the control half behind another map',
      'sidecar.ts',
      "import { m } from './reads.ts';",
      /→ reads.ts → control.ts/,
    ],
    [
      'the control half from main.ts',
      'main.ts',
      "import { c } from './control.ts';",
      /main.ts must not import MAPS/,
    ],
    ['a development package', 'core/a.ts', "import fc from 'fast-check';", /not among the dependencies/],
    ['a built-in without its prefix', 'core/a.ts', "import fs from 'fs';", /not among the dependencies/],
    ['@peculiar/x509 outside identity', 'svid/a.ts', "import * as x from '@peculiar/x509';", /only identity/],
    ['a module by computed name', 'core/a.ts', 'await import(name);', /computed name/],
    ['require', 'http/a.ts', "createRequire(import.meta.url)('node:http');", /past the import table/],
    ['getBuiltinModule', 'http/a.ts', "process.getBuiltinModule('http');", /past the import table/],
    [
      'a built-in by call',
      'http/a.ts',
      "process.getBuiltinModule('node:http');",
      /must not import "node:http"/,
    ],
    ['fetch', 'upstream/a.ts', "await fetch('http://h/');", /calls fetch/],
    ['an enum', 'core/a.ts', 'export const enum E { a }', /has an enum/],
    ['a namespace', 'core/a.ts', 'namespace N {}', /has a namespace/],
    ['a decorator', 'core/a.ts', '@injectable()\nclass A {}', /has a decorator/],
    [
      'a parameter property',
      'core/a.ts',
      'class A { constructor(private readonly b: string) {} }',
      /parameter property/,
    ],
    ['a long file', 'core/a.ts', '\n'.repeat(401), /401 lines, more than 400/],
    ['a file named for nothing', 'core/utils.ts', '', /"utils" says nothing/],
    ['camelCase', 'core/myFile.ts', '', /not kebab-case/],
    ...[
      'node:http',
      'node:https',
      'node:http2',
      'http',
      'http-proxy',
      'undici',
      'llhttp',
      '_http_common',
      'http-parser-js',
    ].flatMap((name) =>
      ['intercept', 'tls', 'http', 'upstream'].map(
        (room) =>
          [`${name} in ${room}`, `${room}/a.ts`, `import x from '${name}';`, /must not import "/] as const,
      ),
    ),
  ];
  const clean = new Map([
    ['core/c.ts', 'export const c = 1;\n'],
    ['core/_private.ts', "import { c } from './c.ts';\nexport const p = c;\n"],
    ['intercept/b.ts', "import net from 'node:net';\nimport { c } from '../core/c.ts';\n"],
    ['identity/s.ts', "import * as x509 from '@peculiar/x509';\n"],
    ['observe/admin-server.ts', "import http from 'node:http';\n"],
    ['config/watch-config.ts', ''],
    ['config/reads.ts', "import { w } from './watch-config.ts';\n"],
    ['sidecar.ts', "import { b } from './intercept/b.ts';\n"],
    ['messages.ts', "import type { C } from './core/c.ts';\n"],
    ['reads.ts', "import { c } from './control.ts';\n"],
    ['control.ts', "import { s } from './sidecar.ts';\nimport { a } from './observe/admin-server.ts';\n"],
  ]);
  const packages = ['@peculiar/x509', 'undici', 'yaml'];

  it('finds nothing in a tree that keeps the rules', () => {
    assert.deepEqual(findFaults(clean, packages), []);
  });

  for (const [what, file, text, fault] of planted) {
    it(`finds ${what}`, () => {
      const faults = findFaults(new Map([...clean, [file, text]]), packages);
      assert.equal(faults.length, 1, faults.join('\n'));
      assert.match(faults[0] ?? '', fault);
      assert.ok(faults[0]?.startsWith(`${file}: `));
    });
  }
});
