/**
 * Makes the loggers: one JSON object a line on stderr by pino, a level per logger that can be set at run time,
 * secrets redacted, values cut, repeated refusals bounded. The access log is not its business.
 */
import { pino } from 'pino';
import { LineLimiter, LOG_WINDOW_MS } from './line-limiter.ts';
import { LOGGER_NAMES } from './log.ts';
import type { Log, LogFields, LoggerName } from './log.ts';
import { LOG_BOUNDS, redact } from './redact.ts';
import { closeStandardStream, openStandardStream } from './standard-stream.ts';
import { SyncLineWriter } from './sync-line-writer.ts';

/** Envoy's level names, as `POST /logging` takes and shows them, to pino's. */
const LEVELS: Readonly<Record<LogLevel, string>> = {
  trace: 'trace',
  debug: 'debug',
  info: 'info',
  warning: 'warn',
  error: 'error',
  critical: 'fatal',
  off: 'silent',
};

export type LogLevel = 'trace' | 'debug' | 'info' | 'warning' | 'error' | 'critical' | 'off';

/** Takes Envoy's names and the usual short ones; undefined for any other. */
export function parseLogLevel(text: string): LogLevel | undefined {
  switch (text) {
    case 'trace':
    case 'debug':
    case 'info':
    case 'warning':
    case 'error':
    case 'critical':
    case 'off':
      return text;
    case 'warn':
      return 'warning';
    default:
      return undefined;
  }
}

export interface LoggersOptions {
  /** For every logger at first; `info` if not given. */
  readonly level?: LogLevel;
  /** Number of the worker thread whose lines these are; every line then says it. */
  readonly worker?: number;
  /** Where lines go, newline included; stderr if not given. */
  readonly write?: (line: string) => void;
  /** Called for every line that was left out. */
  readonly onLeftOut?: () => void;
}

/** What `POST /logging` answers. */
export interface LoggingAnswer {
  readonly ok: boolean;
  readonly text: string;
}

export interface Loggers {
  get(name: LoggerName): Log;
  /** Levels by logger, to send to workers. */
  levels(): Record<LoggerName, LogLevel>;
  setLevel(name: LoggerName, level: LogLevel): void;
  setAllLevels(level: LogLevel): void;
  /** The query of Envoy's `POST /logging`: `level=debug`, `rbac=debug`, `paths=rbac:debug,tls:info` or nothing. */
  applyQuery(query: URLSearchParams): LoggingAnswer;
  /** Writes all that is outstanding, then nothing more. Also done when the process exits. */
  close(): void;
}

/** Keys that every line has; a field of that name gets an underscore behind. */
const OWN_KEYS = new Set(['level', 'time', 'logger', 'code', 'msg']);

function isLoggerName(name: string): name is LoggerName {
  return LOGGER_NAMES.some((known) => known === name);
}

/** Fields as pino may print them: plain, bounded, with keys that need no escaping (pino escapes none). */
function printable(code: string, fields: LogFields): Record<string, unknown> {
  const result: Record<string, unknown> = { code };
  try {
    const copy = redact(fields, LOG_BOUNDS);
    if (typeof copy !== 'object' || copy === null) return result;
    for (const [key, value] of Object.entries(copy)) {
      const name = key.replaceAll(/[^\w.:/-]/g, '_');
      result[OWN_KEYS.has(name) || name === '__proto__' ? `${name}_` : name] = value;
    }
  } catch (thrown) {
    // A getter that throws must not cost the line.
    result['unprintable'] = String(thrown);
  }
  return result;
}

function doNothing(): void {}

