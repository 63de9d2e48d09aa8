/**
 * All data halves as one: the one in this thread, or N workers. What is told reaches all of them, and what only
 * some of them can take is in force nowhere.
 *
 * One change at a time: a worker that is started anew is brought up to date between two of them.
 */
import { whyOf } from './core/errors.ts';
import type { FetchedKeySet } from './core/jwt-plan.ts';
import type { SecretMaterial } from './core/secret.ts';
import { DataHalfGone } from './data-conversation.ts';
import type { DataConversation } from './data-conversation.ts';
import type { StartDataHalf } from './data-half.ts';
import { DataReports } from './data-reports.ts';
import type { SummedReport } from './data-reports.ts';
import { DataSlot, MAX_FAILED_STARTS } from './data-slot.ts';
import type { DataHalfEnd } from './data-slot.ts';
import type { Snapshot } from './mesh/plan.ts';
import type { BoundPorts, FromData, ToData } from './messages.ts';
import type { ControlCounters } from './observe/control-counters.ts';
import type { CounterValues } from './observe/counters.ts';
import type { Log } from './observe/log.ts';
import type { Readiness } from './observe/readiness.ts';

export interface DataHalvesOptions {
  readonly count: number;
  readonly start: StartDataHalf;
  /** Ask them for their counters now and then, so that little is lost with one that dies; 0: never. */
  readonly reportIntervalMs: number;
  readonly counters: ControlCounters;
  readonly readiness: Readiness;
  readonly log: Log;
}

/** A snapshot and what is taken together with it; null: as before. */
export interface Change {
  readonly snapshot: Snapshot;
  readonly secret: SecretMaterial | null;
  readonly tlsFiles: TlsFileTexts | null;
}

/** As in `ToData`. */
export type TlsFileTexts = Readonly<Record<string, string>>;

type Levels = Extract<ToData, { kind: 'levels' }>['levels'];

/** A report that is not given in this time is left out; the last one stands for it. */
const REPORT_TIMEOUT_MS = 5_000;
/** What a data half may need to end beyond its `maxMs`. */
const DRAIN_MARGIN_MS = 5_000;

export class DataHalves {
  readonly #options: DataHalvesOptions;
  readonly #slots: readonly DataSlot[];
  readonly #reports = new DataReports();
  // What a worker that is started anew has to know.
  #snapshot: Snapshot | null = null;
  #secret: SecretMaterial | null = null;
  #tlsFiles: TlsFileTexts | null = null;
  readonly #keySets = new Map<string, FetchedKeySet>();
  #levels: Levels | null = null;
  #reservedPorts: readonly number[] | null = null;
  #bound: BoundPorts | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #lastReportId = 0;
  #reportTimer: NodeJS.Timeout | null = null;

