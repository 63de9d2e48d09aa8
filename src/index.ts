/**
 * Postern as a library: a sidecar in this process, with filters of your own, and SPIFFE IDs as values.
 *
 * Nothing else is public; what is not named here may change.
 */
import { loadPosternConfig } from './config/postern-config.ts';
import { formatProblem } from './config/problem.ts';
import { Control, StartError } from './control.ts';
import type { OpenPorts } from './control.ts';
import type { Filter } from './http/filter.ts';
import { createLoggers } from './observe/loggers.ts';
import type { LogLevel } from './observe/loggers.ts';

export type { ConnectionFacts, Continue, Deny, Filter, RequestContext, Verdict } from './http/filter.ts';
export type { RequestHead, ResponseHead } from './http/exchange.ts';
export type { Fields } from './http/fields.ts';
export type { PeerIdentity } from './core/peer-identity.ts';
export type { OpenPorts } from './control.ts';
export { CONTINUE } from './http/filter.ts';
export { addField, getField, getFieldValues, removeField, setField } from './http/fields.ts';
export { StartError } from './control.ts';
export { SpiffeId } from './svid/spiffe-id.ts';

export interface SidecarOptions {
  /** Path of a postern.yaml; relative to the working directory. */
  readonly config: string;
  /** Settings by path, above file and environment: `{'intercept.port': '0'}`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Run after the built-in filters, in this order. */
  readonly filters?: readonly Filter[];
  readonly logLevel?: LogLevel;
  /** Where log lines go, each a JSON object with a newline; stderr if absent. */
  readonly writeLog?: (line: string) => void;
}

export interface RunningSidecar {
  /** The ports in use; port 0 has become a number. */
  readonly ports: OpenPorts;
  /** Reads the documents again, as a change of a watched file does. */
  reload(): void;
  /** Accepts nothing more, lets requests under way finish, then closes. */
  drain(): Promise<void>;
  /** Closes everything at once. */
  close(): Promise<void>;
}

/** Starts a sidecar; it is ready when the promise settles. Rejects with `StartError`. */
export async function createSidecar(options: SidecarOptions): Promise<RunningSidecar> {
  const loaded = loadPosternConfig({
    file: options.config,
    environment: process.env,
    flags: options.settings ?? {},
    workingDirectory: process.cwd(),
  });
  if (loaded.config === null) throw new StartError(loaded.problems.map(formatProblem));
  const leftOut = { note: (): void => {} };
  const loggers = createLoggers({
    onLeftOut: () => leftOut.note(),
    ...(options.logLevel === undefined ? {} : { level: options.logLevel }),
    ...(options.writeLog === undefined ? {} : { write: options.writeLog }),
  });
  const control = new Control({ config: loaded.config, loggers, filters: options.filters ?? [] });
  leftOut.note = () => control.noteLogLineLeftOut();
  try {
    const ports = await control.start();
    const finish = async (end: Promise<void>): Promise<void> => {
      await end;
      loggers.close();
    };
    return {
      ports,
      reload: () => control.reload(),
      drain: () => finish(control.drain()),
      close: () => finish(control.close()),
    };
  } catch (thrown) {
    loggers.close();
    throw thrown;
  }
}
