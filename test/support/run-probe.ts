/**
 * Starts `intercept-probe.ts` as a process and reads its report, line by line.
 */
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ProbeOptions, ProbeReport } from './intercept-probe.ts';
import { withDeadline } from './with-deadline.ts';

const program = fileURLToPath(new URL('intercept-probe.ts', import.meta.url));

export class Probe implements AsyncDisposable {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #stderr = '';

  /** `before` is the command that node runs under, e.g. `['ip', 'netns', 'exec', NAME]`. */
  constructor(options: ProbeOptions, before: readonly string[] = []) {
    const words = [...before, process.execPath, program, JSON.stringify(options)];
    this.#child = spawn(words[0]!, words.slice(1), { stdio: 'pipe' });
    this.#child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.#stderr += text;
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** The next line; fails with what stderr says if none comes. */
  async next(): Promise<ProbeReport> {
    const line = await withDeadline(this.#lines.next(), 10_000, 'a line of the probe', () => this.#stderr);
    if (line.done === true) throw new Error(`the probe ended: ${this.#stderr}`);
    return JSON.parse(line.value) as ProbeReport;
  }

  get stderr(): string {
    return this.#stderr;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.running) return;
    const exited = once(this.#child, 'exit');
    this.#child.stdin.end();
    await withDeadline(exited, 5_000, 'the probe to end').catch(() => {
      this.#child.kill('SIGKILL');
    });
  }
}
