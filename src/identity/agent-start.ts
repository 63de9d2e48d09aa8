/**
 * An agent as a running thing: the workload's certificate, the SDS socket and the readiness listener, closed together.
 * `postern agent` and the demo start one; options are plain values.
 */
import { MeshError } from '../core/errors.ts';
import { type AdminServer, type EndpointTable, openAdminServer } from '../observe/admin-server.ts';
import { Readiness } from '../observe/readiness.ts';
import { Agent, type AgentIdentityOptions } from './agent.ts';
import { parseCaAddress } from './agent-ca-client.ts';
import { cannotListen } from './cannot-listen.ts';
import { createSdsServer, type SdsServer } from './sds-server.ts';
import type { WorkloadSecret } from './workload-secrets.ts';

export interface AgentOptions extends AgentIdentityOptions {
  readonly socket: { readonly path: string; readonly mode: number; readonly uids: readonly number[] };
  /** null: no listener. */
  readonly readiness: { readonly bind: string; readonly port: number } | null;
}

export interface RunningAgent {
  readonly sockets: readonly [string];
  readonly ports: { readonly readiness?: number };
  /** What is in force and valid; null if nothing is. It holds the private key: never to be logged or written. */
  secret(): WorkloadSecret | null;
  /** Resolves when its readiness endpoint answers 200. */
  whenReady(): Promise<void>;
  /** Asks for a new certificate now and pushes it. */
  renew(): Promise<WorkloadSecret>;
  close(): Promise<void>;
}

/** Rejects with a MeshError whose detail is for the operator; nothing is left open then. */
export async function startAgent(options: AgentOptions): Promise<RunningAgent> {
  const { ca, log, socket } = options;
  if (parseCaAddress(ca.address) === null)
    throw new MeshError(
      'ca_unreachable',
      `Cannot use ca.address "${ca.address}": set it to HOST:PORT, such as 127.0.0.1:15012`,
    );
  const agent = new Agent(options);
  const readiness = new Readiness();
  let sds: SdsServer | null = null;
  let server: AdminServer | null = null;
  const close = async (): Promise<void> => {
    agent.close();
    await sds?.close();
    await server?.close();
  };
  try {
    await agent.start();
    sds = await createSdsServer({ ...socket, provider: agent, log });
    server = await openReadiness(options, endpoints(agent, readiness));
  } catch (thrown) {
    await close();
    throw thrown;
  }
  readiness.clear('not_started');
  const ports = server === null ? {} : { readiness: server.address().port };
  return {
    sockets: [sds.path],
    ports,
    secret: () => agent.secret,
    whenReady: () => agent.whenReady(),
    renew: () => agent.renew(),
    close,
  };
}

async function openReadiness(options: AgentOptions, table: EndpointTable): Promise<AdminServer | null> {
  if (options.readiness === null) return null;
  try {
    return await openAdminServer({
      ...options.readiness,
      endpoints: table,
      access: 'open',
      log: options.log,
    });
  } catch (thrown) {
    throw cannotListen(options.readiness, 'readiness', thrown);
  }
}

/** Not ready while a certificate was asked for and there is none: an agent that waits to be asked is ready. */
function endpoints(agent: Agent, readiness: Readiness): EndpointTable {
  const ready: EndpointTable[string] = {
    method: 'GET',
    help: '200 LIVE, or 503 and one line why; ?format=json',
    answer: ({ query }) => {
      const { unreadyReason } = agent;
      if (unreadyReason === null) readiness.clear('no_certificate');
      else readiness.set('no_certificate', unreadyReason);
      return readiness.answer(query);
    },
  };
  return { '/healthz/ready': ready, '/ready': ready };
}
