/**
 * What a command of the command line is: its help, its flags, and a function that answers its exit code.
 *
 * Exit codes: 0 ok, 1 a negative answer, 2 misuse, 70 an unexpected exception.
 */
import type { ParseArgsOptionDescriptor } from 'node:util';

export const EXIT_OK = 0;
export const EXIT_NEGATIVE = 1;
export const EXIT_MISUSE = 2;
export const EXIT_BUG = 70;

export interface Flag extends ParseArgsOptionDescriptor {
  /** Placeholder of the value in the help: `FILE`; absent for a switch. */
  readonly value?: string;
  readonly meaning: string;
}

export interface ParsedArguments {
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
  /** Of flags with `multiple`. */
  readonly lists: Readonly<Record<string, readonly string[]>>;
  readonly positionals: readonly string[];
}

export interface Command {
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** After the name: `[--timeout 60s]`. */
  readonly usage: string;
  readonly example: string;
  readonly flags: Readonly<Record<string, Flag>>;
  /** Whether it takes words that are no flags. */
  readonly takesPositionals: boolean;
  /** More lines for `--help`. */
  readonly more?: () => string;
  run(parsed: ParsedArguments): Promise<number>;
}

/** The command line cannot be run as it is: one line on stderr, exit 2. */
export class UsageError extends Error {}

/** The text of a flag, or undefined. */
export function textFlag(parsed: ParsedArguments, name: string): string | undefined {
  const value = parsed.values[name];
  return typeof value === 'string' ? value : undefined;
}

/** The texts of a flag that may be given more than once. */
export function listFlag(parsed: ParsedArguments, name: string): readonly string[] {
  return parsed.lists[name] ?? [];
}

/** `--output json` or text, which is the default. */
export function wantsJson(parsed: ParsedArguments): boolean {
  const output = textFlag(parsed, 'output') ?? 'text';
  if (output !== 'json' && output !== 'text') {
    throw new UsageError(`Cannot print as "${output}": give --output json or --output text`);
  }
  return output === 'json';
}
