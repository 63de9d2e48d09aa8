/**
 * The other half in one place: reads the configuration, watches it and the identity, keeps readiness, serves
 * admin, readiness and metrics, and tells the data halves what they have to know.
 *
 *   postern.yaml ─ documents ─▶ snapshot, TLS files ─┐                    ┌─ listening, reports
 *                  files or SDS ──────────▶ secret ──┴─▶ data halves 1…N ─┘        │
 *                                                         readiness ◀──────────────┴─▶ admin, metrics
 *
 * Bad configuration never replaces good: a reload with any error changes nothing and is told.
 */
import type { AdminSources } from './admin-endpoints.ts';
import type { PosternConfig } from './config/postern-config.ts';
import { watchConfig } from './config/watch-config.ts';
import type { ConfigWatcher } from './config/watch-config.ts';
import type { DataHalves, TlsFileTexts } from './control-data-halves.ts';
import { ControlIdentity } from './control-identity.ts';
import { ControlKeySets, ownPortsOf } from './control-key-sets.ts';
import type { KeySetState } from './control-key-sets.ts';
import { openDataHalves } from './control-open-data-halves.ts';
import { ControlServers } from './control-servers.ts';
import type { ServerPorts } from './control-servers.ts';
import { ControlTlsFiles } from './control-tls-files.ts';
import { detach } from './core/detach.ts';
import { messageOf, whyOf } from './core/errors.ts';
import { inSlices } from './core/in-slices.ts';
import type { SecretMaterial } from './core/secret.ts';
import { DataHalfGone } from './data-conversation.ts';
import type { SummedReport } from './data-reports.ts';
import type { Filter } from './http/filter.ts';
import { formatFinding, loadMesh, loadMeshSteps } from './load-mesh.ts';
import type { Finding, LoadedMesh } from './load-mesh.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { BoundPorts } from './messages.ts';
import { ControlCounters } from './observe/control-counters.ts';
import { Counters } from './observe/counters.ts';
import type { Log } from './observe/log.ts';
import type { Loggers } from './observe/loggers.ts';
import { Readiness } from './observe/readiness.ts';
import { isStandardOutput } from './observe/write-target.ts';
import type { OwnCertificate } from './own-certificate.ts';
import { StartError } from './start-error.ts';

export interface ControlOptions {
  readonly config: PosternConfig;
  readonly loggers: Loggers;
  /** The embedding program's own filters: only with `concurrency: 1`. */
  readonly filters: readonly Filter[];
  /** Takes the log lines of workers; absent: they go to stderr. */
  readonly writeLog?: (line: string) => void;
  /** Standard output is the caller's until `releaseStdout`: an access log that goes there begins with it. */
  readonly holdsStdout?: boolean;
}

/** The ready line's ports; a listener that is not configured is absent. */
export interface OpenPorts extends ServerPorts {
  readonly intercept: number;
  readonly inbound?: number;
  /** Port as written in the Sidecar document → port in use. */
  readonly ingress?: Readonly<Record<string, number>>;
  readonly egress?: Readonly<Record<string, number>>;
}

/** How long a reload waits for keys that it needs for the first time: a policy must not wait for an issuer. */
const RELOAD_KEYS_WAIT_MS = 500;

export class Control implements AdminSources {
  readonly counters: ControlCounters = new ControlCounters();
  readonly readiness: Readiness = new Readiness((ready) => this.#turned(ready));
  readonly loggers: Loggers;
  readonly config: PosternConfig;
  snapshot: Snapshot | null = null;
  readonly #options: ControlOptions;
  readonly #log: Log;
  readonly #identity: ControlIdentity;
  readonly #tlsFiles = new ControlTlsFiles(() => this.#rereadTlsFiles());
  readonly #keySets: ControlKeySets;
  readonly #servers: ControlServers;
  /** What this half counts of itself. */
  readonly #own = new Counters();
  readonly #ready = Promise.withResolvers<void>();
  #halves: DataHalves | null = null;
  #serverPorts: ServerPorts | null = null;
  #watcher: ConfigWatcher | null = null;
  #reloading: Promise<unknown> = Promise.resolve();
  #holdsStdout: boolean;
  #closed = false;

  constructor(options: ControlOptions) {
    const { config, loggers } = options;
    this.#options = options;
    this.#holdsStdout = options.holdsStdout === true;
    this.config = config;
    this.loggers = loggers;
    this.#log = loggers.get('main');
    this.#identity = new ControlIdentity({
      config,
      counters: this.counters,
      readiness: this.readiness,
      log: loggers.get('identity'),
      install: async (secret) =>
        (await this.#halves?.installSecret(secret)) ?? { installed: false, refusals: [] },
      onBug: this.#onBug,
    });
    this.#keySets = new ControlKeySets({
      config,
      ownPorts: () => ownPortsOf(config, this.#halves?.bound ?? null, this.#serverPorts),
      counters: this.counters,
      log: loggers.get('config'),
      send: (keySets) => {
        if (this.#halves !== null) detach(this.#halves.putKeySets(keySets), this.#onBug);
      },
      onBug: this.#onBug,
    });
    this.#servers = new ControlServers(this, loggers.get('admin'));
    this.#ready.promise.catch(() => {});
  }

