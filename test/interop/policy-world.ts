/**
 * The comparison itself: policy sets go to a real Envoy, translated, and to our data half, as they are; the same bytes
 * go to both, and what the caller, the app and the access log saw of either side is kept.
 */
import { TempFolder } from '../support/temp-folder.ts';
import { TestCa, type Issued } from '../support/test-ca.ts';
import type { Snapshot } from '../../src/mesh/plan.ts';
import { PolicyApp } from './policy-app.ts';
import { CallerCertificates, CallerConnection, type Outcome, type Target } from './policy-client.ts';
import { WORKLOAD_PORT } from './policy-alphabet.ts';
import { PolicyEnvoy } from './policy-envoy.ts';
import { LOG_FORMAT, PosternSecrets, PosternSide, readLog, type LoggedCase } from './policy-postern.ts';
import { DecisionLog } from './policy-postern-log.ts';
import { requestBytes, type Caller, type PolicyCase } from './policy-requests.ts';
import { APP_HOST, type PolicySet } from './policy-set.ts';
import { translateSet } from './policy-translate.ts';

/** Sets that are under way at once: enough to keep two cores busy. */
const AT_ONCE = 6;

export interface ServedSet {
  readonly set: PolicySet;
  readonly snapshot: Snapshot;
}

/** A set that is ready to be judged, and the cases for it. */
export interface PreparedSet extends ServedSet {
  readonly cases: readonly PolicyCase[];
}

/** What one side did with a case. */
export interface Side {
  readonly outcome: Outcome;
  /** RESPONSE_CODE_DETAILS, or CONNECTION_TERMINATION_DETAILS; '' for none. */
  readonly details: string;
  readonly logged: LoggedCase | undefined;
}

export interface JudgedCase {
  readonly prepared: PreparedSet;
  readonly one: PolicyCase;
  readonly envoy: Side;
  readonly ours: Side;
  /** Our lines about the decision; none for TCP, where no request names them. */
  readonly decisions: readonly string[];
}

type AccessLog = ReadonlyMap<string, LoggedCase>;

interface AskedCase {
  readonly prepared: PreparedSet;
  readonly one: PolicyCase;
  readonly id: string;
  readonly address: string;
  readonly envoy: Outcome;
  readonly ours: Outcome;
}

export class PolicyWorld implements AsyncDisposable {
  readonly app: PolicyApp;
  readonly #folder = new TempFolder();
  readonly #certificates: CallerCertificates;
  readonly #secrets: PosternSecrets;
  readonly #decisions = new DecisionLog();
  readonly #loggers = this.#decisions.loggers();
  #batches = 0;

  private constructor(app: PolicyApp, ca: TestCa) {
    this.app = app;
    this.#certificates = new CallerCertificates(ca);
    this.#secrets = new PosternSecrets(ca);
  }

  static async start(): Promise<PolicyWorld> {
    return new PolicyWorld(await PolicyApp.start(), await TestCa.create('cluster.local'));
  }

  /** A certificate of the authority that both sides trust. */
  issue(id: string): Promise<Issued> {
    return this.#certificates.issue(id);
  }

