/**
 * Finds the command, parses its flags, runs it, and turns what it throws into one line and an exit code.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { messageOf } from '../core/errors.ts';
import { nearestName } from '../config/nearest-name.ts';
import type { Command, ParsedArguments } from './command.ts';
import { EXIT_BUG, EXIT_MISUSE, EXIT_NEGATIVE, EXIT_OK, UsageError } from './command.ts';
import { commandHelp, overview } from './help.ts';

/** Loaded by name, so that a sidecar does not pay for what other commands import. */
const LOADERS: Readonly<Record<string, () => Promise<Command>>> = {
  proxy: async () => (await import('./proxy-command.ts')).proxyCommand,
  agent: async () => (await import('./agent-command.ts')).agentCommand,
  ca: async () => (await import('./ca-command.ts')).caCommand,
  token: async () => (await import('./token-command.ts')).tokenCommand,
  validate: async () => (await import('./validate-command.ts')).validateCommand,
  explain: async () => (await import('./explain-command.ts')).explainCommand,
  test: async () => (await import('./test-command.ts')).testCommand,
  translate: async () => (await import('./translate-command.ts')).translateCommand,
  wait: async () => (await import('./wait-command.ts')).waitCommand,
  demo: async () => (await import('./demo-command.ts')).demoCommand,
};

/** Every command, for help and for the test that holds the README to them. */
export function loadCommands(): Promise<Command[]> {
  return Promise.all(Object.values(LOADERS).map((load) => load()));
}

/** Runs to the end and sets the exit code; what is still open keeps the process alive no longer. */
export async function runCli(args: readonly string[]): Promise<void> {
  process.on('uncaughtException', exitOnBug);
  process.on('unhandledRejection', exitOnBug);
  // Node's own answer is a debugger on a loopback port: every user of this host could read our keys and tokens.
  process.on('SIGUSR1', doNothing);
  // Whoever read our output has left, as `| head` does: nothing is wrong, and nobody is left to tell.
  process.stdout.on('error', doNothing);
  const code = exitCodeOf(await dispatch(args));
  process.exitCode = code;
  // Not left to the end of all handles: Node 26 waits without end for one that does not close.
  if (process.stdout.writableLength === 0) process.exit(code);
  process.stdout.once('drain', () => process.exit(code));
}

/** A token or a report that did not reach its file, as on a full disk, is no success. */
function exitCodeOf(code: number): number {
  const { errored } = process.stdout;
  if (errored === null || ('code' in errored && errored.code === 'EPIPE')) return code;
  process.stderr.write(`postern: Cannot write to standard output: ${errored.message}\n`);
  return code === EXIT_OK ? EXIT_NEGATIVE : code;
}

async function dispatch(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const wanted = name === 'help' && rest[0] !== undefined ? LOADERS[rest[0]] : undefined;
    process.stdout.write(wanted === undefined ? overview(await loadCommands()) : commandHelp(await wanted()));
    return name === undefined ? EXIT_MISUSE : EXIT_OK;
  }
  if (name === '--version' || name === 'version') {
    process.stdout.write(`postern ${version()} (node ${process.versions.node})\n`);
    return EXIT_OK;
  }
  const load = Object.hasOwn(LOADERS, name) ? LOADERS[name] : undefined;
  if (load === undefined) {
    const near = nearestName(name, Object.keys(LOADERS));
    const advice = near === null ? '' : `, did you mean "${near}"?`;
    return misuse(`unknown command "${name}"${advice}; see postern --help`);
  }
  const command = await load();
  try {
    const parsed = parseArguments(command, rest);
    if (parsed.values['help'] === true) {
      process.stdout.write(commandHelp(command));
      return EXIT_OK;
    }
    return await command.run(parsed);
  } catch (thrown) {
    if (thrown instanceof UsageError) return misuse(`${thrown.message}; see postern ${command.name} --help`);
    throw thrown;
  }
}

/** Throws `UsageError` for what the command does not take. */
export function parseArguments(command: Command, args: readonly string[]): ParsedArguments {
  const help = { type: 'boolean', short: 'h' } as const;
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      options: { ...command.flags, help },
      allowPositionals: command.takesPositionals,
      strict: true,
    });
    const flat: Record<string, string | boolean | undefined> = {};
    const lists: Record<string, readonly string[]> = {};
    for (const [key, value] of Object.entries(values)) {
      if (Array.isArray(value)) lists[key] = value.filter((item) => typeof item === 'string');
      else flat[key] = value;
    }
    return { values: flat, lists, positionals };
  } catch (thrown) {
    throw new UsageError(explainParseError(command, messageOf(thrown)), { cause: thrown });
  }
}

/** node:util names the flag in quotes; the nearest known one is worth more than its advice. */
function explainParseError(command: Command, message: string): string {
  const unknown = /Unknown option '(--?[^']+)'/.exec(message)?.[1];
  if (unknown === undefined) return message.split('. ')[0] ?? message;
  const near = nearestName(unknown.replace(/^--?/, ''), Object.keys(command.flags));
  return `unknown flag "${unknown}"${near === null ? '' : `, did you mean "--${near}"?`}`;
}

function misuse(message: string): number {
  process.stderr.write(`postern: ${message}\n`);
  return EXIT_MISUSE;
}

export function version(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  const parsed: unknown = JSON.parse(text);
  return typeof parsed === 'object' && parsed !== null && 'version' in parsed ? String(parsed.version) : '0';
}

function doNothing(): void {}

function exitOnBug(thrown: unknown): void {
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  process.stderr.write(`postern: unexpected exception, please report it: ${text}\n`);
  process.exit(EXIT_BUG);
}
