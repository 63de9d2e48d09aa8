/**
 * The log as other rooms see it: four levels, a stable code, fields, a sentence. No library's type is in it.
 *
 * Rooms are given a `Log` and never make one; `loggers.ts` does.
 */

/** Whatever a line says besides its code; secrets are redacted and long values cut before they are written. */
export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  /** Whether a debug line would be written: ask before building fields on the hot path. */
  readonly debugEnabled: boolean;
  /** `code` is stable (an `ErrorCodeName` or the name of an event); `message` may change freely. */
  error(code: string, fields: LogFields, message: string): void;
  warn(code: string, fields: LogFields, message: string): void;
  info(code: string, fields: LogFields, message: string): void;
  debug(code: string, fields: LogFields, message: string): void;
}

/** The loggers whose levels `POST /logging` sets. */
export const LOGGER_NAMES = [
  'admin',
  'config',
  'ext_authz',
  'http',
  'identity',
  'intercept',
  'jwt',
  'main',
  'rbac',
  'tls',
  'upstream',
] as const;

export type LoggerName = (typeof LOGGER_NAMES)[number];

/** Says nothing: for tools and tests that have no log. */
export const SILENT_LOG: Log = {
  debugEnabled: false,
  error() {},
  warn() {},
  info() {},
  debug() {},
};