  get certificate(): OwnCertificate {
    return this.#identity.certificate;
  }

  keySets(): KeySetState[] {
    return this.#keySets.states();
  }

  /** Opens everything; it may still have to wait for its identity. Rejects with `StartError`, and then all is closed. */
  async start(): Promise<void> {
    const started = this.#start();
    // A change that comes while starting is taken up afterwards.
    this.#reloading = Promise.allSettled([started]);
    try {
      await started;
    } catch (thrown) {
      this.#closed = true;
      await this.#end();
      throw thrown instanceof StartError ? thrown : new StartError([`postern: ${whyOf(thrown)}`]);
    }
  }

  /** Settles when it is ready for the first time; rejects with `StartError` if it is closed before. */
  whenReady(): Promise<void> {
    return this.#ready.promise;
  }

  async #start(): Promise<void> {
    this.#watcher = watchConfig(
      this.config.config.map(({ path }) => path),
      () => this.reload(),
    );
    const loaded = loadMesh(this.config, 1);
    const { snapshot } = loaded;
    if (snapshot === null) throw new StartError(loaded.findings.filter(isError).map(formatFinding));
    this.#tellFindings(loaded);
    const files = await this.#tlsFiles.read(snapshot);
    const { counters, readiness } = this;
    const halves = await openDataHalves({ ...this.#options, counters, readiness });
    this.#halves = halves;
    this.#checkOpen();
    const keysTried = this.#keySets.prepare(snapshot.jwt.keySets);
    await this.#identity.start(snapshot.trustDomains, (secret) => this.#apply(snapshot, secret, files));
    this.#checkOpen();
    const servers = await this.#servers.open();
    this.#serverPorts = servers;
    await keysTried;
    this.#checkOpen();
    const { inbound, intercept, ...more } = await halves.listen(Object.values(servers));
    this.#checkOpen();
    this.counters.startedAtMs = Date.now();
    this.#log.info('listening', { intercept, inbound, ...servers, ...withoutEmpty(more) }, 'Listening');
    this.readiness.clear('not_started');
  }

  #checkOpen(): void {
    if (this.#closed) throw new StartError(['postern: the sidecar was closed while starting']);
  }

  /** Ports in use now. */
  openPorts(): OpenPorts {
    const bound = this.#halves?.bound ?? null;
    if (bound === null || this.#serverPorts === null) throw new Error('the listeners are not open');
    const { inbound, intercept, ingress, egress } = bound;
    return {
      intercept,
      ...(inbound === null ? {} : { inbound }),
      ...this.#serverPorts,
      ...withoutEmpty({ ingress, egress }),
    };
  }

  #turned(ready: boolean): void {
    if (ready) {
      this.#ready.resolve();
      this.#log.info('ready', {}, 'Ready');
    } else if (!this.#closed) {
      const { reasons } = this.readiness.state();
      const why = reasons.map(({ code, message }) => `${code}: ${message}`);
      this.#log.warn('not_ready', { why }, 'Not ready any more');
    }
  }

  // --- configuration

  /** Reads the documents again, after a reload that is under way; any error keeps what is in force. */
  reload(): void {
    const refuse = (thrown: unknown): void => this.#refuseReload([whyOf(thrown)]);
    this.#inTurn(
      () => this.#reload(),
      (thrown) => {
        refuse(thrown);
        // A worker that ends says little against the documents, and nobody may touch them again; twice, it says much.
        if (thrown instanceof DataHalfGone) this.#inTurn(() => this.#reload(), refuse);
      },
    );
  }

  async #reload(): Promise<void> {
    if (this.#closed || this.snapshot === null) return;
    const loaded = await inSlices(loadMeshSteps(this.config, this.snapshot.generation + 1));
    if (this.#closed) return;
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
    const files = await this.#tlsFiles.read(next);
    await this.#keySets.prepare(next.jwt.keySets, RELOAD_KEYS_WAIT_MS);
    if (String(next.trustDomains) === String(this.snapshot.trustDomains))
      await this.#apply(next, null, files);
    else await this.#identity.change(next.trustDomains, (secret) => this.#apply(next, secret, files));
    this.counters.reloads++;
    this.#log.info('reloaded', { generation: next.generation }, 'The new configuration is in force');
  }

  async #apply(snapshot: Snapshot, secret: SecretMaterial | null, files: TlsFileTexts): Promise<void> {
    const tlsFiles = this.#tlsFiles.differ(files) ? files : null;
    await this.#halves?.apply({ snapshot: this.#told(snapshot), secret, tlsFiles });
    if (this.#closed) return;
    this.#tlsFiles.note(files);
    this.#keySets.note(snapshot.jwt.keySets);
    this.snapshot = snapshot;
    this.counters.generation = snapshot.generation;
    this.counters.loadedAtMs = Date.now();
    this.readiness.configLoaded(snapshot.generation, Date.now());
  }

  /** What the data halves are told of it. */
  #told(snapshot: Snapshot): Snapshot {
    const isHeld = this.#holdsStdout && isStandardOutput(snapshot.accessLog?.path ?? '');
    return isHeld ? { ...snapshot, accessLog: null } : snapshot;
  }

  /** Settles when the access log may write to standard output, which it does no sooner than with its next batch. */
  async releaseStdout(): Promise<void> {
    const { snapshot } = this;
    if (snapshot === null || !this.#holdsStdout) return;
    this.#holdsStdout = false;
    if (!isStandardOutput(snapshot.accessLog?.path ?? '')) return;
    await this.#halves?.apply({ snapshot, secret: null, tlsFiles: null });
  }

  #refuseReload(errors: readonly string[]): void {
    if (this.#closed) return;
    this.counters.reloadsRefused++;
    this.readiness.configRefused(errors[0] ?? 'unknown');
    if (this.snapshot !== null) this.#keySets.note(this.snapshot.jwt.keySets);
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

  /** Files that DestinationRules name were replaced, or those have come for whose absence documents were refused. */
  #rereadTlsFiles(): void {
    if (this.readiness.state().config.lastError !== null) this.reload();
    const log = this.loggers.get('config');
    const reread = async (): Promise<void> => {
      if (this.#closed || this.snapshot === null) return;
      const files = await this.#tlsFiles.read(this.snapshot);
      if (!this.#tlsFiles.differ(files)) return;
      await this.#halves?.installTlsFiles(files);
      this.#tlsFiles.note(files);
      log.info('tls_files', { files: Object.keys(files) }, 'New files of DestinationRules are in force');
    };
    this.#inTurn(reread, (thrown) => {
      const message = 'New files of DestinationRules cannot be used; the last good ones stay';
      log.error('tls_files_invalid', { why: whyOf(thrown) }, message);
    });
  }

  #inTurn(run: () => Promise<void>, onFailed: (thrown: unknown) => void): void {
    this.#reloading = this.#reloading.then(run).catch(onFailed);
  }

  // --- the data halves

  report(): Promise<SummedReport> {
    return this.#halves?.report(this.#own) ?? Promise.reject(new Error('the data halves are not started'));
  }

  applyLogQuery(query: URLSearchParams): { readonly ok: boolean; readonly text: string } {
    const answer = this.loggers.applyQuery(query);
    this.#halves?.setLevels(this.loggers.levels());
    return answer;
  }

  /** A log line that the loggers left out: only they know. */
  noteLogLineLeftOut(): void {
    this.#own.process.logLinesLeftOut++;
  }

  reopenLogs(): void {
    this.#halves?.reopenLogs();
  }

  // --- the end

  /** Ends what is under way in good order, then everything. */
  async drain(): Promise<void> {
    this.readiness.set('draining', 'the sidecar is shutting down');
    this.#log.info('draining', {}, 'Accepting nothing more from outside; requests under way are finished');
    this.#watcher?.close();
    await this.#halves?.drain(this.config.drainMs, this.config.drainMaxMs);
    await this.close();
  }

  /** Also while it is starting or waits for its identity. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#ready.reject(new StartError(['postern: the sidecar was closed before it was ready']));
    this.#watcher?.close();
    this.#tlsFiles.close();
    this.#keySets.close();
    this.#identity.stop();
    await Promise.all([this.#halves?.end(), this.#servers.close()]);
  }

  readonly #onBug = (thrown: unknown): void => {
    this.#own.process.bugs++;
    const stack = thrown instanceof Error ? thrown.stack : undefined;
    this.#log.error(
      'bug',
      { error: messageOf(thrown), stack },
      'An unexpected exception in the control half',
    );
  };
}

function isError(finding: Finding): boolean {
  return finding.severity === 'error';
}

function sameButGeneration(a: Snapshot, b: Snapshot): boolean {
  return JSON.stringify({ ...a, generation: 0 }) === JSON.stringify({ ...b, generation: 0 });
}

/** Listeners of Sidecar documents, where there are any. */
function withoutEmpty(ports: Pick<BoundPorts, 'ingress' | 'egress'>): Pick<OpenPorts, 'ingress' | 'egress'> {
  const { egress, ingress } = ports;
  return {
    ...(Object.keys(ingress).length === 0 ? {} : { ingress }),
    ...(Object.keys(egress).length === 0 ? {} : { egress }),
  };
}