  constructor(options: DataHalvesOptions) {
    this.#options = options;
    this.#slots = Array.from(
      { length: options.count },
      (_, index) =>
        new DataSlot({
          worker: index + 1,
          start: options.start,
          bringUp: (slot, conversation) => this.#inTurn(() => this.#bringUp(slot, conversation)),
          onEnded: this.#onEnded,
        }),
    );
    options.counters.workers = options.count;
  }

  /** Ports in use; null before `listen`. */
  get bound(): BoundPorts | null {
    return this.#bound;
  }

  open(): void {
    for (const slot of this.#slots) slot.open();
  }

  /** Puts a snapshot in force in all of them; rejects with the reason of the first that refuses, and then in none. */
  apply(change: Change): Promise<void> {
    return this.#inTurn(() => this.#apply(change));
  }

  async #apply({ snapshot, secret, tlsFiles }: Change): Promise<void> {
    const applied: DataSlot[] = [];
    const share = this.#shareOf(snapshot);
    // Until the new snapshot is in force the old one must not miss a file.
    const bothFiles = tlsFiles === null ? null : { ...this.#tlsFiles, ...tlsFiles };
    const give = async (slot: DataSlot, bound: BoundPorts | null): Promise<BoundPorts | null> => {
      if (bothFiles !== null) slot.live?.tell({ kind: 'tls-files', files: bothFiles });
      const answer = await ask(slot, { kind: 'snapshot', snapshot: share, secret, bound });
      if (answer.kind === 'snapshot-refused') throw new Error(answer.message);
      applied.push(slot);
      return answer.kind === 'snapshot-applied' ? answer.ports : null;
    };
    try {
      // The first one picks the ports that are free to choose.
      const [first, ...others] = this.#live();
      const bound = first === undefined ? null : await give(first, null);
      await allDone(others.map((slot) => give(slot, bound)));
      this.#bound = bound ?? this.#bound;
    } catch (thrown) {
      await this.#goBack(applied, secret !== null, tlsFiles !== null);
      throw thrown;
    }
    this.#snapshot = snapshot;
    this.#secret = secret ?? this.#secret;
    if (tlsFiles === null || bothFiles === null) return;
    this.#tlsFiles = tlsFiles;
    if (Object.keys(bothFiles).length > Object.keys(tlsFiles).length)
      this.#tell({ kind: 'tls-files', files: tlsFiles });
  }

  /** One that cannot even take what it had is replaced. */
  async #goBack(applied: readonly DataSlot[], withSecret: boolean, withFiles: boolean): Promise<void> {
    const snapshot = this.#snapshot;
    if (withFiles) this.#tell({ kind: 'tls-files', files: this.#tlsFiles ?? {} });
    if (snapshot === null) return;
    const back = applied.map(async (slot) => {
      const { live } = slot;
      const answer = await ask(slot, {
        kind: 'snapshot',
        snapshot: this.#shareOf(snapshot),
        secret: withSecret ? this.#secret : null,
        bound: this.#bound,
      });
      if (live !== null && answer.kind === 'snapshot-refused') slot.replace(live, answer.message);
    });
    await Promise.allSettled(back);
  }

  /** Opens the listeners in all of them, at the same ports. */
  listen(reservedPorts: readonly number[]): Promise<BoundPorts> {
    return this.#inTurn(async () => {
      const open = async (slot: DataSlot, bound: BoundPorts | null): Promise<BoundPorts | null> => {
        const answer = await ask(slot, { kind: 'listen', reservedPorts, bound });
        if (answer.kind === 'listen-failed') throw new Error(answer.message);
        return answer.kind === 'listening' ? answer.ports : null;
      };
      const [first, ...others] = this.#live();
      const bound = first === undefined ? null : await open(first, null);
      if (bound === null) throw new Error('no data half opened its listeners');
      await allDone(others.map((slot) => open(slot, bound)));
      this.#bound = bound;
      this.#reservedPorts = reservedPorts;
      this.#serve();
      return bound;
    });
  }

  #serve(): void {
    for (const slot of this.#slots) slot.setRestarts(true);
    this.#noteLive();
    const { reportIntervalMs } = this.#options;
    if (reportIntervalMs > 0) this.#reportTimer = setInterval(() => void this.#collect(), reportIntervalMs);
  }

  /** Answers what kept some of them from taking it, once each; those keep the one they have. */
  installSecret(
    secret: SecretMaterial,
  ): Promise<{ readonly installed: boolean; readonly refusals: string[] }> {
    return this.#inTurn(async () => {
      const live = this.#live();
      const refusals = new Set<string>();
      let installed = live.length === 0;
      const give = async (slot: DataSlot): Promise<void> => {
        const answer = await ask(slot, { kind: 'secret', secret });
        if (answer.kind === 'secret-refused') refusals.add(answer.message);
        else installed = true;
      };
      // One that died meanwhile is brought up with what the others have.
      await Promise.allSettled(live.map(give));
      if (installed) this.#secret = secret;
      return { installed, refusals: [...refusals] };
    });
  }

  installTlsFiles(files: TlsFileTexts): Promise<void> {
    return this.#inTurn(() => {
      this.#tlsFiles = files;
      this.#tell({ kind: 'tls-files', files });
      return Promise.resolve();
    });
  }

  /** Before a snapshot that needs them or after it; null keys are forgotten. */
  putKeySets(keySets: readonly FetchedKeySet[]): Promise<void> {
    return this.#inTurn(() => {
      for (const keySet of keySets) {
        if (keySet.jwks === null) this.#keySets.delete(keySet.name);
        else this.#keySets.set(keySet.name, keySet);
      }
      this.#tell({ kind: 'key-sets', keySets });
      return Promise.resolve();
    });
  }

  setLevels(levels: Levels): void {
    this.#levels = levels;
    this.#tell({ kind: 'levels', levels });
  }

  reopenLogs(): void {
    this.#tell({ kind: 'reopen-logs' });
  }

  /** `own`: what the control half counts itself. */
  async report(own: CounterValues): Promise<SummedReport> {
    await this.#collect();
    return this.#reports.sum(own);
  }

  async #collect(): Promise<void> {
    const id = ++this.#lastReportId;
    const asked = this.#live().map(async (slot) => {
      const { live, worker } = slot;
      const answer = await live?.ask({ kind: 'report', id }, REPORT_TIMEOUT_MS);
      if (answer?.kind === 'report' && slot.live === live) this.#reports.take(worker, answer.report);
    });
    await Promise.allSettled(asked);
  }

  /** Settles when nothing is under way any more in any of them. */
  async drain(tunnelMs: number, maxMs: number): Promise<void> {
    for (const slot of this.#slots) slot.setRestarts(false);
    const message = { kind: 'drain', tunnelMs, maxMs } as const;
    const drain = async ({ live }: DataSlot): Promise<unknown> => live?.ask(message, maxMs + DRAIN_MARGIN_MS);
    await Promise.allSettled(this.#live().map(drain));
  }

  async end(): Promise<void> {
    if (this.#reportTimer !== null) clearInterval(this.#reportTimer);
    this.#reportTimer = null;
    await Promise.all(this.#slots.map((slot) => slot.end()));
  }

  // --- one that ended, and the one in its place

  async #bringUp(slot: DataSlot, conversation: DataConversation): Promise<void> {
    if (this.#levels !== null) conversation.tell({ kind: 'levels', levels: this.#levels });
    if (this.#tlsFiles !== null) conversation.tell({ kind: 'tls-files', files: this.#tlsFiles });
    if (this.#keySets.size > 0) conversation.tell({ kind: 'key-sets', keySets: [...this.#keySets.values()] });
    if (this.#snapshot === null || this.#reservedPorts === null) throw new Error('nothing was started yet');
    const taken = await conversation.ask({
      kind: 'snapshot',
      snapshot: this.#shareOf(this.#snapshot),
      secret: this.#secret,
      bound: this.#bound,
    });
    if (taken.kind === 'snapshot-refused') throw new Error(taken.message);
    const opened = await conversation.ask({
      kind: 'listen',
      reservedPorts: this.#reservedPorts,
      bound: this.#bound,
    });
    if (opened.kind === 'listen-failed') throw new Error(opened.message);
    // A snapshot that came while none served has listeners whose free ports this one picked.
    if (opened.kind === 'listening') this.#bound = opened.ports;
    slot.enter(conversation);
    this.#options.counters.workerRestarts++;
    this.#noteLive();
    this.#options.log.info(
      'worker_restarted',
      { worker: slot.worker },
      'A worker serves in the place of the one that ended',
    );
  }

  readonly #onEnded = (slot: DataSlot, { why, wasLive, restartInMs }: DataHalfEnd): void => {
    const { counters, log } = this.#options;
    const connectionsLost = this.#reports.end(slot.worker);
    counters.workerConnectionsLost += connectionsLost;
    this.#noteLive();
    const message = wasLive ? 'A worker ended, and its connections with it' : 'A worker ended while starting';
    log.error('worker_ended', { worker: slot.worker, why, connectionsLost, restartInMs }, message);
  };

  #noteLive(): void {
    const { counters, readiness } = this.#options;
    counters.workersLive = this.#live().length;
    const stuck = this.#slots.find(({ failedStarts }) => failedStarts >= MAX_FAILED_STARTS);
    if (stuck !== undefined) {
      const times = `${stuck.failedStarts} times in a row while starting`;
      readiness.set('worker_failed', `worker ${stuck.worker} ended ${times}: ${stuck.lastFailure}`);
    } else if (counters.workersLive === 0) readiness.set('worker_failed', 'no worker serves now');
    else readiness.clear('worker_failed');
  }

  // ---

  #live(): DataSlot[] {
    return this.#slots.filter(({ live }) => live !== null);
  }

  #tell(message: ToData): void {
    for (const { live } of this.#slots) live?.tell(message);
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(run);
    this.#turn = result.catch(() => {});
    return result;
  }

  /** Limits of the process are shared evenly; where that is less than one, each has one. */
  #shareOf(snapshot: Snapshot): Snapshot {
    const { count } = this.#options;
    if (count === 1) return snapshot;
    const maxConnections = Math.max(1, Math.floor(snapshot.limits.maxConnections / count));
    return { ...snapshot, limits: { ...snapshot.limits, maxConnections } };
  }
}

/** One that gives no answer in time is replaced. */
async function ask(slot: DataSlot, message: ToData): Promise<FromData> {
  const { live } = slot;
  if (live === null) throw new DataHalfGone(`worker ${slot.worker} ended`);
  try {
    return await live.ask(message);
  } catch (thrown) {
    const why = `worker ${slot.worker} ended while it took the "${message.kind}": ${whyOf(thrown)}`;
    slot.replace(live, whyOf(thrown));
    throw new DataHalfGone(why);
  }
}

/** Waits for all, then throws the first failure. */
async function allDone(promises: readonly Promise<unknown>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
