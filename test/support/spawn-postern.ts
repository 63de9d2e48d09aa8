/**
 * Runs `postern` as its own process, as a user would, and reads its ready line, logs and exit code.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { withDeadline } from './with-deadline.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** The ready line of `proxy`; absent listeners are absent. */
export interface ReadyLine {
  readonly ready: true;
  readonly workload?: string;
  readonly pid: number;
  readonly ports: {
    readonly intercept?: number;
    readonly inbound?: number;
    readonly admin?: number;
    readonly readiness?: number;
    readonly metrics?: number;
  };
}

/** One JSON log line of stderr. */
export type LogLine = Readonly<Record<string, unknown>>;

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface SpawnOptions {
  readonly cwd?: string;
  /** Added to this process's environment; undefined removes one. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** What to run instead of `node src/main.ts`: executable and first arguments. */
  readonly command?: readonly [string, ...string[]];
  /** Deadline of every wait; default 15,000. */
  readonly timeoutMs?: number;
  /** Written to standard input, which is then closed; absent: no input. */
  readonly input?: string;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Starts `postern ARGS`. The owner ends it with `stop`, or `await using`, which kills what still runs. */
export function spawnPostern(args: readonly string[], options: SpawnOptions = {}): PosternProcess {
  const [executable, ...first] = options.command ?? [process.execPath, MAIN];
  const child = spawn(executable, [...first, ...args], {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, ...options.env },
    stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  });
  if (options.input !== undefined) child.stdin?.end(options.input);
  return new PosternProcess(child, `postern ${args.join(' ')}`, options.timeoutMs ?? 15_000);
}

/** Starts `postern proxy --config FILE` and waits until it is ready. */
export async function startProxy(
  configFile: string,
  args: readonly string[] = [],
  options: SpawnOptions = {},
): Promise<{ readonly proxy: PosternProcess; readonly ready: ReadyLine }> {
  const proxy = spawnPostern(['proxy', '--config', configFile, ...args], options);
  try {
    return { proxy, ready: await proxy.ready() };
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs `postern ARGS` to its end. */
export async function runPostern(
  args: readonly string[],
  options: SpawnOptions = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  await using postern = spawnPostern(args, options);
  const exit = await postern.exit();
  return { ...exit, stdout: postern.stdout, stderr: postern.stderr };
}

export class PosternProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #what: string;
  readonly #timeoutMs: number;
  readonly #logs: LogLine[] = [];
  #stdout = '';
  #stderr = '';
  #parsedTo = 0;
  #exit: Exit | null = null;
  #wake = Promise.withResolvers<void>();

  constructor(child: ChildProcess, what: string, timeoutMs: number) {
    this.#child = child;
    this.#what = what;
    this.#timeoutMs = timeoutMs;
    running.add(child);
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.#stdout += text;
      this.#changed();
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
      this.#parseLogs();
      this.#changed();
    });
    child.on('error', (error) => {
      this.#stderr += `cannot start: ${error.message}`;
      this.#exit = { code: null, signal: null };
      running.delete(child);
      this.#changed();
    });
    // 'close', not 'exit': by then the streams have been read to their end.
    child.on('close', (code, signal) => {
      this.#exit = { code, signal };
      running.delete(child);
      this.#changed();
    });
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.#what} did not start: ${this.#stderr}`);
    return this.#child.pid;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Whole lines of standard output so far, the ready line included. */
  get stdoutLines(): readonly string[] {
    return this.#stdout.split('\n').slice(0, -1);
  }

  /** Log lines so far, those that are JSON objects. */
  get logs(): readonly LogLine[] {
    return this.#logs;
  }

  /** Waits for the ready line; fails if the process ends before. */
  async ready(): Promise<ReadyLine> {
    const line = await this.waitForStdout((text) => text.startsWith('{"ready":true'), 'the ready line');
    return JSON.parse(line) as ReadyLine;
  }

  /** The first line of standard output, from line `from` on, that fits. */
  waitForStdout(fits: (line: string) => boolean, what = 'a line on stdout', from = 0): Promise<string> {
    return this.#wait(() => this.stdoutLines.slice(from).find((line) => fits(line)), what, true);
  }

  /** The first log line, from entry `from` of `logs` on, that fits. */
  waitForLog(fits: (line: LogLine) => boolean, what = 'a log line', from = 0): Promise<LogLine> {
    return this.#wait(() => this.#logs.slice(from).find((line) => fits(line)), what, true);
  }

  /** Sends a signal to this one process. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits for the end of the process and of its output. */
  exit(): Promise<Exit> {
    return this.#wait(() => this.#exit ?? undefined, 'the end of the process', false);
  }

  /** Sends a signal and waits for the end. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.signal(signal);
    return this.exit();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#exit === null) await this.stop('SIGKILL');
  }

  #changed(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers<void>();
  }

  #parseLogs(): void {
    for (;;) {
      const end = this.#stderr.indexOf('\n', this.#parsedTo);
      if (end === -1) return;
      const line = this.#stderr.slice(this.#parsedTo, end);
      this.#parsedTo = end + 1;
      if (!line.startsWith('{')) continue;
      try {
        this.#logs.push(JSON.parse(line) as LogLine);
      } catch {
        // Not a log line; it stays in `stderr`.
      }
    }
  }

  #wait<T>(ready: () => T | undefined, what: string, endIsFailure: boolean): Promise<T> {
    const loop = async (): Promise<T> => {
      for (;;) {
        const value = ready();
        if (value !== undefined) return value;
        if (endIsFailure && this.#exit !== null) {
          throw new Error(
            `${this.#what} ended (${JSON.stringify(this.#exit)}) before ${what}: ${this.#shown()}`,
          );
        }
        await this.#wake.promise;
      }
    };
    return withDeadline(loop(), this.#timeoutMs, `${what} of ${this.#what}`, () => this.#shown());
  }

  #shown(): string {
    return JSON.stringify({ stdout: this.#stdout.slice(-1_000), stderr: this.#stderr.slice(-3_000) });
  }
}
