/**
 * A real Envoy with the settings of a test, its ports and its access log, which it writes to standard output.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { TempFolder } from '../support/temp-folder.ts';
import { withDeadline } from '../support/with-deadline.ts';

/** POSTERN_ENVOY names the binary. */
export const ENVOY: string = process.env['POSTERN_ENVOY'] ?? '';
/** For `describe`. */
export const SKIP_WITHOUT_ENVOY: string | false =
  ENVOY === '' ? 'POSTERN_ENVOY names no Envoy binary' : false;

const START_MS = 15_000;
const LOG_MS = 5_000;

/** One access-log line, by the names that the test gave. */
export type EnvoyLogLine = Readonly<Record<string, string | number | null>>;

interface Listeners {
  readonly listener_statuses: readonly {
    readonly name: string;
    readonly local_address: { readonly socket_address: { readonly port_value: number } };
  }[];
}

export class EnvoyProcess implements AsyncDisposable {
  /** Ports of its listeners by name. */
  readonly ports: Readonly<Record<string, number>>;
  readonly #child: ChildProcess;
  readonly #admin: number;
  readonly #lines: EnvoyLogLine[];
  readonly #changed: { wake: PromiseWithResolvers<void> };

  private constructor(
    child: ChildProcess,
    admin: number,
    ports: Readonly<Record<string, number>>,
    lines: EnvoyLogLine[],
    changed: { wake: PromiseWithResolvers<void> },
  ) {
    this.#child = child;
    this.#admin = admin;
    this.ports = ports;
    this.#lines = lines;
    this.#changed = changed;
  }

  /** `config`: a bootstrap with `admin` on port 0, names as in proto3 JSON. */
  static async start(config: object): Promise<EnvoyProcess> {
    // Read before its workers start; an argument may have 128 KiB, a file any size.
    using folder = new TempFolder();
    const file = folder.write('envoy.json', JSON.stringify(config), 0o600);
    const args = ['--config-path', file, '--disable-hot-restart', '--concurrency', '1'];
    const child = spawn(ENVOY, [...args, '--file-flush-interval-msec', '20'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const lines: EnvoyLogLine[] = [];
    const changed = { wake: Promise.withResolvers<void>() };
    let rest = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() ?? '';
      for (const line of parts) lines.push(JSON.parse(line) as EnvoyLogLine);
      changed.wake.resolve();
      changed.wake = Promise.withResolvers<void>();
    });
    const started = Promise.withResolvers<string>();
    let log = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-50_000);
      const admin = /admin address: 127\.0\.0\.1:([0-9]+)/.exec(log)?.[1];
      if (admin !== undefined && log.includes('starting workers')) started.resolve(admin);
    });
    child.on('error', started.reject);
    child.on('exit', () => started.reject(new Error(`Envoy ended: ${log.slice(-2_000)}`)));
    try {
      const admin = Number(await withDeadline(started.promise, START_MS, 'Envoy', () => log.slice(-2_000)));
      const response = await fetch(`http://127.0.0.1:${admin}/listeners?format=json`);
      const { listener_statuses: statuses } = (await response.json()) as Listeners;
      const ports = Object.fromEntries(
        statuses.map(({ local_address: { socket_address: at }, name }) => [name, at.port_value]),
      );
      return new EnvoyProcess(child, admin, ports, lines, changed);
    } catch (error) {
      child.kill('SIGKILL');
      throw error;
    }
  }

  /** Access-log lines so far; the next ones are from here on. */
  get lineCount(): number {
    return this.#lines.length;
  }

  /** The first access-log line from line `from` on. */
  logLine(from = 0): Promise<EnvoyLogLine> {
    const loop = async (): Promise<EnvoyLogLine> => {
      for (;;) {
        const line = this.#lines[from];
        if (line !== undefined) return line;
        await this.#changed.wake.promise;
      }
    };
    return withDeadline(loop(), LOG_MS, `line ${from} of Envoy's access log`);
  }

  /** A counter. */
  async stat(name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#admin}/stats?filter=^${name}$`);
    return Number(/: ([0-9]+)/.exec(await response.text())?.[1] ?? Number.NaN);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await exited;
  }
}
