/**
 * The access log: one line per request or TCP connection, in Istio's words (MeshConfig accessLogFile,
 * accessLogEncoding, accessLogFormat), formatted here and written in batches.
 */
import { MeshError, messageOf } from '../core/errors.ts';
import type { AccessLogEntry } from './access-log-entry.ts';
import { compileAccessLogFormat } from './access-log-format.ts';
import { BatchedLineWriter } from './batched-line-writer.ts';
import type { ProcessCounters } from './counters.ts';
import { SILENT_LOG } from './log.ts';
import type { Log } from './log.ts';
import { isStandardStream, openWriteTarget } from './write-target.ts';
import type { WriteTarget } from './write-target.ts';

/** What the configuration says of the access log. */
export interface AccessLogSettings {
  /** `/dev/stdout`, `/dev/stderr` or a file, which is appended to. */
  readonly path: string;
  readonly encoding: 'TEXT' | 'JSON';
  /** As in MeshConfig; '' for Istio's default. */
  readonly format: string;
}

export interface AccessLogOptions {
  /** Told when writing fails and when it works again. */
  readonly log?: Log;
  /** Several threads write to the same stream. */
  readonly shared?: boolean;
}

export interface AccessLog {
  /** Formats the entry now; the caller may reuse it. Never throws, never waits. */
  log(entry: AccessLogEntry): void;
  /** Opens the file again, after it was moved away; a failure keeps the old one and is logged. */
  reopen(): void;
  /** True if everything logged so far is written; waits two seconds at most. */
  flush(deadlineMs?: number): Promise<boolean>;
  /** `flush`, then nothing more is written. */
  close(deadlineMs?: number): Promise<boolean>;
}

/** Throws a `MeshError` if the format or the file cannot be used. */
export function createAccessLog(
  settings: AccessLogSettings,
  counters: ProcessCounters,
  options: AccessLogOptions = {},
): AccessLog {
  const { path } = settings;
  const log = options.log ?? SILENT_LOG;
  const format = compileAccessLogFormat(settings.encoding, settings.format);
  if (!format.ok) throw new MeshError('access_log_failed', `Cannot use accessLogFormat: ${format.error}`);
  const { line } = format;
  const writer = new BatchedLineWriter(open(path), {
    shared: options.shared === true,
    onDropped: (lines) => {
      counters.accessLogDropped += lines;
    },
    onFailure: (reason) => {
      if (reason === null) log.info('access_log_recovered', { path }, 'The access log is written again');
      else
        log.error(
          'access_log_failed',
          { path, reason, dropped: counters.accessLogDropped },
          `Cannot write access log "${path}"`,
        );
    },
  });
  return {
    log(entry) {
      let text: string;
      try {
        text = line(entry);
      } catch (thrown) {
        // A request is never lost to its own log line.
        counters.bugs++;
        log.error('bug', { thrown }, 'Cannot format an access-log line');
        return;
      }
      if (writer.add(text)) counters.accessLogLines++;
    },
    reopen() {
      if (isStandardStream(path)) return;
      try {
        writer.replaceTarget(open(path));
        log.info('access_log_reopened', { path }, 'The access log was opened again');
      } catch (thrown) {
        log.error(
          'access_log_failed',
          { path, reason: messageOf(thrown) },
          `Cannot reopen access log "${path}"`,
        );
      }
    },
    flush: (deadlineMs) => writer.flush(deadlineMs),
    close: (deadlineMs) => writer.close(deadlineMs),
  };
}

function open(path: string): WriteTarget {
  try {
    return openWriteTarget(path);
  } catch (thrown) {
    const detail = `Cannot open access log "${path}": ${messageOf(thrown)}; name a file in a folder that can be written to`;
    throw new MeshError('access_log_failed', detail, { cause: thrown });
  }
}
