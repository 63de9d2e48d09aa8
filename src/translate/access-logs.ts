/** MeshConfig's access log as Envoy's file logger, with Istio's default fields where no format is written. */
import type { AccessLogPlan } from '../mesh/plan.ts';
import { DEFAULT_JSON_FORMAT, DEFAULT_TEXT_FORMAT } from '../observe/access-log-format.ts';
import { type EnvoyMessage, extension } from './envoy-message.ts';

/** Empty: nothing is logged. */
export function accessLogs(plan: AccessLogPlan | null): EnvoyMessage[] {
  if (plan === null) return [];
  const type = 'envoy.extensions.access_loggers.file.v3.FileAccessLog';
  return [extension('envoy.access_loggers.file', type, { path: plan.path, logFormat: logFormat(plan) })];
}

function logFormat({ encoding, format }: AccessLogPlan): EnvoyMessage {
  if (encoding === 'TEXT') {
    const line = format === '' ? DEFAULT_TEXT_FORMAT : format;
    return { textFormatSource: { inlineString: line.endsWith('\n') ? line : `${line}\n` } };
  }
  const fields: unknown = format === '' ? DEFAULT_JSON_FORMAT : JSON.parse(format);
  return { jsonFormat: fields };
}
