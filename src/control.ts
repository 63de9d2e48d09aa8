/**
 * The other half in one place: reads the configuration, watches it and the identity files, keeps readiness,
 * serves admin, readiness and metrics, and sends the data half what it has to know.
 *
 *   postern.yaml ─ documents ─▶ snapshot ─┐                 ┌─ listening, reports
 *                  identity files ─▶ secret ┴─▶ data half ──┘        │
 *                                                  readiness ◀───────┴─▶ admin, metrics
 *
 * Bad configuration never replaces good: a reload with any error changes nothing and is told.
 */
import { formatAddress } from './core/address.ts';
import { messageOf, whyOf } from './core/errors.ts';
import { listenFix } from './core/listen-fix.ts';
import type { SecretMaterial, SecretSource } from './core/secret.ts';
import { createAdminEndpoints, createMetricsEndpoints, createReadinessEndpoints } from './admin-endpoints.ts';
import type { AdminSources } from './admin-endpoints.ts';
import type { PosternConfig } from './config/postern-config.ts';
import { watchConfig } from './config/watch-config.ts';
import type { ConfigWatcher } from './config/watch-config.ts';
import type { Filter } from './http/filter.ts';
import { createFileSecrets } from './identity/file-secrets.ts';
import { loadMesh, formatFinding } from './load-mesh.ts';
import type { Finding, LoadedMesh } from './load-mesh.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { DataReport, FromData, ToData } from './messages.ts';
import { openAdminServer } from './observe/admin-server.ts';
import type { AdminServer, EndpointTable } from './observe/admin-server.ts';
import { ControlCounters } from './observe/control-counters.ts';
import type { Log } from './observe/log.ts';
import type { Loggers } from './observe/loggers.ts';
import { Readiness } from './observe/readiness.ts';
import { OwnCertificate } from './own-certificate.ts';
import { Sidecar } from './sidecar.ts';

export interface ControlOptions {
  readonly config: PosternConfig;
  readonly loggers: Loggers;
  /** The embedding program's own filters. */
  readonly filters: readonly Filter[];
}

/** The ready line's ports; a listener that is not configured is absent. */
export interface OpenPorts {
  readonly intercept: number;
  readonly inbound?: number;
  readonly admin: number;
  readonly readiness: number;
  readonly metrics: number;
}

/** Why a start failed; every line is for stderr as it is. */
export class StartError extends Error {
  readonly lines: readonly string[];

  constructor(lines: readonly string[]) {
    super(lines[0] ?? 'Cannot start');
    this.name = 'StartError';
    this.lines = lines;
  }
}

/** A report that a data half does not give in this time is given up. */
const REPORT_TIMEOUT_MS = 5_000;
const EXPIRY_CHECK_INTERVAL_MS = 1_000;

export class Control implements AdminSources {
  readonly counters: ControlCounters = new ControlCounters();
  readonly readiness: Readiness = new Readiness();
  readonly loggers: Loggers;
  readonly config: PosternConfig;
  snapshot: Snapshot | null = null;
  readonly certificate: OwnCertificate = new OwnCertificate();
  readonly #log: Log;
  readonly #data: Sidecar;
  readonly #servers: AdminServer[] = [];
  readonly #waiting = new Map<number, (report: DataReport) => void>();
  #secrets: SecretSource | null = null;
  #watcher: ConfigWatcher | null = null;
  #expiryTimer: NodeJS.Timeout | null = null;
  #lastReportId = 0;
  #lastVersions = { version: 0, trustVersion: 0 };
  #reloading: Promise<unknown> = Promise.resolve();
  #applying = Promise.withResolvers<void>();
  #listening = Promise.withResolvers<{ readonly intercept: number; readonly inbound: number | null }>();
  #drained = Promise.withResolvers<void>();
  #closed = false;

