/**
 * README and docs say what the program does, in both directions. `UPDATE_DOCS=1` writes the README's generated tables
 * anew (run `npm run fix` afterwards); without it a table that differs is a failure.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, globSync, readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { loadCommands } from '../src/cli/run-cli.ts';
import { AGENT_KEYS } from '../src/config/agent-keys.ts';
import { CA_KEYS } from '../src/config/ca-keys.ts';
import { CONFIG_KEYS, environmentName } from '../src/config/config-keys.ts';
import { validatePaths } from '../src/config/validate-paths.ts';
import { loadPosternConfig } from '../src/config/postern-config.ts';
import { ERROR_CODES } from '../src/core/errors.ts';
import { printExplanation } from '../src/explain/print-explanation.ts';
import * as library from '../src/index.ts';
import { loadMesh } from '../src/load-mesh.ts';
import { findOperator } from '../src/observe/access-log-operators.ts';
import { allTables, markedPart, parseTable, renderTable, replaceMarkedPart } from './support/doc-tables.ts';
import type { Table } from './support/doc-tables.ts';
import {
  danglingPaths,
  filesOf,
  unknownEnvironment,
  unknownFlags,
  unknownNames,
  unknownScripts,
} from './support/doc-words.ts';
import { startEchoApp } from './support/echo-app.ts';
import { spawnPostern } from './support/spawn-postern.ts';
import { TempFolder } from './support/temp-folder.ts';
import { TestCa } from './support/test-ca.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const README_FILE = path.join(ROOT, 'README.md');

const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');
const manifest = JSON.parse(read('package.json')) as {
  readonly scripts: Readonly<Record<string, string>>;
};
/** What a reader is sent to. */
const DOCUMENTS = [
  'README.md',
  'CHANGELOG.md',
  ...globSync('{docs,bench,certs-dev,examples/*,src/*}/*.md', { cwd: ROOT }),
].map((file) => file.replaceAll(path.sep, '/'));
const FRONT = ['README.md', 'docs/differences.md', 'docs/architecture.md'];

const commands = await loadCommands();
const tables = allTables(commands);

if (process.env['UPDATE_DOCS'] === '1') {
  let text = read('README.md');
  for (const [name, table] of Object.entries(tables))
    text = replaceMarkedPart(text, name, renderTable(table));
  writeFileSync(README_FILE, text);
}
const readme = read('README.md');

function isUsableOperator(name: string): boolean {
  const { kind } = findOperator(name, null);
  return kind === 'text' || kind === 'number';
}

function doesNotExist(): boolean {
  return false;
}

function tableOf(name: string): Table {
  return parseTable(markedPart(readme, name) ?? '');
}

/** All files of the README, with certificates of the names that it uses. */
async function layOut(): Promise<{ readonly folder: TempFolder; readonly ca: TestCa }> {
  const folder = new TempFolder();
  const ca = await TestCa.create('cluster.local');
  const server = await ca.issue({ spiffeId: 'spiffe://cluster.local/ns/foo/sa/httpbin' });
  folder.write('try/certs/root.pem', ca.rootPem);
  folder.write('try/certs/foo-httpbin.pem', server.certPem);
  folder.write('try/certs/foo-httpbin.key', server.keyPem);
  for (const [name, text] of filesOf(readme)) folder.write(name, text);
  return { folder, ca };
}

/** Files below `folder` that tsc finds errors in; those of the program are found by `npm run check`. */
async function typeErrors(folder: string): Promise<string[]> {
  const tsc = path.join(ROOT, 'node_modules/typescript/bin/tsc');
  const ran = promisify(execFile)(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], {
    cwd: folder,
  });
  const { stdout } = await ran.catch((failed: { readonly stdout: string }) => failed);
  const files = [...stdout.matchAll(/^(\S+?)\(\d+,\d+\): error/gm)].map(([, file = '']) => file);
  return files.filter((file) => !file.startsWith('..'));
}

