/**
 * Asks one provider, by whichever protocol: how many checks may wait, for how long, and that each is answered once.
 *
 * The deadline covers everything, the dial included, and an answer after it is nobody's. It outlives snapshots in
 * which the provider is the same, so that the bound on checks in flight does too.
 */
import type { ExtAuthzProvider } from '../core/authorization-plan.ts';
import { monotonicMs } from '../core/clock.ts';
import type { Limits } from '../core/limits.ts';
import type { ConnectionFacts, FilterWait, RequestContext } from '../http/filter.ts';
import type { AuthzUpstream } from './authz-upstream.ts';
import { errorAnswer } from './ext-authz-answer.ts';
import type { CancelCheck, CheckAnswer, CheckedBody, GoneAnswer } from './ext-authz-answer.ts';
import { GrpcChecks } from './ext-authz-grpc.ts';
import { startHttpCheck } from './ext-authz-http.ts';

/** setTimeout takes a longer time for none at all. */
const MAX_TIMER_MS = 2_147_483_647;

const GONE: GoneAnswer = { kind: 'gone' };

export interface ExtAuthzClientDeps {
  readonly provider: ExtAuthzProvider;
  /** Asked at each check: its service as the snapshot in force knows it. */
  readonly upstream: () => AuthzUpstream;
  readonly limits: () => Pick<Limits, 'maxExtAuthzPending'>;
  readonly ownSpiffeId: () => string;
}

export class ExtAuthzClient {
  readonly #deps: ExtAuthzClientDeps;
  readonly #grpc: GrpcChecks;
  #pending = 0;

  constructor(deps: ExtAuthzClientDeps) {
    this.#deps = deps;
    this.#grpc = new GrpcChecks(deps.provider, deps.ownSpiffeId);
  }

  /** Checks in flight. */
  get pending(): number {
    return this.#pending;
  }

  checkRequest(request: RequestContext, body: CheckedBody | null): Promise<CheckAnswer> {
    const { provider, upstream } = this.#deps;
    return this.#check(request, (done) =>
      provider.kind === 'http'
        ? startHttpCheck(provider, upstream().opener, request.head, body, done)
        : this.#grpc.startRequest(upstream(), request, body, done),
    );
  }

  /** TCP chains, which only gRPC providers can judge. */
  checkConnection(connection: ConnectionFacts, wait: FilterWait): Promise<CheckAnswer> {
    const { upstream } = this.#deps;
    return this.#check(wait, (done) => this.#grpc.startConnection(upstream(), connection, done));
  }

  #check(
    wait: FilterWait,
    start: (done: (answer: CheckAnswer) => void) => CancelCheck,
  ): Promise<CheckAnswer> {
    const { limits, provider } = this.#deps;
    if (this.#pending >= limits().maxExtAuthzPending)
      return Promise.resolve(errorAnswer('as many checks are in flight as limits.maxExtAuthzPending allows'));
    const { promise, resolve, reject } = Promise.withResolvers<CheckAnswer>();
    let over = false;
    let cancel: CancelCheck | null = null;
    const end = (): boolean => {
      if (over) return false;
      over = true;
      this.#pending--;
      wait.whenGone = null;
      clearTimeout(timer);
      return true;
    };
    const giveUp = (answer: CheckAnswer): void => {
      if (!end()) return;
      resolve(answer);
      cancel?.();
    };
    const late = errorAnswer(`no answer in ${provider.timeoutMs} ms`);
    const dueAtMs = monotonicMs() + provider.timeoutMs;
    const timer = setTimeout(() => giveUp(late), Math.min(provider.timeoutMs, MAX_TIMER_MS));
    this.#pending++;
    wait.whenGone = () => giveUp(GONE);
    try {
      cancel = start((answer) => {
        // A busy event loop may read an answer before the timer that was due first.
        if (end()) resolve(monotonicMs() < dueAtMs ? answer : late);
      });
    } catch (thrown) {
      if (end()) reject(thrown);
    }
    return promise;
  }
}