  /** Every case to both sides. */
  async judge(prepared: readonly PreparedSet[]): Promise<readonly JudgedCase[]> {
    const asked: AskedCase[] = [];
    this.#decisions.clear();
    const logs = await this.serve(prepared, async (one, slot, theirs, ours) => {
      asked.push(...(await this.#ask(one, slot, theirs, ours)));
    });
    return asked.map((each) => ({
      prepared: each.prepared,
      one: each.one,
      envoy: sideOf(logs.envoy, each.address, each, each.envoy),
      ours: sideOf(logs.ours, each.address, each, each.ours),
      decisions: this.#decisions.linesOf(`case-${each.id}`),
    }));
  }

  /** Every case to Envoy alone. */
  async judgeByEnvoy(prepared: readonly PreparedSet[]): Promise<ReadonlyMap<PolicyCase, Side>> {
    await using envoy = await this.#startEnvoy(prepared);
    const asked: {
      readonly address: string;
      readonly id: string;
      readonly one: PolicyCase;
      readonly outcome: Outcome;
    }[] = [];
    await inTurns(prepared, async ({ cases }, slot) => {
      const address = this.app.address(slot);
      const connections = new Map<string, CallerConnection>();
      for (const [at, one] of cases.entries()) {
        const key = keyOf(one.caller);
        const known = connections.get(key);
        const connection =
          known ??
          new CallerConnection({ host: address, port: WORKLOAD_PORT }, one.caller, this.#certificates);
        connections.set(key, connection);
        const id = `${slot}-${at}`;
        asked.push({ address, id, one, outcome: await send(connection, one, id) });
      }
      for (const connection of connections.values()) connection[Symbol.dispose]();
    });
    const log = await envoy.stop();
    return new Map(asked.map((each) => [each.one, sideOf(log, each.address, each, each.outcome)]));
  }

  /** All sets in one Envoy, a few at a time in ours; `ask` is called once for each. Answers both access logs. */
  async serve<T extends ServedSet>(
    sets: readonly T[],
    ask: (one: T, slot: number, envoy: Target, ours: Target) => Promise<void>,
  ): Promise<{ readonly envoy: AccessLog; readonly ours: AccessLog }> {
    const log = this.#folder.write(`postern-${this.#batches++}.log`, '');
    const accessLog = { path: log, encoding: 'JSON', format: JSON.stringify(LOG_FORMAT) } as const;
    await using envoy = await this.#startEnvoy(sets);
    await inTurns(sets, async (one, slot) => {
      const address = this.app.address(slot);
      const secret = await this.#secrets.of(one.set.trust);
      const outbound = this.#placed(one.snapshot.outbound);
      const snapshot: Snapshot = { ...one.snapshot, accessLog, outbound };
      await using ours = await PosternSide.start(address, this.app.host, snapshot, secret, this.#loggers);
      await ask(one, slot, { host: address, port: WORKLOAD_PORT }, ours.target);
    });
    return { envoy: await envoy.stop(), ours: readLog(log) };
  }

  /** Documents name a place for the app that may be another's. */
  #placed(outbound: Snapshot['outbound']): Snapshot['outbound'] {
    if (this.app.host === APP_HOST) return outbound;
    return JSON.parse(JSON.stringify(outbound).replaceAll(APP_HOST, this.app.host)) as Snapshot['outbound'];
  }

  async #startEnvoy(sets: readonly ServedSet[]): Promise<PolicyEnvoy> {
    const listeners = await Promise.all(
      sets.map(async ({ set, snapshot }, slot) => ({
        address: this.app.address(slot),
        chains: translateSet(snapshot, await this.#secrets.of(set.trust)),
      })),
    );
    return PolicyEnvoy.start(listeners, this.app.host);
  }

  async #ask(prepared: PreparedSet, slot: number, theirs: Target, ours: Target): Promise<AskedCase[]> {
    const byCaller = Map.groupBy(prepared.cases.entries(), ([, one]) => keyOf(one.caller));
    const asked = await Promise.all(
      [...byCaller.values()].map(async (list) => {
        const { caller } = list[0]![1];
        using toEnvoy = new CallerConnection(theirs, caller, this.#certificates);
        using toUs = new CallerConnection(ours, caller, this.#certificates);
        const out: AskedCase[] = [];
        for (const [at, one] of list) {
          const id = `${slot}-${at}`;
          const [envoy, our] = await Promise.all([send(toEnvoy, one, id), send(toUs, one, id)]);
          out.push({ prepared, one, id, address: theirs.host, envoy, ours: our });
        }
        return out;
      }),
    );
    return asked.flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app[Symbol.asyncDispose]();
    this.#folder.remove();
  }
}

const keyOf = ({ id, ip, sni }: Caller): string => `${id} ${ip} ${sni}`;

function send(connection: CallerConnection, one: PolicyCase, id: string): Promise<Outcome> {
  return one.kind === 'http'
    ? connection.request(requestBytes(one, id), one.method)
    : connection.carry('ping\n');
}

function sideOf(
  log: AccessLog,
  address: string,
  { id, one }: Pick<AskedCase, 'id' | 'one'>,
  outcome: Outcome,
): Side {
  const isHttp = one.kind === 'http';
  const logged = log.get(isHttp ? id : `${one.caller.ip}:${outcome.from} ${address}`);
  return { outcome, details: (isHttp ? logged?.details : logged?.termination) ?? '', logged };
}

/** A few at once. */
async function inTurns<T>(list: readonly T[], work: (one: T, at: number) => Promise<void>): Promise<void> {
  let next = 0;
  const loop = async (): Promise<void> => {
    for (let at = next++; at < list.length; at = next++) await work(list[at]!, at);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, loop));
}
