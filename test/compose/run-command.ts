/** Runs one program to its end: bounded in time, and stopped with the test. */
import { execFile } from 'node:child_process';

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** So much of a program's first and of its last words goes into an error. */
const MAX_TOLD = 2_000;

export interface CommandOptions {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly cwd?: string;
  /** Besides those of this process. */
  readonly environment?: Readonly<Record<string, string>>;
}

export class CommandError extends Error {
  constructor(line: string, why: string, output: string) {
    super(`Cannot run "${line}": ${why}\n${shorten(output)}`.trimEnd());
  }
}

function shorten(output: string): string {
  if (output.length <= 2 * MAX_TOLD) return output;
  return `${output.slice(0, MAX_TOLD)}\n…\n${output.slice(-MAX_TOLD)}`;
}

/** Its standard output; throws with both outputs if it ends otherwise than with 0. */
export function runCommand(words: readonly string[], options: CommandOptions): Promise<string> {
  const [command = '', ...rest] = words;
  const { timeoutMs, signal, cwd, environment = {} } = options;
  const settings = {
    signal,
    timeout: timeoutMs,
    maxBuffer: MAX_OUTPUT_BYTES,
    env: { ...process.env, ...environment },
    ...(cwd === undefined ? {} : { cwd }),
  };
  return new Promise((resolve, reject) => {
    const child = execFile(command, rest, settings, (error, stdout, stderr) => {
      if (error === null) {
        resolve(stdout);
        return;
      }
      const why = signal.aborted
        ? 'stopped'
        : error.killed === true
          ? `no end after ${timeoutMs / 1_000} s`
          : typeof error.code === 'string'
            ? error.code
            : `exit code ${error.code ?? error.signal}`;
      reject(new CommandError(words.join(' '), why, `${stdout}${stderr}`));
    });
    child.stdin?.end();
  });
}
