/**
 * Postern as a library: a sidecar in this process, with filters of your own, decisions explained, and SPIFFE IDs as
 * values.
 *
 * Nothing else is public; what is not named here may change.
 */
import { loadPosternConfig } from './config/postern-config.ts';
import { formatProblem } from './config/problem.ts';
import { Control } from './control.ts';
import type { OpenPorts } from './control.ts';
import { detach } from './core/detach.ts';
import type { Filter } from './http/filter.ts';
import { createLoggers } from './observe/loggers.ts';
import type { LogLevel } from './observe/loggers.ts';
import { StartError } from './start-error.ts';

export type { ConnectionFacts, Continue, Deny, Filter, RequestContext, Verdict } from './http/filter.ts';
export type { RequestHead, ResponseHead } from './http/exchange.ts';
export type { Fields } from './http/fields.ts';
export type { VerifiedToken } from './core/jwt-plan.ts';
export type { PeerIdentity } from './core/peer-identity.ts';
export type { OpenPorts } from './control.ts';
export type { ExplainOptions, RequestDocument } from './explain/explain.ts';
export type { Explanation } from './explain/explanation.ts';
export { explain } from './explain/explain.ts';
export { CONTINUE } from './http/filter.ts';
export { addField, getField, getFieldValues, removeField, setField } from './http/fields.ts';
export { StartError } from './start-error.ts';
export { SpiffeId } from './svid/spiffe-id.ts';

export interface SidecarOptions {
  /** Path of a postern.yaml; relative to the working directory. */
  readonly config: string;
  /** Settings by path, above file and environment: `{'intercept.port': '0'}`. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Run after the built-in filters, in this order. Only with `concurrency: 1`: functions stay in their thread. */
  readonly filters?: readonly Filter[];
  readonly logLevel?: LogLevel;
  /** Where log lines go, each a JSON object with a newline; stderr if absent. */
  readonly writeLog?: (line: string) => void;
  /** Gives up a start that waits, as for an SDS server that is not there yet. */
  readonly signal?: AbortSignal;
}

export interface RunningSidecar {
  /** The ports in use now; port 0 has become a number. */
  readonly ports: OpenPorts;
  /** Reads the documents again, as a change of a watched file does. */
  reload(): void;
  /** Accepts nothing more, lets requests under way finish, then closes. */
  drain(): Promise<void>;
  /** Closes everything at once. */
  close(): Promise<void>;
}

/**
 * Starts a sidecar; it is ready when the promise settles, which with `identity.sds` takes until the SDS server has
 * given certificate and bundle. Rejects with `StartError`, and then nothing is left open.
 */
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
  const control = new Control({
    config: loaded.config,
    loggers,
    filters: options.filters ?? [],
    ...(options.writeLog === undefined ? {} : { writeLog: options.writeLog }),
  });
  leftOut.note = () => control.noteLogLineLeftOut();
  const giveUp = (): void => detach(control.close(), () => {});
  options.signal?.addEventListener('abort', giveUp, { once: true });
  try {
    if (options.signal?.aborted === true) giveUp();
    await control.start();
    await control.whenReady();
    const finish = async (end: Promise<void>): Promise<void> => {
      await end;
      loggers.close();
    };
    return {
      get ports() {
        return control.openPorts();
      },
      reload: () => control.reload(),
      drain: () => finish(control.drain()),
      close: () => finish(control.close()),
    };
  } catch (thrown) {
    await control.close();
    loggers.close();
    throw thrown;
  } finally {
    options.signal?.removeEventListener('abort', giveUp);
  }
}
