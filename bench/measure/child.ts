/**
 * Child processes of the benchmark: pinned to a CPU where `taskset` exists, awaited with a deadline, ended by their
 * own pid. Every child ever started is in one set, so that no way out of the program leaves one behind.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { processTree } from './proc.ts';

/** The proxy has one CPU for itself, the load and the app share the other. */
export const PROXY_CPU = 0;
export const LOAD_CPU = 1;

const END_MS = 5_000;

const live = new Set<Child>();

/** Whether processes are pinned here. */
export const IS_PINNED: boolean =
  availableParallelism() >= 2 && ['/usr/bin/taskset', '/bin/taskset'].some((path) => existsSync(path));

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

/** One child; standard error goes to a file, of which an error quotes the end. */
export class Child {
  readonly #process: ChildProcess;
  readonly #name: string;
  #lines: string[] = [];
  #partial = '';
  #waiting: (() => void) | null = null;
  #exit: string | null = null;
  readonly exited: Promise<number>;

  constructor(name: string, command: Command, cpu: number, errorFile: string) {
    const pinned = IS_PINNED ? ['taskset', '-c', String(cpu), command.program] : [command.program];
    const [program = '', ...first] = pinned;
    const errors = openSync(errorFile, 'a', 0o600);
    // POSTERN_ names settings of the sidecar: what the caller has there is not part of the run.
    const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('POSTERN_'));
    const env = { ...Object.fromEntries(inherited), ...command.env };
    this.#name = name;
    this.#process = spawn(program, [...first, ...command.args], { stdio: ['pipe', 'pipe', errors], env });
    closeSync(errors);
    live.add(this);
    this.#process.stdin?.on('error', () => undefined);
    this.#process.stdout?.setEncoding('utf8');
    this.#process.stdout?.on('data', (text: string) => {
      const parts = (this.#partial + text).split('\n');
      this.#partial = parts.pop() ?? '';
      this.#lines.push(...parts);
      this.#waiting?.();
    });
    this.exited = new Promise((resolve) => {
      const onEnd = (code: number, how: string): void => {
        this.#exit = how;
        live.delete(this);
        this.#waiting?.();
        resolve(code);
      };
      this.#process.once('error', (error) => onEnd(127, error.message));
      this.#process.once('close', (code, signal) => onEnd(code ?? 1, `exit ${code ?? signal ?? 'unknown'}`));
    });
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Why it ended, null while it runs. */
  get ended(): string | null {
    return this.#exit;
  }

  /** Its next line on stdout. */
  async line(timeoutMs: number): Promise<string> {
    const deadline = Promise.withResolvers<void>();
    const timer = setTimeout(deadline.resolve, timeoutMs);
    const until = performance.now() + timeoutMs;
    try {
      for (;;) {
        const next = this.#lines.shift();
        if (next !== undefined) return next;
        if (this.#exit !== null) throw new Error(`${this.#name} ended before it answered: ${this.#exit}`);
        if (performance.now() >= until) throw new Error(`${this.#name} printed nothing for ${timeoutMs} ms`);
        const more = Promise.withResolvers<void>();
        this.#waiting = more.resolve;
        await Promise.race([more.promise, deadline.promise]);
        this.#waiting = null;
      }
    } finally {
      clearTimeout(timer);
    }
  }

  /** Tells a child that ends with its standard input to end. */
  closeInput(): void {
    this.#process.stdin?.end();
  }

  /** SIGTERM, then SIGKILL; resolves when it is gone. */
  async end(): Promise<void> {
    if (this.#exit !== null) return;
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.kill(), END_MS);
    await this.exited;
    clearTimeout(timer);
  }

  /** It and its own children, at once: a master's workers outlive its SIGKILL. */
  kill(): void {
    if (this.#exit !== null || this.pid === 0) return;
    for (const pid of processTree(this.pid).toReversed()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
  }
}

/** Ends whatever still runs; for every way out of the program. */
export async function endAllChildren(): Promise<void> {
  await Promise.all([...live].map((child) => child.end()));
}

/** The last resort, on `exit`, where nothing can be awaited. */
export function killAllChildren(): void {
  for (const child of live) child.kill();
}
