/**
 * Our side of the comparison: a data half for each policy set, in this process, fed with messages as by the control
 * half. It listens on the address that Envoy's listener for the set has, on a port of its own.
 */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { SecretMaterial } from '../../src/core/secret.ts';
import type { Snapshot } from '../../src/mesh/plan.ts';
import type { FromData, ToData } from '../../src/messages.ts';
import type { Loggers } from '../../src/observe/loggers.ts';
import { Sidecar } from '../../src/sidecar.ts';
import type { TestCa } from '../support/test-ca.ts';
import { withDeadline } from '../support/with-deadline.ts';
import { WORKLOAD_PORT, type TrustDomains } from './policy-alphabet.ts';
import type { Target } from './policy-client.ts';
import { WORKLOAD } from './policy-set.ts';

const WAIT_MS = 10_000;

/** The fields of both access logs that are compared, as in Istio's JSON log. */
export const LOG_FORMAT: Readonly<Record<string, string>> = {
  case: '%REQ(X-CASE)%',
  details: '%RESPONSE_CODE_DETAILS%',
  termination: '%CONNECTION_TERMINATION_DETAILS%',
  from: '%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%',
  to: '%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%',
};

/** Our own certificate under each MeshConfig. */
export class PosternSecrets {
  readonly #ca: TestCa;
  readonly #made = new Map<string, Promise<SecretMaterial>>();

  constructor(ca: TestCa) {
    this.#ca = ca;
  }

  of(trust: TrustDomains): Promise<SecretMaterial> {
    let made = this.#made.get(trust.own);
    if (made === undefined) {
      made = this.#make(trust.own);
      this.#made.set(trust.own, made);
    }
    return made;
  }

  async #make(domain: string): Promise<SecretMaterial> {
    const { namespace, serviceAccount } = WORKLOAD;
    const own = await this.#ca.issue({ spiffeId: `spiffe://${domain}/ns/${namespace}/sa/${serviceAccount}` });
    return {
      version: 1,
      trustVersion: 1,
      certificateChainPem: own.chainPem,
      privateKeyPem: own.keyPem,
      bundles: { [domain]: this.#ca.rootPem },
      ticketSecret: randomBytes(32),
    };
  }
}

export class PosternSide implements AsyncDisposable {
  readonly target: Target;
  readonly #sidecar: Sidecar;
  readonly #told: (kind: FromData['kind']) => Promise<FromData>;

  private constructor(target: Target, sidecar: Sidecar, told: (kind: FromData['kind']) => Promise<FromData>) {
    this.target = target;
    this.#sidecar = sidecar;
    this.#told = told;
  }

  static async start(
    address: string,
    appHost: string,
    snapshot: Snapshot,
    secret: SecretMaterial,
    loggers: Loggers,
  ): Promise<PosternSide> {
    const waiting: {
      kind: FromData['kind'];
      resolve: (message: FromData) => void;
      reject: (why: Error) => void;
    }[] = [];
    const sidecar = new Sidecar({
      bind: address,
      port: 0,
      inboundPort: null,
      direct: { host: appHost, port: WORKLOAD_PORT },
      appHost,
      reusePort: false,
      filters: [],
      loggers,
      send: (message) => {
        const at = waiting.findIndex(({ kind }) => kind === message.kind);
        if (at !== -1) waiting.splice(at, 1)[0]!.resolve(message);
        else if ('message' in message)
          for (const one of waiting.splice(0)) one.reject(new Error(message.message));
      },
    });
    const told = (kind: FromData['kind']): Promise<FromData> => {
      const { promise, reject, resolve } = Promise.withResolvers<FromData>();
      waiting.push({ kind, resolve, reject });
      return withDeadline(promise, WAIT_MS, `"${kind}"`);
    };
    const apply: ToData = { kind: 'snapshot', snapshot, secret, bound: null };
    const applied = told('snapshot-applied');
    sidecar.receive(apply);
    await applied;
    const listening = told('listening');
    sidecar.receive({ kind: 'listen', reservedPorts: [], bound: null });
    const message = await listening;
    const port = message.kind === 'listening' ? message.ports.intercept : 0;
    return new PosternSide({ host: address, port }, sidecar, told);
  }

  /** Ends it; its access log is written whole by then. */
  async [Symbol.asyncDispose](): Promise<void> {
    const drained = this.#told('drained');
    this.#sidecar.receive({ kind: 'drain', tunnelMs: 0, maxMs: 0 });
    await drained;
  }
}

/** One line of either access log. */
export interface LoggedCase {
  readonly case: string | null;
  readonly details: string | null;
  readonly termination: string | null;
  readonly from: string | null;
  readonly to: string | null;
  /** Envoy's own: what its RBAC filters noted. */
  readonly http?: RbacNotes | null;
  readonly network?: RbacNotes | null;
  readonly common?: { readonly access_log_hint?: boolean } | null;
}

export interface RbacNotes {
  readonly enforced_effective_policy_id?: string;
  readonly istio_ext_authz_shadow_effective_policy_id?: string;
  readonly istio_dry_run_allow_shadow_effective_policy_id?: string;
  readonly istio_dry_run_allow_shadow_engine_result?: string;
  readonly istio_dry_run_deny_shadow_effective_policy_id?: string;
  readonly istio_dry_run_deny_shadow_engine_result?: string;
}

/** By `x-case`, or by the addresses of a connection: `IP:PORT IP`. */
export function readLog(path: string): ReadonlyMap<string, LoggedCase> {
  const lines = readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '');
  return new Map(
    lines.map((line) => {
      const logged = JSON.parse(line) as LoggedCase;
      return [logged.case ?? `${logged.from} ${logged.to}`, logged] as const;
    }),
  );
}
