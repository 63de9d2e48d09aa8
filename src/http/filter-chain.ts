/**
 * Runs the filters of a chain in order. Fails closed: a throw or a rejection is a denial.
 *
 * Only a promise is awaited; a chain whose filters answer at once costs no promise and no closure.
 */
import { ERROR_CODES, messageOf } from '../core/errors.ts';
import type { ResponseHead } from './exchange.ts';
import type { ConnectionFacts, Deny, Filter, FilterWait, RequestContext, Verdict } from './filter.ts';
import { CONTINUE } from './filter.ts';
import { assertWritable, assertWritableRequest } from './write-head.ts';

/** Hears of filters that threw or rejected. */
export type OnFilterFailed = (filterName: string, thrown: unknown) => void;

export class FilterChain {
  readonly #filters: readonly Filter[];
  /** From here on the filters are the embedding program's: what they leave is checked before it is written. */
  readonly #userFrom: number;
  readonly #onFailed: OnFilterFailed;

  constructor(builtIn: readonly Filter[], user: readonly Filter[], onFailed: OnFilterFailed) {
    this.#filters = [...builtIn, ...user];
    this.#userFrom = user.length > 0 ? builtIn.length : Number.POSITIVE_INFINITY;
    this.#onFailed = onFailed;
  }

  /** Before anything is dialled on a TCP chain. */
  onConnection(
    connection: ConnectionFacts,
    wait: FilterWait = { whenGone: null },
  ): Verdict | Promise<Verdict> {
    for (let i = 0; i < this.#filters.length; i++) {
      const verdict = this.#runConnection(i, connection, wait);
      if (verdict instanceof Promise) return this.#connectionFrom(i, verdict, connection, wait);
      if (verdict.kind === 'deny') return verdict;
    }
    return CONTINUE;
  }

  async #connectionFrom(
    first: number,
    pending: Promise<Verdict>,
    connection: ConnectionFacts,
    wait: FilterWait,
  ): Promise<Verdict> {
    let verdict = await pending;
    for (let i = first + 1; verdict.kind === 'continue' && i < this.#filters.length; i++) {
      verdict = await this.#runConnection(i, connection, wait);
    }
    return verdict;
  }

  #runConnection(index: number, connection: ConnectionFacts, wait: FilterWait): Verdict | Promise<Verdict> {
    const filter = this.#filters[index]!;
    if (filter.onConnection === undefined) return CONTINUE;
    try {
      const verdict = filter.onConnection(connection, wait);
      return isPromise(verdict)
        ? Promise.resolve(verdict)
            .then(checked)
            .catch((thrown: unknown) => this.#failed(filter, thrown))
        : checked(verdict);
    } catch (thrown) {
      return this.#failed(filter, thrown);
    }
  }

  onRequest(request: RequestContext): Verdict | Promise<Verdict> {
    for (let i = 0; i < this.#filters.length; i++) {
      const verdict = this.#runRequest(i, request);
      if (verdict instanceof Promise) return this.#requestFrom(i, verdict, request);
      if (verdict.kind === 'deny') return verdict;
    }
    return CONTINUE;
  }

  async #requestFrom(first: number, pending: Promise<Verdict>, request: RequestContext): Promise<Verdict> {
    let verdict = await pending;
    for (let i = first + 1; verdict.kind === 'continue' && i < this.#filters.length; i++) {
      verdict = await this.#runRequest(i, request);
    }
    return verdict;
  }

  #runRequest(index: number, request: RequestContext): Verdict | Promise<Verdict> {
    const filter = this.#filters[index]!;
    if (filter.onRequest === undefined) return CONTINUE;
    try {
      const verdict = filter.onRequest(request);
      if (isPromise(verdict)) {
        return Promise.resolve(verdict).then(
          (settled) => this.#judge(index, request, settled),
          (thrown: unknown) => this.#failed(filter, thrown),
        );
      }
      return index >= this.#userFrom ? this.#judge(index, request, verdict) : verdict;
    } catch (thrown) {
      return this.#failed(filter, thrown);
    }
  }

  /** What a user's filter left must be writable, or its request does not go on. */
  #judge(index: number, request: RequestContext, verdict: Verdict): Verdict {
    try {
      if (index >= this.#userFrom) assertWritableRequest(request.head);
      return checked(verdict);
    } catch (thrown) {
      return this.#failed(this.#filters[index]!, thrown);
    }
  }

  /** In reverse order. False: a filter threw or left what cannot be written; the answer must not be sent. */
  onResponse(request: RequestContext, head: ResponseHead): boolean {
    for (let i = this.#filters.length - 1; i >= 0; i--) {
      const filter = this.#filters[i]!;
      if (filter.onResponse === undefined) continue;
      try {
        filter.onResponse(request, head);
        if (i >= this.#userFrom) assertAnswer(head);
      } catch (thrown) {
        this.#failed(filter, thrown);
        return false;
      }
    }
    return true;
  }

  #failed(filter: Filter, thrown: unknown): Deny {
    this.#onFailed(filter.name, thrown);
    return {
      kind: 'deny',
      code: 'filter_failed',
      status: 500,
      body: '',
      headers: [],
      details: 'filter_failed',
      why: `filter ${filter.name} failed: ${messageOf(thrown)}`,
    };
  }
}

function isPromise(verdict: Verdict | Promise<Verdict>): verdict is Promise<Verdict> {
  return 'then' in verdict;
}

/** A filter in JavaScript may answer anything: only the two kinds count, and a denial must be writable. */
function checked(verdict: Verdict): Verdict {
  if (verdict.kind === 'continue') return verdict;
  if (verdict.kind !== 'deny')
    throw new TypeError(`Cannot take verdict ${JSON.stringify(verdict)}: answer continue or deny`);
  if (!Number.isInteger(verdict.status) || verdict.status < 200 || verdict.status > 599) {
    throw new TypeError(`Cannot take status ${JSON.stringify(verdict.status)} of a denial: give 200 to 599`);
  }
  const isBody = typeof verdict.body === 'string' || Buffer.isBuffer(verdict.body);
  if (!isBody || !Object.hasOwn(ERROR_CODES, verdict.code)) {
    throw new TypeError(
      `Cannot take a denial with code ${JSON.stringify(verdict.code)}: give a code of the table and a text`,
    );
  }
  assertWritable(verdict.headers);
  return verdict;
}

function assertAnswer(head: ResponseHead): void {
  if (!Number.isInteger(head.status) || head.status < 200 || head.status > 599) {
    throw new TypeError(`Cannot answer with status ${JSON.stringify(head.status)}: give 200 to 599`);
  }
  assertWritable(head.fields);
  assertWritable(['reason', head.reason]);
}
