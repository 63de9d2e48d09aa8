/**
 * A stand-in for the official image that Dockerfile and docker-compose.yml name, for where no registry can be reached
 * from containers: this machine's Node, shell and tools with their libraries, and npm with a cache that has all that
 * package-lock.json asks for. The files under test are then used as they are, `npm ci` included.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { runCommand } from './run-command.ts';
import type { CommandOptions } from './run-command.ts';

const SHORT_MS = 30_000;
const INSTALL_MS = 180_000;
const IMPORT_MS = 120_000;

/** What the Dockerfile and docker-compose.yml call, and the shell's everyday company. */
const TOOLS = [
  'sh',
  'env',
  'cat',
  'chmod',
  'chown',
  'cp',
  'id',
  'install',
  'ln',
  'ls',
  'mkdir',
  'mv',
  'rm',
  'test',
  'true',
];

const NPM_CACHE = '/usr/local/share/npm-cache';
/** A pipe: an archive of 300 MB would be written for nothing. Half of one would be an image that has no node. */
const IMPORT = `
search=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
tar --numeric-owner -C "$1" -cf - . | docker import --change "ENV PATH=$search" --change 'CMD ["node"]' - "$2"`;
const FILES: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\n',
  'etc/group': 'root:x:0:\nnode:x:1000:\n',
  'etc/nsswitch.conf': 'hosts: files dns\n',
  'usr/local/etc/npmrc': `cache=${NPM_CACHE}\noffline=true\nupdate-notifier=false\n`,
};

export interface BaseImageInput {
  /** As Dockerfile and docker-compose.yml name it. */
  readonly name: string;
  /** The checkout. */
  readonly root: string;
  /** Scratch space, removed by who gave it. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Makes the image under its official name. */
export async function buildBaseImage(input: BaseImageInput): Promise<void> {
  const { name, root, folder, environment, signal } = input;
  const short = { timeoutMs: SHORT_MS, signal };
  const tree = path.join(folder, 'base');
  for (const one of [
    'usr/bin',
    'usr/lib',
    'usr/lib64',
    'usr/local/bin',
    'etc',
    'root',
    'tmp',
    'var',
    'home/node',
  ])
    mkdirSync(path.join(tree, one), { recursive: true });
  // As in Debian: libraries are asked for below /lib, and the loader below /lib64.
  for (const one of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${one}`, path.join(tree, one));
  for (const [file, text] of Object.entries(FILES)) {
    mkdirSync(path.dirname(path.join(tree, file)), { recursive: true });
    writeFileSync(path.join(tree, file), text);
  }
  await copyProgram(process.execPath, '/usr/local/bin/node', tree, short);
  for (const tool of TOOLS) await copyProgram(await which(tool, short), `/usr/bin/${tool}`, tree, short);
  await copyNpm(tree, short);
  await fillNpmCache(root, folder, path.join(tree, NPM_CACHE), signal);
  await runCommand(['sh', '-c', IMPORT, 'sh', tree, name], { timeoutMs: IMPORT_MS, signal, environment });
  rmSync(tree, { recursive: true });
}

async function which(tool: string, options: CommandOptions): Promise<string> {
  const found = await runCommand(['sh', '-c', 'command -v "$1"', 'sh', tool], options);
  // `test` and `true` are found as built into the shell.
  return found.startsWith('/') ? found.trim() : `/usr/bin/${tool}`;
}

/** A program and the shared libraries that its loader asks for. */
async function copyProgram(from: string, to: string, tree: string, options: CommandOptions): Promise<void> {
  copyFileSync(realpathSync(from), path.join(tree, to));
  const told = await runCommand(['ldd', realpathSync(from)], options);
  const missing = /^\s*(\S+) => not found/m.exec(told);
  if (missing !== null) throw new Error(`Cannot copy ${from}: its library ${missing[1]} is not installed`);
  for (const [, library = ''] of told.matchAll(/(?:=>\s*|^\s*)(\/\S+) \(0x/gm)) {
    const copy = path.join(tree, library);
    if (existsSync(copy)) continue;
    mkdirSync(path.dirname(copy), { recursive: true });
    copyFileSync(realpathSync(library), copy);
  }
}

async function copyNpm(tree: string, options: CommandOptions): Promise<void> {
  const program = realpathSync(await which('npm', options));
  const inside = '/usr/local/lib/node_modules/npm';
  cpSync(path.resolve(program, '../..'), path.join(tree, inside), { recursive: true });
  symlinkSync(`${inside}/bin/npm-cli.js`, path.join(tree, 'usr/local/bin/npm'));
}

/** By an install into a folder that is thrown away, on this side of the wall. */
async function fillNpmCache(root: string, folder: string, cache: string, signal: AbortSignal): Promise<void> {
  const scratch = path.join(folder, 'install');
  mkdirSync(scratch);
  for (const file of ['package.json', 'package-lock.json', '.npmrc'])
    copyFileSync(path.join(root, file), path.join(scratch, file));
  const words = ['npm', 'ci', '--ignore-scripts', '--no-progress', '--cache', cache];
  await runCommand(words, { timeoutMs: INSTALL_MS, signal, cwd: scratch });
  rmSync(scratch, { recursive: true });
  rmSync(path.join(cache, '_logs'), { recursive: true, force: true });
}
