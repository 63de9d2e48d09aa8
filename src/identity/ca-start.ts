/**
 * A certificate authority as a running thing: root, verifier, service, listener and admin, opened in that order and
 * closed together. `postern ca` and the demo start one; options are plain values.
 */
import {
  type AdminServer,
  type EndpointTable,
  openAdminServer,
  textAnswer,
} from '../observe/admin-server.ts';
import type { Log } from '../observe/log.ts';
import { Readiness } from '../observe/readiness.ts';
import { type Authority, createAuthority, type KeyAlgorithmName } from './authority.ts';
import { cannotListen } from './cannot-listen.ts';
import { CaCounters } from './ca-counters.ts';
import { type CaServer, openCaServer } from './ca-server.ts';
import { createCaService } from './ca-service.ts';
import { openRootFolder } from './root-folder.ts';
import { createDevelopmentVerifier, type DevelopmentTokenOptions, firstOf } from './token-verify.ts';

export interface CaOptions {
  readonly listen: { readonly bind: string; readonly port: number; readonly names: readonly string[] };
  readonly trustDomain: string;
  /** null: a root in memory only. */
  readonly rootFolder: string | null;
  /** A root that the caller made and keeps; `rootFolder` and `key` say nothing then. */
  readonly authority?: Authority;
  /** Of a root that is made. */
  readonly key: KeyAlgorithmName;
  readonly ttl: { readonly defaultMs: number; readonly maxMs: number };
  /** Tried in order. */
  readonly tokens: readonly Omit<DevelopmentTokenOptions, 'onError'>[];
  /** null: no listener. */
  readonly admin: { readonly bind: string; readonly port: number } | null;
  readonly log: Log;
}

export interface RunningCa {
  readonly ports: { readonly ca: number; readonly admin?: number };
  readonly rootPem: string;
  readonly counters: CaCounters;
  /** PKCS #8 of the root and of the own server certificate: for who looks for them where they must not be. */
  privateKeys(): Promise<readonly string[]>;
  /** Lets calls under way end, then closes everything. */
  close(): Promise<void>;
}

/** Rejects with a MeshError whose detail is for the operator; nothing is left open then. */
export async function startCa(options: CaOptions): Promise<RunningCa> {
  const { log } = options;
  const authority = await openAuthority(options);
  const onError = (message: string): void => log.error('token_invalid', {}, message);
  const verifiers = await Promise.all(
    options.tokens.map((token) => createDevelopmentVerifier({ ...token, onError })),
  );
  if (verifiers.length === 0)
    log.warn('token_invalid', {}, 'No verifier of tokens is configured: every request will be refused');
  const counters = new CaCounters();
  const service = createCaService({
    authority,
    verifier: firstOf(verifiers),
    ttl: options.ttl,
    counters,
    log,
  });
  const readiness = new Readiness();
  const ca = await openListener(options, authority, service);
  let admin: AdminServer | null;
  try {
    admin = await openAdmin(options, createEndpoints(readiness, counters, authority, ca));
  } catch (thrown) {
    await ca.close();
    throw thrown;
  }
  readiness.clear('not_started');
  const ports = { ca: ca.port, ...(admin === null ? {} : { admin: admin.address().port }) };
  log.info('listening', ports, 'Listening');
  return {
    ports,
    rootPem: authority.rootPem,
    counters,
    privateKeys: async () => [await authority.exportPrivateKey(), ca.keyPem],
    async close() {
      readiness.set('draining', 'the CA is shutting down');
      await ca.close();
      await admin?.close();
    },
  };
}

async function openAuthority(options: CaOptions): Promise<Authority> {
  const { key: keyAlgorithm, log, rootFolder, trustDomain } = options;
  if (options.authority !== undefined) return options.authority;
  if (rootFolder === null) return createAuthority({ trustDomain, keyAlgorithm });
  const opened = await openRootFolder({ folder: rootFolder, trustDomain, keyAlgorithm });
  for (const warning of opened.warnings) log.warn('root_key_readable', {}, warning);
  const notAfter = new Date(opened.authority.notAfterMs).toISOString();
  if (opened.isNew) log.info('root_made', { folder: rootFolder, notAfter }, 'Made a new root');
  else log.info('root_loaded', { folder: rootFolder, notAfter }, 'Loaded the root');
  return opened.authority;
}

async function openListener(
  options: CaOptions,
  authority: Authority,
  service: ReturnType<typeof createCaService>,
): Promise<CaServer> {
  const { listen, log } = options;
  try {
    return await openCaServer({ ...listen, authority, service, log });
  } catch (thrown) {
    throw cannotListen(listen, 'listen', thrown);
  }
}

async function openAdmin(options: CaOptions, endpoints: EndpointTable): Promise<AdminServer | null> {
  if (options.admin === null) return null;
  try {
    return await openAdminServer({ ...options.admin, endpoints, access: 'open', log: options.log });
  } catch (thrown) {
    throw cannotListen(options.admin, 'admin', thrown);
  }
}

/** Names, numbers and no secrets: health checks and scrapers ask under names of their own. */
function createEndpoints(
  readiness: Readiness,
  counters: CaCounters,
  authority: Authority,
  ca: CaServer,
): EndpointTable {
  const ready: EndpointTable[string] = {
    method: 'GET',
    help: '200 LIVE, or 503 and one line why; ?format=json',
    answer: ({ query }) => readiness.answer(query),
  };
  const stats: EndpointTable[string] = {
    method: 'GET',
    help: 'counters in the Prometheus format',
    answer: async () =>
      textAnswer(200, await counters.render(authority.notAfterMs, ca.certificateNotAfterMs)),
  };
  return { '/ready': ready, '/healthz/ready': ready, '/stats/prometheus': stats, '/metrics': stats };
}