export function createLoggers(options: LoggersOptions = {}): Loggers {
  const onLeftOut = options.onLeftOut ?? doNothing;
  let write = options.write;
  let closeTarget = doNothing;
  if (write === undefined) {
    const stream = openStandardStream(2);
    const writer = new SyncLineWriter(stream.fd, onLeftOut);
    write = (line) => writer.write(line);
    closeTarget = () => {
      writer.close();
      closeStandardStream(stream);
    };
  }
  const root = pino(
    {
      level: 'trace',
      base: options.worker === undefined ? null : { worker: options.worker },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: {},
    },
    { write },
  );
  const levels = new Map<LoggerName, LogLevel>();
  const children = new Map<LoggerName, pino.Logger>();
  const logs = new Map<LoggerName, Log>();
  const limiter = new LineLimiter((logger, code, leftOut) => {
    const fields = {
      code: 'log_lines_left_out',
      logger_: logger,
      of: code,
      leftOut,
      windowMs: LOG_WINDOW_MS,
    };
    children.get('main')?.warn(fields, `${leftOut} more lines of "${code}" were left out`);
  });

  for (const name of LOGGER_NAMES) {
    const child = root.child({ logger: name });
    const limited = (
      level: 'error' | 'warn' | 'info',
      code: string,
      fields: LogFields,
      message: string,
    ): void => {
      if (!child.isLevelEnabled(level)) return;
      if (limiter.take(name, code)) child[level](printable(code, fields), message.toWellFormed());
      else onLeftOut();
    };
    children.set(name, child);
    logs.set(name, {
      get debugEnabled() {
        return child.isLevelEnabled('debug');
      },
      error: (code, fields, message) => limited('error', code, fields, message),
      warn: (code, fields, message) => limited('warn', code, fields, message),
      info: (code, fields, message) => limited('info', code, fields, message),
      debug(code, fields, message) {
        // Not limited: whoever set this level wants all of it.
        if (child.isLevelEnabled('debug')) child.debug(printable(code, fields), message.toWellFormed());
      },
    });
  }

  const setLevel = (name: LoggerName, level: LogLevel): void => {
    levels.set(name, level);
    children.get(name)!.level = LEVELS[level];
  };
  const setAllLevels = (level: LogLevel): void => {
    for (const name of LOGGER_NAMES) setLevel(name, level);
  };
  setAllLevels(options.level ?? 'info');

  let closed = false;
  const close = (): void => {
    if (closed) return;
    closed = true;
    process.off('exit', close);
    limiter.close();
    closeTarget();
  };
  process.on('exit', close);

  const list = (): string => LOGGER_NAMES.map((name) => `  ${name}: ${levels.get(name)!}\n`).join('');
  return {
    get: (name) => logs.get(name)!,
    levels() {
      const result: Partial<Record<LoggerName, LogLevel>> = {};
      for (const name of LOGGER_NAMES) result[name] = levels.get(name)!;
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- every name was just set
      return result as Record<LoggerName, LogLevel>;
    },
    setLevel,
    setAllLevels,
    applyQuery(query) {
      const changes = parseLoggingQuery(query);
      if (typeof changes === 'string') return { ok: false, text: `error: ${changes}\n` };
      for (const { name, level } of changes) {
        if (name === 'all') setAllLevels(level);
        else setLevel(name, level);
      }
      return { ok: true, text: `active loggers:\n${list()}` };
    },
    close,
  };
}

interface LevelChange {
  readonly name: LoggerName | 'all';
  readonly level: LogLevel;
}

/** All changes of a query, or what is wrong with it: a bad one changes nothing. */
function parseLoggingQuery(query: URLSearchParams): LevelChange[] | string {
  const changes: LevelChange[] = [];
  for (const [key, value] of query) {
    const pairs = key === 'paths' ? value.split(',').map((pair) => pair.split(':')) : [[key, value]];
    for (const [name = '', levelText = ''] of pairs) {
      const level = parseLogLevel(levelText);
      if (level === undefined)
        return `unknown level "${levelText}"; use one of ${Object.keys(LEVELS).join(', ')}`;
      if (name === 'level') changes.push({ name: 'all', level });
      else if (isLoggerName(name)) changes.push({ name, level });
      else return `unknown logger "${name}"; use one of ${LOGGER_NAMES.join(', ')}`;
    }
  }
  return changes;
}
