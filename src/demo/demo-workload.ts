/**
 * One workload of the demo: its agent, its sidecar in this process, and what the sidecar logs.
 *
 * A sidecar that does not become ready in time is told as such: the checks that need it fail, and the others go on.
 */
import { X509Certificate } from 'node:crypto';
import type { RunningAgent } from '../identity/agent-start.ts';
import type { WorkloadSecret } from '../identity/workload-secrets.ts';
import { createSidecar } from '../index.ts';
import type { OpenPorts, RunningSidecar } from '../index.ts';
import type { Place } from './demo-documents.ts';
import type { WorkloadName } from './demo-names.ts';
import { LogCapture } from './log-capture.ts';
import { withDeadline } from './with-deadline.ts';

/** An agent has its certificate in a tenth of that. */
const READY_MS = 5_000;

export interface WorkloadParts {
  readonly name: WorkloadName;
  readonly host: string;
  /** null: nobody has started it. */
  readonly agent: RunningAgent | null;
  /** Path of its postern.yaml. */
  readonly config: string;
}

export class DemoWorkload {
  readonly name: WorkloadName;
  /** The address that every listener is on. */
  readonly host: string;
  readonly logs: LogCapture;
  readonly agent: RunningAgent | null;
  readonly #config: string;
  readonly #signal: AbortSignal;
  #sidecar: RunningSidecar | null = null;
  #whyNot = 'not started';

  /** `signal` ends every wait. */
  constructor(parts: WorkloadParts, signal: AbortSignal) {
    this.name = parts.name;
    this.host = parts.host;
    this.agent = parts.agent;
    this.#config = parts.config;
    this.#signal = signal;
    this.logs = new LogCapture(signal);
  }

  /** Rejects only if it can never become ready, or the demo is stopped. */
  async start(): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), READY_MS);
    try {
      this.#sidecar = await createSidecar({
        config: this.#config,
        writeLog: this.logs.write,
        signal: AbortSignal.any([late.signal, this.#signal]),
      });
    } catch (thrown) {
      this.#signal.throwIfAborted();
      if (!late.signal.aborted) throw thrown;
      const { lastTrouble } = this.logs;
      this.#whyNot = `not ready after ${READY_MS} ms${lastTrouble === '' ? '' : `: ${lastTrouble}`}`;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Said of a sidecar that is not ready. */
  get whyNot(): string {
    return this.#whyNot;
  }

  get isReady(): boolean {
    return this.#sidecar !== null;
  }

  /** Throws with the reason if the sidecar is not ready, as everything here that needs it. */
  get ports(): OpenPorts {
    if (this.#sidecar === null) throw new Error(`the sidecar of ${this.name} is missing: ${this.#whyNot}`);
    return this.#sidecar.ports;
  }

  /** Where the sidecar takes its app's calls. */
  get egress(): Place {
    return { host: this.host, port: onlyPort(this.ports.egress) };
  }

  /** Where the sidecar stands before its app. */
  get ingress(): Place {
    return { host: this.host, port: onlyPort(this.ports.ingress) };
  }

  /** What its agent has given it. It holds the private key. */
  get secret(): WorkloadSecret {
    const secret = this.agent?.secret() ?? null;
    if (secret === null) throw new Error(`the agent of ${this.name} has no certificate`);
    return secret;
  }

  /** The agent gets another certificate; resolves when the sidecar has taken it. */
  async renew(): Promise<WorkloadSecret> {
    if (this.agent === null) throw new Error(`${this.name} has no agent`);
    const secret = await withDeadline(this.agent.renew(), `certificate for ${this.name}`, {
      signal: this.#signal,
    });
    await this.logs.waitFor(
      `of certificate ${secret.serial}`,
      (line) => line.code === 'secret' && line.field('serial') === secret.serial,
    );
    return secret;
  }

  async close(): Promise<void> {
    const sidecar = this.#sidecar;
    this.#sidecar = null;
    await sidecar?.close();
  }
}

/** SHA-256 of a chain's leaf, as x-forwarded-client-cert has it. */
export function fingerprintOf(chainPem: string): string {
  return new X509Certificate(chainPem).fingerprint256.replaceAll(':', '').toLowerCase();
}

function onlyPort(ports: Readonly<Record<string, number>> | undefined): number {
  const [port] = Object.values(ports ?? {});
  if (port === undefined) throw new Error('the sidecar has no listener for that');
  return port;
}
