/**
 * What `ca` and `agent` have in common: a configuration file with flags over it, a start, one ready line on stdout,
 * logs on stderr, and a good end at the first signal.
 */
import { writeSync } from 'node:fs';
import type { ConfigKey } from '../config/config-key.ts';
import type { LoadedSettings, SettingsInput } from '../config/load-settings.ts';
import { formatProblem } from '../config/problem.ts';
import { MeshError, messageOf, whyOf } from '../core/errors.ts';
import type { Log } from '../observe/log.ts';
import { createLoggers, parseLogLevel } from '../observe/loggers.ts';
import type { Command, Flag } from './command.ts';
import { EXIT_MISUSE, EXIT_NEGATIVE, EXIT_OK, textFlag, UsageError } from './command.ts';
import { onStopSignal } from './stop-signal.ts';

/** What runs until it is closed. */
export interface RunningService {
  /** Of the ready line, besides `ready` and `pid`. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The ready line waits for it. */
  whenReady(): Promise<void>;
  close(): Promise<void>;
}

export interface ServiceForm<Config> {
  readonly name: string;
  readonly summary: string;
  /** `ca.yaml`. */
  readonly fileName: string;
  readonly example: string;
  readonly more: string;
  readonly keys: readonly ConfigKey[];
  readonly load: (input: SettingsInput) => LoadedSettings<Config>;
  /** Rejects with a MeshError whose detail is for the operator. */
  readonly start: (config: Config, log: Log) => Promise<RunningService>;
}

export function createServiceCommand<Config>(form: ServiceForm<Config>): Command {
  const { fileName, keys, name } = form;
  /** Every setting that is one value is a flag too, by its path. */
  const settingFlags: Readonly<Record<string, Flag>> = Object.fromEntries(
    keys
      .filter((key) => key.type !== 'entries')
      .map((key): [string, Flag] => [
        key.path,
        { type: 'string', value: key.type.toUpperCase(), meaning: key.meaning },
      ]),
  );
  return {
    name,
    summary: form.summary,
    usage: `--config ${fileName} [--log-level info] [--SETTING VALUE …]`,
    example: form.example,
    takesPositionals: false,
    flags: {
      config: { type: 'string', value: 'FILE', meaning: `the ${fileName} to run` },
      'log-level': {
        type: 'string',
        value: 'LEVEL',
        meaning: 'trace, debug, info, warning, error or off; default info',
      },
      ...settingFlags,
    },
    more: () =>
      `${form.more}\nA flag named like a setting wins over the environment (POSTERN_…), which wins over the file.`,
    async run(parsed) {
      const file = textFlag(parsed, 'config');
      if (file === undefined)
        throw new UsageError(`Cannot run without a configuration: give --config ${fileName}`);
      const levelText = textFlag(parsed, 'log-level') ?? 'info';
      const level = parseLogLevel(levelText);
      if (level === undefined)
        throw new UsageError(`Cannot log at "${levelText}": give trace, debug, info, warning, error or off`);
      const flags: Record<string, string> = {};
      for (const path of Object.keys(settingFlags)) {
        const value = textFlag(parsed, path);
        if (value !== undefined) flags[path] = value;
      }
      const workingDirectory = process.cwd();
      const loaded = form.load({ file, environment: process.env, flags, workingDirectory });
      if (loaded.config === null) {
        for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`);
        return EXIT_MISUSE;
      }
      const loggers = createLoggers({ level });
      for (const problem of loaded.problems)
        loggers.get('config').warn(problem.code, { at: formatProblem(problem) }, problem.message);
      // Before the start: a signal that comes while starting ends the process in good order too.
      const stopped = new Promise<void>((resolve) => onStopSignal(resolve));
      let running: RunningService;
      try {
        running = await form.start(loaded.config, loggers.get('identity'));
      } catch (thrown) {
        loggers.close();
        if (!(thrown instanceof MeshError)) throw thrown;
        process.stderr.write(`postern: ${whyOf(thrown)}\n`);
        return EXIT_NEGATIVE;
      }
      try {
        // An agent may wait for its CA a while, or for ever.
        const isReady = await Promise.race([running.whenReady().then(() => true), stopped.then(() => false)]);
        if (isReady) writeReadyLine(running, loggers.get('main'));
        await stopped;
        return EXIT_OK;
      } finally {
        await running.close();
        loggers.close();
      }
    },
  };
}

function writeReadyLine(running: RunningService, log: Log): void {
  try {
    // Once, and at once, whatever kind of file stdout is.
    writeSync(1, `${JSON.stringify({ ready: true, pid: process.pid, ...running.facts })}\n`);
  } catch (thrown) {
    const error = messageOf(thrown);
    log.warn('ready_line_lost', { error }, 'Nobody reads standard output; serving on');
  }
}
