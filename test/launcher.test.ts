/** The `bin`, run as users run it: by an old Node, by a new one, with and without the platform package. */
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { checkLeaks } from './support/leak-check.ts';
import { findOldNode } from './support/old-node.ts';
import { runPostern, spawnPostern, type PosternProcess } from './support/spawn-postern.ts';
import { TempFolder } from './support/temp-folder.ts';

const LAUNCHER = fileURLToPath(new URL('../src/launcher.js', import.meta.url));
const NODE_MODULES = fileURLToPath(new URL('../node_modules', import.meta.url));
const PLATFORM_PACKAGE = `node-${process.platform}-${process.arch}`;

const OLD_NODE = findOldNode();
const needsOldNode = OLD_NODE === null ? { skip: 'no Node older than 26 is on PATH' } : {};

/** Says where it runs, reports signals, ends by the code or signal it is told. */
const PROGRAM = `
  const [command, value] = process.argv.slice(2);
  const say = (what: object): void => { console.log(JSON.stringify(what)); };
  switch (command) {
    case 'where': {
      let input = '';
      process.stdin.on('data', (chunk) => { input += String(chunk); });
      process.stdin.on('end', () => {
        say({ version: process.versions.node, pid: process.pid, rest: process.argv.slice(2), input });
      });
      break;
    }
    case 'exit': process.exit(Number(value));
    case 'die': process.kill(process.pid, value); setInterval(() => {}, 1_000); break;
    case 'serve': {
      for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
        process.on(signal, () => {
          say({ signal });
          if (signal === 'SIGTERM') { say({ drained: true }); process.exit(7); }
        });
      }
      setInterval(() => {}, 1_000);
      say({ serving: process.pid, lifeline: process.env['POSTERN_LAUNCHER_FD'] ?? null });
    }
  }
`;

interface Fixture extends Disposable {
  readonly folder: TempFolder;
  readonly launcher: string;
}

/** A package folder with the real launcher and a small program in place of ours. */
function makePackage(layout: 'checkout' | 'installed' = 'checkout'): Fixture {
  const folder = new TempFolder();
  folder.write('package.json', '{"type":"module"}');
  if (layout === 'checkout') folder.write('src/main.ts', PROGRAM);
  else {
    mkdirSync(folder.join('src'));
    folder.write('dist/main.js', PROGRAM.replaceAll(/: (?:object|void)|as const/g, ''));
  }
  const launcher = folder.join('src/launcher.js');
  copyFileSync(LAUNCHER, launcher);
  return {
    folder,
    launcher,
    [Symbol.dispose]: () => {
      folder.remove();
    },
  };
}

function withNodeModules(fixture: Fixture): Fixture {
  symlinkSync(NODE_MODULES, fixture.folder.join('node_modules'));
  return fixture;
}

function withPlatformBinary(fixture: Fixture, script: string): void {
  fixture.folder.write(`node_modules/${PLATFORM_PACKAGE}/package.json`, '{}');
  chmodSync(fixture.folder.write(`node_modules/${PLATFORM_PACKAGE}/bin/node`, script), 0o755);
}

function start(node: string, fixture: Fixture, args: readonly string[]): PosternProcess {
  return spawnPostern(args, { command: [node, fixture.launcher] });
}

describe('launcher on a new Node', () => {
  checkLeaks();

  for (const layout of ['checkout', 'installed'] as const) {
    it(`runs the program of the ${layout} in its own process`, async () => {
      using fixture = makePackage(layout);
      await using program = start(process.execPath, fixture, ['where']);
      const told = JSON.parse(await program.waitForStdout(() => true)) as Record<string, unknown>;
      assert.equal(told['pid'], program.pid);
      assert.deepEqual(await program.exit(), { code: 0, signal: null });
      assert.equal(program.stderr, '');
    });
  }

  it('says in one line that a checkout without a build has no program, exit 2', async () => {
    using empty = new TempFolder();
    empty.write('package.json', '{"type":"module"}');
    const launcher = empty.write('src/launcher.js', readFileSync(LAUNCHER));
    const ran = await runPostern([], { command: [process.execPath, launcher] });
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /^postern: cannot find dist\/main\.js beside src: run "npm run build"\n$/);
  });
});

