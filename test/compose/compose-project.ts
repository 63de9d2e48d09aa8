/**
 * docker-compose.yml as a project of its own name: brought up, asked and taken down by the commands that users have.
 */
import path from 'node:path';
import { runCommand } from './run-command.ts';

const QUICK_MS = 30_000;
const POLL_MS = 500;

/** Services that do one thing and end. */
const ONE_SHOT = /^token-key$|-enrol$/;

/** What `docker inspect` says of a container, as far as it matters here. */
export interface Container {
  readonly Id: string;
  readonly State: {
    readonly Status: string;
    readonly ExitCode: number;
    readonly Health?: { readonly Status: string; readonly Log: readonly { readonly Output: string }[] };
  };
  readonly Config: {
    readonly User: string;
    readonly Image: string;
    readonly Labels: Readonly<Record<string, string>>;
  };
  readonly HostConfig: {
    readonly Privileged: boolean;
    readonly ReadonlyRootfs: boolean;
    readonly CapAdd: readonly string[] | null;
    readonly CapDrop: readonly string[] | null;
    readonly SecurityOpt: readonly string[] | null;
    readonly PortBindings: Readonly<Record<string, readonly { readonly HostIp: string }[]>> | null;
  };
  readonly Mounts: readonly {
    readonly Type: string;
    /** Of a volume. */
    readonly Name?: string;
    readonly Source: string;
    readonly Destination: string;
  }[];
}

export interface ComposeProjectOptions {
  /** `['docker-compose']` or `['docker', 'compose']`. */
  readonly command: readonly string[];
  /** The checkout. */
  readonly root: string;
  readonly name: string;
  /** Which daemon. */
  readonly environment: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export class ComposeProject {
  readonly name: string;
  readonly #options: ComposeProjectOptions;

  constructor(options: ComposeProjectOptions) {
    this.name = options.name;
    this.#options = options;
  }

  /** The same project for what has to be done although all else was stopped. */
  with(signal: AbortSignal): ComposeProject {
    return new ComposeProject({ ...this.#options, signal });
  }

  compose(words: readonly string[], timeoutMs: number = QUICK_MS): Promise<string> {
    const { command, root, signal, environment } = this.#options;
    const file = path.join(root, 'docker-compose.yml');
    const all = [...command, '--file', file, '--project-name', this.name, ...words];
    return runCommand(all, { timeoutMs, signal, environment });
  }

  docker(words: readonly string[], timeoutMs: number = QUICK_MS): Promise<string> {
    const { signal, environment } = this.#options;
    return runCommand(['docker', ...words], { timeoutMs, signal, environment });
  }

  /** By service, ended ones too. */
  async containers(): Promise<ReadonlyMap<string, Container>> {
    const ids = await this.#ids('ps', '--all');
    if (ids.length === 0) return new Map();
    const all = JSON.parse(await this.docker(['inspect', ...ids])) as Container[];
    return new Map(all.map((one) => [one.Config.Labels['com.docker.compose.service'] ?? one.Id, one]));
  }

  /** Resolves when one-shot services have ended well, and all others run and pass their health checks, if any. */
  async ready(timeoutMs: number): Promise<void> {
    const endsAt = performance.now() + timeoutMs;
    for (;;) {
      const waitedFor = [...(await this.containers())].filter(([service, one]) => !isReady(service, one));
      if (waitedFor.length === 0) return;
      const gone = waitedFor.filter(([, { State }]) => State.Status === 'exited');
      if (gone.length > 0 || performance.now() > endsAt) {
        const states = waitedFor.map(([service, container]) => `${service}: ${describe(container)}`);
        throw new Error(`Not ready:\n${states.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Everything of this project that the daemon still has. */
  async remains(): Promise<string[]> {
    const kinds = [
      ['ps', '--all'],
      ['volume', 'ls'],
      ['network', 'ls'],
    ] as const;
    const found = await Promise.all(
      kinds.map(async ([kind, rest]) => (await this.#ids(kind, rest)).map((id) => `${kind} ${id}`)),
    );
    return found.flat();
  }

  async #ids(...words: readonly string[]): Promise<string[]> {
    const label = `label=com.docker.compose.project=${this.name}`;
    const text = await this.docker([...words, '--quiet', '--filter', label]);
    return text.split('\n').filter((line) => line !== '');
  }
}

function isReady(service: string, { State }: Container): boolean {
  if (ONE_SHOT.test(service)) return State.Status === 'exited' && State.ExitCode === 0;
  return State.Status === 'running' && (State.Health === undefined || State.Health.Status === 'healthy');
}

function describe({ State }: Container): string {
  const { Status, ExitCode, Health } = State;
  if (Status === 'exited') return `ended with ${ExitCode}`;
  return `${Status}, ${Health?.Status ?? 'no health check'}: ${Health?.Log.at(-1)?.Output.trim() ?? ''}`;
}
