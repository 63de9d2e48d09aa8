/** `postern proxy`: the sidecar as a process, from the ready line to the drained exit. */
import { writeSync } from 'node:fs';
import v8 from 'node:v8';
import { CONFIG_KEYS } from '../config/config-keys.ts';
import { loadPosternConfig } from '../config/postern-config.ts';
import { formatProblem } from '../config/problem.ts';
import { Control } from '../control.ts';
import { detach } from '../core/detach.ts';
import { messageOf } from '../core/errors.ts';
import type { Log } from '../observe/log.ts';
import { createLoggers, parseLogLevel } from '../observe/loggers.ts';
import { StartError } from '../start-error.ts';
import type { Command, Flag } from './command.ts';
import { EXIT_MISUSE, EXIT_NEGATIVE, EXIT_OK, textFlag, UsageError } from './command.ts';
import { onStopSignal } from './stop-signal.ts';

/** Every setting of postern.yaml that is one value is a flag too, by its path. */
const SETTING_FLAGS: Readonly<Record<string, Flag>> = Object.fromEntries(
  CONFIG_KEYS.filter((key) => key.type !== 'entries').map((key): [string, Flag] => [
    key.path,
    { type: 'string', value: key.type.toUpperCase(), meaning: key.meaning },
  ]),
);

/**
 * The old generation may grow to 1.5 times what lives before it is collected; V8 by itself waits for four times. What a
 * short connection leaves behind ends there, for Node keeps closed sockets from the scavenger: test/long/pair-churn has
 * 190 MB in place of 260, at the same CPU.
 */
const COLLECT_SOONER = '--heap-growing-percent=50';

/**
 * V8 collects in the thread that it collects for: waking helpers costs more than they save on a heap of 20 MB. The pair
 * of the bench: 4 to 6 % less CPU per request, and no pause that its latencies would show.
 */
const COLLECT_ALONE = '--single-threaded-gc';

export const proxyCommand: Command = {
  name: 'proxy',
  summary: 'Run the sidecar',
  usage: '--config postern.yaml [--log-level info] [--SETTING VALUE …]',
  example: 'postern proxy --config postern.yaml --intercept.port 15001',
  takesPositionals: false,
  flags: {
    config: { type: 'string', value: 'FILE', meaning: 'the postern.yaml to run' },
    'log-level': {
      type: 'string',
      value: 'LEVEL',
      meaning: 'trace, debug, info, warning, error or off; default info',
    },
    ...SETTING_FLAGS,
  },
  more: () => 'A flag named like a setting wins over the environment (POSTERN_…), which wins over the file.',
  async run(parsed) {
    v8.setFlagsFromString(COLLECT_SOONER);
    v8.setFlagsFromString(COLLECT_ALONE);
    const file = textFlag(parsed, 'config');
    if (file === undefined)
      throw new UsageError('Cannot run without a configuration: give --config postern.yaml');
    const levelText = textFlag(parsed, 'log-level') ?? 'info';
    const level = parseLogLevel(levelText);
    if (level === undefined)
      throw new UsageError(`Cannot log at "${levelText}": give trace, debug, info, warning, error or off`);
    const flags: Record<string, string> = {};
    for (const name of Object.keys(SETTING_FLAGS)) {
      const value = textFlag(parsed, name);
      if (value !== undefined) flags[name] = value;
    }
    const workingDirectory = process.cwd();
    const loaded = loadPosternConfig({ file, environment: process.env, flags, workingDirectory });
    if (loaded.config === null) {
      for (const problem of loaded.problems) process.stderr.write(`${formatProblem(problem)}\n`);
      return EXIT_MISUSE;
    }
    // Lines may be left out before there is a control half that counts them.
    const leftOut = { note: (): void => {} };
    const loggers = createLoggers({ level, onLeftOut: () => leftOut.note() });
    for (const problem of loaded.problems) {
      loggers.get('config').warn(problem.code, { at: formatProblem(problem) }, problem.message);
    }
    const control = new Control({ config: loaded.config, loggers, filters: [], holdsStdout: true });
    leftOut.note = () => control.noteLogLineLeftOut();
    // Before the start: a signal that comes while starting ends the process in good order too.
    const stopped = new Promise<void>((resolve) => onStopSignal(resolve));
    process.on('SIGUSR1', () => control.reopenLogs());
    try {
      await control.start();
      // Its identity may take a while to come, or never do.
      const isReady = await Promise.race([control.whenReady().then(() => true), stopped.then(() => false)]);
      if (isReady) await writeReadyLine(control, loggers.get('main'));
      await stopped;
      await control.drain();
      return EXIT_OK;
    } catch (thrown) {
      if (!(thrown instanceof StartError)) throw thrown;
      for (const line of thrown.lines) process.stderr.write(`${line}\n`);
      return EXIT_NEGATIVE;
    } finally {
      detach(control.close(), () => {});
      loggers.close();
    }
  },
};

async function writeReadyLine(control: Control, log: Log): Promise<void> {
  const { namespace, name } = control.config.workload;
  const ports = control.openPorts();
  const line = { ready: true, workload: `${namespace}/${name}`, pid: process.pid, ports };
  await control.releaseStdout();
  try {
    // First and once, before any access-log line: written at once, whatever kind of file stdout is.
    writeSync(1, `${JSON.stringify(line)}\n`);
  } catch (thrown) {
    const error = messageOf(thrown);
    log.warn('ready_line_lost', { error }, 'Nobody reads standard output; serving on');
  }
}