describe('launcher on an old Node', needsOldNode, () => {
  checkLeaks();
  const old = OLD_NODE ?? '';

  it('runs the program on the Node 26 of the platform package, with arguments and standard input', async () => {
    using fixture = withNodeModules(makePackage());
    const ran = await runPostern(['where', '--flag=a b', ''], {
      command: [old, fixture.launcher],
      input: 'from stdin',
    });
    assert.equal(ran.code, 0, ran.stderr);
    const told = JSON.parse(ran.stdout) as Record<string, unknown>;
    assert.match(String(told['version']), /^26\./);
    assert.deepEqual(told['rest'], ['where', '--flag=a b', '']);
    assert.equal(told['input'], 'from stdin');
    assert.equal(ran.stderr, '');
  });

  for (const code of [0, 1, 2, 70]) {
    it(`ends with exit code ${code} when the program does`, async () => {
      using fixture = withNodeModules(makePackage());
      const ran = await runPostern(['exit', String(code)], { command: [old, fixture.launcher] });
      assert.deepEqual([ran.code, ran.signal, ran.stderr], [code, null, '']);
    });
  }

  for (const signal of ['SIGKILL', 'SIGTERM', 'SIGABRT'] as const) {
    it(`dies of ${signal} when the program does`, async () => {
      using fixture = withNodeModules(makePackage());
      const ran = await runPostern(['die', signal], { command: [old, fixture.launcher] });
      assert.deepEqual([ran.code, ran.signal], [null, signal]);
    });
  }

  it('passes each signal on, once, and comes back with the exit code of the drain', async () => {
    using fixture = withNodeModules(makePackage());
    await using program = start(old, fixture, ['serve']);
    await program.waitForStdout((line) => line.includes('serving'));
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const) {
      program.signal(signal);
      await program.waitForStdout((line) => line === JSON.stringify({ signal }));
    }
    assert.deepEqual(await program.stop('SIGTERM'), { code: 7, signal: null });
    assert.equal(program.stdoutLines.length, 1 + 6 + 1, program.stdout);
  });

  it('gives the program one signal when its whole process group gets it, as by Ctrl-C', async () => {
    using fixture = withNodeModules(makePackage());
    // setsid makes the launcher the leader of a group of its own, as a shell does.
    await using program = spawnPostern(['serve'], { command: ['setsid', old, fixture.launcher] });
    await program.waitForStdout((line) => line.includes('serving'));
    process.kill(-program.pid, 'SIGINT');
    await program.waitForStdout((line) => line.includes('SIGINT'));
    assert.equal((await program.stop()).code, 7);
    assert.equal(program.stdoutLines.filter((line) => line.includes('SIGINT')).length, 1, program.stdout);
  });

  it('leaves no orphan when it is killed: the program drains', async () => {
    using fixture = withNodeModules(makePackage());
    await using program = start(old, fixture, ['serve']);
    const serving = await program.waitForStdout((line) => line.includes('serving'));
    const told = JSON.parse(serving) as { serving: number; lifeline: string | null };
    assert.equal(told.lifeline, null, 'the descriptor is not passed to what the program starts');
    assert.notEqual(told.serving, program.pid);
    // The end of standard output, which `stop` waits for, is the end of the program.
    assert.deepEqual(await program.stop('SIGKILL'), { code: null, signal: 'SIGKILL' });
    assert.equal(program.stdoutLines.at(-1), '{"drained":true}');
  });

  it('says in one line what to install when the platform package is missing, exit 2', async () => {
    using fixture = makePackage();
    const ran = await runPostern(['where'], { command: [old, fixture.launcher] });
    assert.equal(ran.code, 2);
    assert.equal(ran.stdout, '');
    assert.match(
      ran.stderr,
      /^postern: needs Node 26\.10 or newer, this is v\d[\d.]*, and the package node-[\w-]+ is not installed: run "npm install node-[\w-]+@26\.10", or install Node 26\.10 or newer\n$/,
    );
  });

  it('names libatomic when the loader of the platform binary fails, exit 2', async () => {
    using fixture = makePackage();
    withPlatformBinary(
      fixture,
      '#!/bin/sh\necho "error while loading shared libraries: libatomic.so.1" >&2\nexit 127\n',
    );
    const ran = await runPostern(['where'], { command: [old, fixture.launcher] });
    assert.equal(ran.code, 2);
    assert.match(ran.stderr, /\npostern: cannot start .*bin\/node: a library is missing.* libatomic1/);
  });

  it('says that the platform binary needs glibc where its loader is absent, exit 2', async () => {
    using fixture = makePackage();
    withPlatformBinary(fixture, '#!/lib64/ld-of-another-libc.so\n');
    const ran = await runPostern(['where'], { command: [old, fixture.launcher] });
    assert.equal(ran.code, 2);
    assert.match(
      ran.stderr,
      /^postern: cannot start .*bin\/node: it needs glibc, install Node 26\.10 or newer .*\n$/,
    );
  });
});