describe('README', () => {
  for (const [name, table] of Object.entries(tables)) {
    it(`has the table of ${name} as the program has it (UPDATE_DOCS=1 writes it)`, () => {
      assert.ok(table.length > 5, `only ${table.length} rows`);
      assert.deepEqual(tableOf(name), table);
    });
  }

  it('draws every code that ends a connection or a request', () => {
    const [, after = ''] = readme.split('## A connection');
    const drawn = after.split('## ')[0] ?? '';
    const missing = Object.entries(ERROR_CODES)
      .filter(([name, { source }]) => source !== 'control' && !drawn.includes(name))
      .map(([name]) => name);
    // Malformed heads and bodies are drawn as `bad_…`; the others end what has begun, or are ours.
    assert.deepEqual(
      missing.filter((name) => !name.startsWith('bad_')),
      [
        'obsolete_line_folding',
        'host_mismatch',
        'ambiguous_framing',
        'chunk_extension_too_large',
        'downstream_reset',
        'upstream_truncated',
        'upstream_unsolicited',
        'draining',
        'bug',
      ],
    );
  });

  it('has a row in the table of ports for every port setting, with its default', () => {
    const [, after = ''] = readme.split('## Ports');
    const rows = parseTable((after.split('\n## ')[0] ?? '').trim()).slice(1);
    const ports = [
      ...CONFIG_KEYS.map((key) => [`\`${key.path}\``, key] as const),
      ...CA_KEYS.map((key) => [`\`${key.path}\` of ca.yaml`, key] as const),
      ...AGENT_KEYS.map((key) => [`\`${key.path}\` of agent.yaml`, key] as const),
    ].filter(([, { type }]) => type === 'port');
    assert.deepEqual(
      rows.map(([, setting = '']) => setting).toSorted(),
      ports.map(([name]) => name).toSorted(),
    );
    for (const [port, setting] of rows) {
      const key = ports.find(([name]) => name === setting)?.[1];
      if (key?.default !== null) assert.equal(port, key?.default);
    }
  });

  it('lists the operators of the access log that can be filled, and no other', () => {
    const listed = [...(markedPart(readme, 'operators') ?? '').matchAll(/`([A-Z_]+)`/g)].map(
      ([, name = '']) => name,
    );
    assert.deepEqual(
      listed.filter((name) => !isUsableOperator(name)),
      [],
    );
    // The source is asked which names there are: the table itself is not exported.
    const known = [...read('src/observe/access-log-operators.ts').matchAll(/^ {2}([A-Z_]+): \w+\(/gm)].map(
      ([, name = '']) => name,
    );
    assert.ok(known.length > 20);
    assert.deepEqual(listed.toSorted(), known.toSorted());
  });

  it('lists what the library exports, and no more', () => {
    const listed = [...(markedPart(readme, 'exports') ?? '').matchAll(/`(\w+)`/g)].map(
      ([, name = '']) => name,
    );
    assert.deepEqual(listed.toSorted(), Object.keys(library).toSorted());
  });

  it('leaves a place for the figures of the bench', () => {
    assert.match(markedPart(readme, 'bench') ?? '', /npm run bench/);
  });
});

describe('documents', () => {
  it('name only paths that exist', () => {
    assert.ok(DOCUMENTS.length > 15, DOCUMENTS.join());
    const faults = DOCUMENTS.flatMap((file) =>
      danglingPaths(read(file), path.dirname(file), (one) => existsSync(path.join(ROOT, one))).map(
        (one) => `${file}: ${one}`,
      ),
    );
    assert.deepEqual(faults, []);
  });

  it('name only npm scripts that exist, and these run files that exist', () => {
    const faults = DOCUMENTS.flatMap((file) =>
      unknownScripts(read(file), Object.keys(manifest.scripts)).map((one) => `${file}: ${one}`),
    );
    assert.deepEqual(faults, []);
    const gone = Object.values(manifest.scripts)
      .flatMap((script) => [...script.matchAll(/\bnode (\S+\.ts)/g)].map(([, file = '']) => file))
      .filter((file) => !existsSync(path.join(ROOT, file)));
    assert.deepEqual(gone, []);
  });

  it('name only flags of the command that they are written after', () => {
    const faults = FRONT.flatMap((file) =>
      unknownFlags(read(file), commands).map((one) => `${file}: ${one}`),
    );
    assert.deepEqual(faults, []);
  });

  it('name only environment variables that are read', () => {
    const known = new Set([...CONFIG_KEYS, ...AGENT_KEYS, ...CA_KEYS].map(environmentName));
    const faults = FRONT.flatMap((file) =>
      unknownEnvironment(read(file), known).map((one) => `${file}: ${one}`),
    );
    assert.deepEqual(faults, []);
  });

  it('name only codes, counters and keys that exist', () => {
    // Names that are put together at run time stand whole in the tables.
    const source = globSync('src/**/*.ts', { cwd: ROOT }).map(read).join('\n') + JSON.stringify(tables);
    const faults = FRONT.flatMap((file) =>
      unknownNames(read(file), (name) => source.includes(name)).map((one) => `${file}: ${one}`),
    );
    assert.deepEqual(faults, []);
  });
});

describe('the checks of documents', () => {
  it('find what is planted', () => {
    assert.deepEqual(danglingPaths('see `src/gone.ts` and [x](docs/gone.md)', '.', doesNotExist), [
      'src/gone.ts',
      'docs/gone.md',
    ]);
    assert.deepEqual(danglingPaths('see [up](../gone.md)', 'docs', doesNotExist), ['gone.md']);
    assert.deepEqual(unknownScripts('`npm run gone` `npm run bench`, npm test', ['bench']), ['gone', 'test']);
    assert.deepEqual(unknownFlags('node src/launcher.js wait --gone 3', commands), ['wait --gone']);
    assert.deepEqual(unknownFlags('`postern nothing --x`', commands), ['nothing']);
    assert.deepEqual(unknownEnvironment('POSTERN_GONE', new Set()), ['POSTERN_GONE']);
    assert.deepEqual(unknownNames('`no_such_code` and 400 bad_…', doesNotExist), ['no_such_code']);
    assert.deepEqual(unknownNames('```\nNR no_such_code\n```', doesNotExist), ['no_such_code']);
  });

  it('see one word that differs in a table', () => {
    const written = renderTable(tables['codes'] ?? []);
    assert.deepEqual(parseTable(written), tables['codes']);
    assert.notDeepEqual(parseTable(written.replace('malformed', 'fine')), tables['codes']);
    assert.notDeepEqual(parseTable(written.replace(/\n\| `bad_host`.*/, '')), tables['codes']);
    assert.equal(markedPart('<!-- a:start --> x', 'a'), null);
    assert.equal(markedPart(replaceMarkedPart('<!-- a:start -->x<!-- a:end -->', 'a', 'y'), 'a'), 'y');
  });
});

describe('the README walk-through', () => {
  it('has documents that validate without a warning', async () => {
    const { folder } = await layOut();
    using _ = folder;
    const { documents, problems } = validatePaths(['try/mesh', 'try/postern.yaml'], folder.path);
    assert.deepEqual(problems, []);
    assert.equal(documents.files.length, 5);
    const loaded = loadPosternConfig({
      file: 'try/postern.yaml',
      environment: {},
      workingDirectory: folder.path,
    });
    assert.deepEqual(loaded.problems, []);
    assert.ok(loaded.config !== null);
    const { findings, snapshot } = loadMesh(loaded.config, 1);
    assert.deepEqual(findings, []);
    const port = snapshot?.inbound.ports[8080];
    assert.equal(port?.mode, 'STRICT');
    assert.equal(port?.protocol, 'http');
  });

  it('has policy tests that hold and cover every rule', async () => {
    const { folder } = await layOut();
    using _ = folder;
    // CUSTOM comes into the walk-through after them.
    unlinkSync(folder.join('try/mesh/authorizer.yaml'));
    const main = path.join(ROOT, 'src/main.ts');
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [main, 'test', 'try/policies.test.yaml', '--require-coverage'],
      { cwd: folder.path },
    );
    assert.ok(readme.includes(stdout.trim()), stdout);
  });

  it('has the explanation that the program gives', async () => {
    const { folder } = await layOut();
    using _ = folder;
    unlinkSync(folder.join('try/mesh/authorizer.yaml'));
    const explanation = await library.explain({
      config: folder.join('try/postern.yaml'),
      request: { from: { principal: 'cluster.local/ns/foo/sa/sleep' }, request: { path: '/admin' } },
    });
    assert.ok(readme.includes(printExplanation(explanation).trim()), printExplanation(explanation));
  });

  it('has a filter that type-checks against the source and does what it says', async () => {
    const { folder, ca } = await layOut();
    using _ = folder;
    // The filter is shown without the policies, which would deny before it.
    for (const name of ['policies', 'authorizer']) unlinkSync(folder.join(`try/mesh/${name}.yaml`));
    const guard = folder.join('try/guard.ts');
    // Relative, as an import of TypeScript has to be.
    const source = path.relative(path.dirname(guard), path.join(ROOT, 'src/index.ts'));
    folder.write('try/guard.ts', readFileSync(guard, 'utf8').replaceAll("'postern'", `'${source}'`));
    folder.write('package.json', '{"type":"module"}');
    folder.write(
      'tsconfig.json',
      JSON.stringify({
        extends: path.join(ROOT, 'test/tsconfig.json'),
        compilerOptions: { rootDir: '/', typeRoots: [path.join(ROOT, 'node_modules/@types')] },
        include: [guard, folder.write('wrong.ts', 'export const planted: number = "";')],
      }),
    );
    assert.deepEqual(await typeErrors(folder.path), ['wrong.ts']);

    await using app = await startEchoApp();
    const service = readFileSync(folder.join('try/mesh/service.yaml'), 'utf8');
    folder.write('try/mesh/service.yaml', service.replace('targetPort: 8080', `targetPort: ${app.port}`));
    await using program = spawnPostern([], {
      command: [process.execPath, guard],
      cwd: folder.path,
      env: {
        POSTERN_INTERCEPT_PORT: '0',
        POSTERN_INTERCEPT_DIRECT: `127.0.0.1:${app.port}`,
        POSTERN_ADMIN_PORT: '0',
        POSTERN_READINESS_PORT: '0',
        POSTERN_METRICS_PORT: '0',
      },
    });
    const line = await program.waitForStdout((text) => text.startsWith('{'));
    const { intercept } = JSON.parse(line) as { readonly intercept: number };
    const send = async (method: string, serviceAccount: string): Promise<number> => {
      const client = await ca.issue({ spiffeId: `spiffe://cluster.local/ns/foo/sa/${serviceAccount}` });
      return new Promise((resolve, reject) => {
        const request = httpsRequest(
          {
            port: intercept,
            method,
            cert: client.certPem,
            key: client.keyPem,
            rejectUnauthorized: false,
            agent: false,
          },
          (response) => {
            response.resume().on('end', () => resolve(response.statusCode ?? 0));
          },
        );
        request.on('error', reject).end();
      });
    };
    assert.deepEqual(
      [await send('GET', 'other'), await send('POST', 'sleep'), await send('POST', 'other')],
      [200, 200, 403],
    );
    assert.deepEqual(
      app.seen.map(({ headers }) => headers.find(([name]) => name === 'x-caller')?.[1]),
      ['spiffe://cluster.local/ns/foo/sa/other', 'spiffe://cluster.local/ns/foo/sa/sleep'],
    );
    assert.equal((await program.stop()).code, 0);
  });
});