  constructor(options: ControlOptions) {
    this.config = options.config;
    this.loggers = options.loggers;
    this.#log = options.loggers.get('main');
    const { app, intercept } = options.config;
    this.#data = new Sidecar({
      bind: intercept.bind,
      port: intercept.port,
      inboundPort: intercept.inboundPort,
      direct: intercept.direct,
      appHost: app.host,
      reusePort: false,
      filters: options.filters,
      loggers: options.loggers,
      send: (message) => this.#receive(message),
    });
  }

  /** Starts everything; rejects with `StartError`, and then nothing is left open. */
  async start(): Promise<OpenPorts> {
    const started = this.#start();
    // A change that comes while starting is taken up afterwards.
    this.#reloading = Promise.allSettled([started]);
    try {
      return await started;
    } catch (thrown) {
      await this.close();
      throw thrown instanceof StartError ? thrown : new StartError([`postern: ${whyOf(thrown)}`]);
    }
  }

  async #start(): Promise<OpenPorts> {
    const paths = this.config.config.map(({ path }) => path);
    this.#watcher = watchConfig(paths, () => this.reload());
    const loaded = loadMesh(this.config, 1);
    if (loaded.snapshot === null) throw new StartError(loaded.findings.filter(isError).map(formatFinding));
    this.#tellFindings(loaded);
    const { first, source } = await this.#openSecrets(loaded.snapshot.trustDomains);
    this.#secrets = source;
    await this.#apply(loaded.snapshot, first);
    this.#noteSecret(first);
    const admin = await this.#serve('admin', createAdminEndpoints(this));
    const readiness = await this.#serve('readiness', createReadinessEndpoints(this));
    const metrics = await this.#serve('metrics', createMetricsEndpoints(this));
    this.#send({ kind: 'listen', reservedPorts: [admin, readiness, metrics], bound: null });
    const { inbound, intercept } = await this.#listening.promise;
    this.#expiryTimer = setInterval(() => this.#checkExpiry(), EXPIRY_CHECK_INTERVAL_MS);
    this.counters.startedAtMs = Date.now();
    this.readiness.clear('not_started');
    this.#log.info('listening', { intercept, inbound, admin, readiness, metrics }, 'Listening');
    return { intercept, ...(inbound === null ? {} : { inbound }), admin, readiness, metrics };
  }

  // --- configuration

  /** Reads the documents again, after a reload that is under way; any error keeps what is in force. */
  reload(): void {
    this.#reloading = this.#reloading
      .then(() => this.#reload())
      .catch((thrown: unknown) => this.#refuseReload([whyOf(thrown)]));
  }

  async #reload(): Promise<void> {
    if (this.#closed || this.snapshot === null) return;
    const loaded = loadMesh(this.config, this.snapshot.generation + 1);
    const next = loaded.snapshot;
    if (next === null) {
      this.#refuseReload(loaded.findings.filter(isError).map(formatFinding));
      return;
    }
    if (sameButGeneration(this.snapshot, next)) {
      this.readiness.configLoaded(this.snapshot.generation, Date.now());
      this.#log.debug('reload_unchanged', {}, 'The documents say the same as before');
      return;
    }
    this.#tellFindings(loaded);
    try {
      if (String(next.trustDomains) === String(this.snapshot.trustDomains)) await this.#apply(next, null);
      else await this.#changeTrustDomains(next);
    } catch (thrown) {
      this.#refuseReload([whyOf(thrown)]);
      return;
    }
    this.counters.reloads++;
    this.#log.info('reloaded', { generation: next.generation }, 'The new configuration is in force');
  }

  /** The identity has to fit the new trust domains, and both take effect together. */
  async #changeTrustDomains(next: Snapshot): Promise<void> {
    const { first, source } = await this.#openSecrets(next.trustDomains);
    try {
      await this.#apply(next, first);
    } catch (thrown) {
      source.stop();
      throw thrown;
    }
    this.#secrets?.stop();
    this.#secrets = source;
    this.#noteSecret(first);
  }

  async #apply(snapshot: Snapshot, secret: SecretMaterial | null): Promise<void> {
    const applied = Promise.withResolvers<void>();
    this.#applying = applied;
    this.#send({ kind: 'snapshot', snapshot, secret, bound: null });
    await applied.promise;
    this.snapshot = snapshot;
    this.counters.generation = snapshot.generation;
    this.counters.loadedAtMs = Date.now();
    this.readiness.configLoaded(snapshot.generation, Date.now());
  }

  #refuseReload(errors: readonly string[]): void {
    this.counters.reloadsRefused++;
    this.readiness.configRefused(errors[0] ?? 'unknown');
    this.#log.error(
      'config_invalid',
      { errors },
      'The new configuration has errors; the last good one stays in force',
    );
  }

  #tellFindings(loaded: LoadedMesh): void {
    const log = this.loggers.get('config');
    for (const finding of loaded.findings) {
      if (finding.severity === 'warning')
        log.warn(finding.code, { at: formatFinding(finding) }, finding.message);
      else if (finding.severity === 'info')
        log.info(finding.code, { at: formatFinding(finding) }, finding.message);
    }
  }

  // --- identity

  /** Starts a source for these trust domains; what it gives after the first secret goes straight on. */
  async #openSecrets(
    trustDomains: readonly string[],
  ): Promise<{ first: SecretMaterial; source: SecretSource }> {
    const { identity } = this.config;
    if (identity.kind !== 'files') throw new Error('identity.sds is not wired yet');
    const source = createFileSecrets({ ...identity, trustDomains });
    // A source counts from 1; versions of this process only grow.
    const before = this.#lastVersions;
    const first = Promise.withResolvers<SecretMaterial>();
    await source.start(
      (given) => {
        const version = before.version + given.version;
        const secret = { ...given, version, trustVersion: before.trustVersion + given.trustVersion };
        this.#lastVersions = { version: secret.version, trustVersion: secret.trustVersion };
        if (this.#secrets === source) this.#onSecret(secret);
        else first.resolve(secret);
      },
      (message) => this.#refuseSecret(message),
    );
    return { first: await first.promise, source };
  }

  #onSecret(secret: SecretMaterial): void {
    this.#send({ kind: 'secret', secret });
    this.#noteSecret(secret);
  }

  #refuseSecret(why: string): void {
    this.counters.secretsRefused++;
    this.loggers
      .get('identity')
      .error(
        'identity_invalid',
        { why },
        'The new certificate, key or bundle cannot be used; the last good ones stay',
      );
  }

  #noteSecret(secret: SecretMaterial): void {
    this.counters.rotations++;
    this.certificate.set(secret);
    this.#checkExpiry();
    const { trustVersion, version } = secret;
    const log = this.loggers.get('identity');
    log.info('secret', { version, trustVersion, ...this.certificate.shown() }, 'A certificate is in force');
    const oddity = this.certificate.oddityFor(this.config.workload);
    if (oddity !== '') log.warn('identity_of_another_workload', {}, oddity);
  }

  #checkExpiry(): void {
    const { notAfterMs } = this.certificate.facts();
    this.counters.certificateNotAfterMs = notAfterMs;
    this.counters.rootNotAfterMs = this.certificate.rootNotAfterMs();
    if (Date.now() < notAfterMs) this.readiness.clear('identity_expired');
    else
      this.readiness.set(
        'identity_expired',
        `the own certificate expired at ${new Date(notAfterMs).toISOString()}: give a new one`,
      );
  }

  // --- the data half

  /** Both ways through a clone, so that nothing but plain values ever passes, as between threads. */
  #send(message: ToData): void {
    this.#data.receive(structuredClone(message));
  }

  #receive(raw: FromData): void {
    const message = structuredClone(raw);
    switch (message.kind) {
      case 'listening':
        this.#listening.resolve(message.ports);
        return;
      case 'listen-failed':
        this.#listening.reject(new Error(message.message));
        return;
      case 'secret-refused':
        this.#refuseSecret(message.message);
        return;
      case 'snapshot-refused':
        this.#applying.reject(new Error(message.message));
        return;
      case 'snapshot-applied':
        this.#applying.resolve();
        return;
      case 'report': {
        const resolve = this.#waiting.get(message.id);
        this.#waiting.delete(message.id);
        resolve?.(message.report);
        return;
      }
      case 'drained':
        this.#drained.resolve();
        return;
      case 'secret-installed':
        return;
      default:
        message satisfies never;
    }
  }

  report(): Promise<DataReport> {
    const id = ++this.#lastReportId;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error('the data half gave no report in time'));
      }, REPORT_TIMEOUT_MS);
      this.#waiting.set(id, (report) => {
        clearTimeout(timer);
        resolve(report);
      });
      this.#send({ kind: 'report', id });
    });
  }

  applyLogQuery(query: URLSearchParams): { readonly ok: boolean; readonly text: string } {
    const answer = this.loggers.applyQuery(query);
    this.#send({ kind: 'levels', levels: this.loggers.levels() });
    return answer;
  }

  /** A log line that the loggers left out: only they know. */
  noteLogLineLeftOut(): void {
    this.#data.counters.process.logLinesLeftOut++;
  }

  reopenLogs(): void {
    this.#send({ kind: 'reopen-logs' });
  }

  // --- servers and the end

  async #serve(setting: 'admin' | 'readiness' | 'metrics', endpoints: EndpointTable): Promise<number> {
    const address = this.config[setting];
    const access = setting === 'admin' ? 'admin' : 'open';
    try {
      const server = await openAdminServer({ ...address, endpoints, access, log: this.loggers.get('admin') });
      this.#servers.push(server);
      return server.address().port;
    } catch (thrown) {
      const where = formatAddress({ ip: address.bind, port: address.port });
      const fix = listenFix(thrown, setting, 'port');
      throw new StartError([`postern: Cannot listen on "${where}": ${messageOf(thrown)}; ${fix}`]);
    }
  }

  /** Ends what is under way in good order, then everything. */
  async drain(): Promise<void> {
    this.readiness.set('draining', 'the sidecar is shutting down');
    this.#log.info('draining', {}, 'Accepting nothing more; requests under way are finished');
    this.#watcher?.close();
    this.#send({ kind: 'drain', tunnelMs: this.config.drainMs, maxMs: this.config.drainMaxMs });
    await this.#drained.promise;
    await this.close();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watcher?.close();
    this.#secrets?.stop();
    if (this.#expiryTimer !== null) clearInterval(this.#expiryTimer);
    this.#send({ kind: 'stop' });
    await Promise.all(this.#servers.map((server) => server.close()));
  }
}

function isError(finding: Finding): boolean {
  return finding.severity === 'error';
}

function sameButGeneration(a: Snapshot, b: Snapshot): boolean {
  return JSON.stringify({ ...a, generation: 0 }) === JSON.stringify({ ...b, generation: 0 });
}
